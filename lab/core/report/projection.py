"""What measured outages would mean over a year or a month, at failure rates that are stated and not measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.drills.record import DrillRecord
from lab.core.errors import LabError
from lab.core.measurement.availability import FailureRate, projected
from lab.core.report.means import Mean, mean_of, worst_service


@dataclass(frozen=True)
class Rates:
    """How often things are taken to happen to each node.

    Args:
        power_offs_per_year: hard failures of each node in a year.
        maintenances_per_year: planned restarts of each node in a year.

    Raises:
        LabError: a rate is negative or no number (exit code 2).
    """

    power_offs_per_year: float = 12.0
    maintenances_per_year: float = 24.0

    def __post_init__(self) -> None:
        if not all(0 <= rate < float("inf") for rate in (self.power_offs_per_year, self.maintenances_per_year)):
            raise LabError(f"{self} cannot be", remedy="Give rates of 0 or more", exit_code=2)

    @property
    def by_drill(self) -> dict[str, float]:
        """Rate by the drill that measures the outage of it; only what happens at all."""
        rates = {"power-off": self.power_offs_per_year, "maintenance": self.maintenances_per_year}
        return {drill: rate for drill, rate in rates.items() if rate}

    def __str__(self) -> str:
        return (
            f"{self.power_offs_per_year:g} power-offs and {self.maintenances_per_year:g} maintenances "
            "of each node in a year"
        )


@dataclass(frozen=True)
class Projection:
    """The availability of one guest that follows from its outages in drills and the stated rates.

    Args:
        guest: its name.
        availability: share from 0 to 1; None when an outage did not end or a drill of its home is lacking.
        lacking: drills of its home with a rate that were not measured, as ``drill of node``.
        ignored: the same for drills of the other nodes; they count as no outage.
        unended: the same for drills in which an outage did not end.
    """

    guest: str
    availability: float | None
    lacking: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    unended: tuple[str, ...] = ()


def outage_of(records: Sequence[DrillRecord], drill: str, node: str, guest: str) -> Mean:
    """How long the worst service stream of a guest was out in the drills of a kind that were done to a node."""
    return mean_of(
        (record, worst)
        for record in records
        if record.drill == drill and record.node == node
        if (worst := worst_service(record, guest)) is not None
    )


def project(records: Sequence[DrillRecord], guest: str, nodes: Sequence[str], rates: Rates) -> Projection:
    """D = MTBF / (MTBF + MTTR) for one guest.

    Every node counts, also that which is not the guest's home: a drill there may disturb it, too. Outages of different
    drills are taken not to coincide.

    Args:
        records: drills of one ground.
        guest: its name.
        nodes: all nodes of the lab.
        rates: how often what happens.
    """
    homes = {record.homes[guest] for record in records if guest in record.homes}
    failures: list[FailureRate] = []
    lacking: list[str] = []
    ignored: list[str] = []
    unended: list[str] = []
    for drill, rate in rates.by_drill.items():
        for node in nodes:
            outage = outage_of(records, drill, node, guest)
            if outage.mean_s is not None:
                failures.append(FailureRate(rate, outage.mean_s))
            elif outage.count:
                unended.append(f"{drill} of {node}")
            else:
                (lacking if node in homes else ignored).append(f"{drill} of {node}")
    share = projected(failures) if failures and not unended and not lacking else None
    return Projection(guest, share, tuple(lacking), tuple(ignored), tuple(unended))


def guest_names(records: Sequence[DrillRecord]) -> tuple[str, ...]:
    """All guests that records speak of, in order of their first appearance."""
    return tuple(dict.fromkeys(guest for record in records for guest in record.homes))
