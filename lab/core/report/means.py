"""Means of several drills: how long nodes and guests were unavailable, by drill and by what it was measured on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.core.drills.record import DrillRecord, StreamFigures
from lab.core.measurement.availability import mean, standard_deviation
from lab.core.report.wording import NOT_ENDED, NOT_MEASURED, ground, seconds

PING = "icmp"


@dataclass(frozen=True)
class Ground:
    """On what drills were done; figures of different grounds are never put together."""

    accelerator: str
    time_scale: float

    def __str__(self) -> str:
        return ground(self.accelerator, self.time_scale)


@dataclass(frozen=True)
class Mean:
    """Several longest outages, one for each drill and machine.

    Args:
        lengths_s: those that ended, seconds.
        open: how many did not end; there is no mean then.
        earlier_s: mean time by which the outages may have begun earlier, and so be longer.
        shorter_s: mean time by which they may have ended earlier, and so be shorter.
    """

    lengths_s: tuple[float, ...]
    open: int = 0
    earlier_s: float = 0.0
    shorter_s: float = 0.0

    @property
    def count(self) -> int:
        """How many were measured."""
        return len(self.lengths_s) + self.open

    @property
    def mean_s(self) -> float | None:
        """The mean; None when nothing was measured or one did not end."""
        return None if self.open else mean(self.lengths_s)

    @property
    def deviation_s(self) -> float | None:
        """Standard deviation of the sample; None without a mean, or with fewer than two values."""
        return None if self.open else standard_deviation(self.lengths_s)

    def __str__(self) -> str:
        if not self.count:
            return NOT_MEASURED
        if self.open:
            return f"{self.open} of {self.count} {NOT_ENDED}"
        return seconds(self.mean_s)


def grounds(records: Iterable[DrillRecord]) -> tuple[Ground, ...]:
    """Every ground that drills were done on, sorted."""
    found = {(record.accelerator, record.time_scale) for record in records}
    return tuple(Ground(*one) for one in sorted(found))


def on_ground(records: Iterable[DrillRecord], wanted: Ground) -> tuple[DrillRecord, ...]:
    """The drills that were done on a ground."""
    return tuple(record for record in records if Ground(record.accelerator, record.time_scale) == wanted)


def mean_of(pairs: Iterable[tuple[DrillRecord, StreamFigures]]) -> Mean:
    """Mean of the longest outages of streams; a stream without an outage counts as 0 s."""
    lengths, open_count, earlier, shorter = [], 0, [], []
    for record, stream in pairs:
        length = record.longest_outage_s(stream.name)
        if length is None:
            open_count += 1
            continue
        lengths.append(length)
        longest = max(
            (outage for outage in stream.outages if outage.end_s is not None),
            key=lambda outage: (outage.end_s or 0.0) - outage.start_s,
            default=None,
        )
        earlier.append(longest.start_uncertainty_s if longest else 0.0)
        shorter.append(longest.end_uncertainty_s if longest else 0.0)
    return Mean(tuple(lengths), open_count, mean(earlier) or 0.0, mean(shorter) or 0.0)


def ping_of_node(records: Iterable[DrillRecord], drill: str, node: str) -> Mean:
    """How long a node did not answer ping in the drills that were done to it."""
    return mean_of(
        (record, stream)
        for record in records
        if record.drill == drill and record.node == node
        for stream in record.streams
        if stream.kind == PING and stream.target == node
    )


def ping_of_guests(records: Iterable[DrillRecord], drill: str) -> Mean:
    """How long guests did not answer ping in the drills of their home."""
    return mean_of(
        (record, stream)
        for record in records
        if record.drill == drill
        for stream in record.streams
        if stream.kind == PING and stream.target in guests_at(record)
    )


def service_of_guests(records: Iterable[DrillRecord], drill: str) -> Mean:
    """How long the services of guests gave no valid answer in the drills of their home; the worst stream of each."""
    return mean_of(
        (record, worst)
        for record in records
        if record.drill == drill
        for guest in guests_at(record)
        if (worst := worst_service(record, guest)) is not None
    )


def guests_at(record: DrillRecord) -> tuple[str, ...]:
    """The guests whose home is the node of the drill."""
    return tuple(guest for guest, home in record.homes.items() if home == record.node)


def service_streams(record: DrillRecord, guest: str = "") -> tuple[StreamFigures, ...]:
    """The streams that ask services and not just whether a machine is there; of all guests, or of one."""
    return tuple(stream for stream in record.streams if stream.kind != PING and (not guest or stream.target == guest))


def worst_service(record: DrillRecord, guest: str) -> StreamFigures | None:
    """The service stream of a guest with the longest outage, one that did not end before all others."""

    def length_s(stream: StreamFigures) -> float:
        longest = record.longest_outage_s(stream.name)
        return float("inf") if longest is None else longest

    return max(service_streams(record, guest), key=length_s, default=None)


def node_order(records: Sequence[DrillRecord], known: Sequence[str]) -> tuple[str, ...]:
    """Names of the nodes: those of the topology in its order, then others that records speak of, sorted."""
    others = {record.node for record in records if record.node}
    others |= {node for record in records for node in record.boot_ids}
    return (*known, *sorted(others - set(known)))
