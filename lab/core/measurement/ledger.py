"""The ledger of numbered writes: what was acknowledged to a client must be in the guest's database, exactly once.

A request whose answer never came may have been stored or not; both are right, so such rows are counted and allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from lab.core.drills.record import AuditResult
from lab.core.measurement.samples import Recording

#: Numbers named in a sentence; the rest is counted.
NAMED = 10


@dataclass(frozen=True)
class Ledger:
    """Acknowledged numbers held against stored ones.

    Args:
        acknowledged, stored: how many different numbers were acknowledged, and how many rows were found.
        lost: acknowledged numbers without a row.
        duplicated: numbers with more than one row, acknowledged or not.
        unacknowledged: numbers with a row that were never acknowledged; allowed.
    """

    acknowledged: int
    stored: int
    lost: tuple[int, ...] = ()
    duplicated: tuple[int, ...] = ()
    unacknowledged: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every acknowledged number is there and none is there twice."""
        return not self.lost and not self.duplicated

    def sentences(self) -> tuple[str, ...]:
        """What was found, for people; never empty."""
        said = [f"{self.acknowledged} acknowledged, {self.stored} rows found"]
        if self.lost:
            said.append(f"{len(self.lost)} acknowledged and lost: {_named(self.lost)}")
        if self.duplicated:
            said.append(f"{len(self.duplicated)} stored more than once: {_named(self.duplicated)}")
        if self.unacknowledged:
            said.append(f"{len(self.unacknowledged)} stored without an acknowledgement that arrived, which is allowed")
        return tuple(said)

    def as_audit(self, name: str) -> AuditResult:
        """The ledger as a check of a drill, under a name such as ``accounting of Speedauth``."""
        return AuditResult(name, self.ok, self.sentences())


def acknowledged_numbers(recording: Recording) -> tuple[int, ...]:
    """Numbers of the requests of a writing stream that got their valid answer."""
    return tuple(sample.number for sample in recording.samples if sample.ok)


def compare(acknowledged: Iterable[int], stored: Iterable[int]) -> Ledger:
    """Hold acknowledged numbers against those of all rows found, one for each row.

    Args:
        acknowledged: in any order; a number that stands there twice counts once.
        stored: in any order, with repetitions.
    """
    promised = set(acknowledged)
    rows = Counter(stored)
    return Ledger(
        acknowledged=len(promised),
        stored=rows.total(),
        lost=tuple(sorted(promised - rows.keys())),
        duplicated=tuple(sorted(number for number, count in rows.items() if count > 1)),
        unacknowledged=tuple(sorted(rows.keys() - promised)),
    )


def _named(numbers: tuple[int, ...]) -> str:
    text = ", ".join(map(str, numbers[:NAMED]))
    return f"{text} and {len(numbers) - NAMED} more" if len(numbers) > NAMED else text
