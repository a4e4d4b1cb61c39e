"""Which row a numbered request leaves behind: numbers of different runs never meet, and rows tell their run.

A guest's database outlives a drill. So every run has a number, which is part of the session's name (RADIUS) and the
upper bits of the number stored (HTTP). Both ways can be read back, for the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lab.core.errors import LabError

#: The web page stores signed 32-bit numbers; so many of them belong to each run, which is over seven hours at 5/s.
ROWS_PER_RUN = 2**17
#: So many runs fit below 2**31.
RUNS = 2**31 // ROWS_PER_RUN
_SESSION = re.compile(r"drill-([0-9]{1,9})-([0-9]{1,9})")


@dataclass(frozen=True)
class Numbering:
    """The numbers of one run.

    Args:
        run: from 0 up to and without :data:`RUNS`; another one for each drill of a lab.

    Raises:
        LabError: the run is out of range.
    """

    run: int

    def __post_init__(self) -> None:
        if not 0 <= self.run < RUNS:
            raise LabError(f"there is no run {self.run}", remedy=f"Give a number from 0 to {RUNS - 1}")

    def session(self, number: int) -> str:
        """Acct-Session-Id of an accounting request, such as ``drill-7-123``.

        Raises:
            LabError: the number is out of range.
        """
        return f"drill-{self.run}-{self._checked(number)}"

    def row(self, number: int) -> int:
        """What an HTTP write stores.

        Raises:
            LabError: the number is out of range.
        """
        return self.run * ROWS_PER_RUN + self._checked(number)

    def numbers_of_sessions(self, sessions: Iterable[str]) -> tuple[int, ...]:
        """Request numbers of the Acct-Session-Ids that are of this run, in their order, repetitions included."""
        found = (_SESSION.fullmatch(session) for session in sessions)
        return tuple(int(match[2]) for match in found if match and int(match[1]) == self.run)

    def numbers_of_rows(self, rows: Iterable[int]) -> tuple[int, ...]:
        """Request numbers of the stored HTTP rows that are of this run, in their order, repetitions included."""
        return tuple(row % ROWS_PER_RUN for row in rows if row // ROWS_PER_RUN == self.run and row % ROWS_PER_RUN)

    @staticmethod
    def _checked(number: int) -> int:
        if not 0 < number < ROWS_PER_RUN:
            raise LabError(
                f"a run has no request number {number}",
                remedy=f"Measure with a lower rate or for a shorter time: at most {ROWS_PER_RUN - 1} writes a stream",
            )
        return number
