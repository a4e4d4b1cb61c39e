"""The study's programme in one table: what its three tests measured there and here, and the availability of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.drills.programme import Programme
from lab.core.drills.record import DrillRecord
from lab.core.measurement.availability import MONTH_S, availability, nines
from lab.core.report import study
from lab.core.report.means import Ground, Mean, ping_of_guests, ping_of_node, service_of_guests
from lab.core.report.tables import Table
from lab.core.report.wording import percent, seconds

NONE = "-"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
COLUMNS = (
    "",
    "study",
    f"study {SIGMA}",
    "here",
    f"here {SIGMA}",
    "measured",
    "study, once a month",
    "here, once a month",
)


@dataclass(frozen=True)
class Figure:
    """One mean of the programme beside the study's.

    Args:
        drill: the kind of drill.
        of: ``node 1``, ``node 2``, ``guest`` or ``service``.
        name: the node's own name; empty for guests.
        published: what the study has of it; None where it has nothing.
        ours: what was measured here.
    """

    drill: str
    of: str
    name: str
    published: study.Published | None
    ours: Mean

    def as_document(self) -> dict[str, object]:
        """The figure as JSON knows it."""
        theirs = self.published
        return {
            "drill": self.drill,
            "of": self.of,
            "name": self.name,
            "study_mean_s": theirs.mean_s if theirs else None,
            "study_deviation_s": theirs.deviation_s if theirs else None,
            "mean_s": self.ours.mean_s,
            "deviation_s": self.ours.deviation_s,
            "measured": self.ours.count,
            "study_availability_once_a_month": monthly(theirs.mean_s if theirs else None),
            "availability_once_a_month": monthly(self.ours.mean_s),
        }


def figures_of(records: Sequence[DrillRecord], nodes: Sequence[str]) -> tuple[Figure, ...]:
    """All means of the three tests.

    Args:
        records: drills of one ground that count.
        nodes: the lab's nodes in the order of the topology; compared with the study's by their place.
    """
    found: list[Figure] = []
    for test in study.TESTS:
        for place, (node, published) in enumerate(zip(nodes, test.nodes, strict=False), start=1):
            found.append(Figure(test.drill, f"node {place}", node, published, ping_of_node(records, test.drill, node)))
        found.append(Figure(test.drill, "guest", "", test.guest, ping_of_guests(records, test.drill)))
        found.append(Figure(test.drill, "service", "", None, service_of_guests(records, test.drill)))
    return tuple(found)


def monthly(outage_s: float | None) -> float | None:
    """D = MTBF / (MTBF + MTTR) when an outage of this length follows each 30 days of operation; None for none known."""
    return None if outage_s is None else availability(MONTH_S, outage_s)


def programme_table(programme: Programme, figures: Sequence[Figure]) -> Table:
    """The table of the programme; a test of which no drill is planned is left out."""
    planned = {step.drill for step in programme.steps}
    numbers = {test.drill: place for place, test in enumerate(study.TESTS, start=1)}
    rows = tuple(
        (
            f"test {numbers[one.drill]}, {one.drill}: {one.of}{f' ({one.name})' if one.name else ''}",
            seconds(one.published.mean_s, NONE) if one.published else NONE,
            seconds(one.published.deviation_s, NONE) if one.published else NONE,
            str(one.ours),
            seconds(one.ours.deviation_s, NONE),
            f"{one.ours.count} times",
            _availability(monthly(one.published.mean_s if one.published else None)),
            _availability(monthly(one.ours.mean_s)),
        )
        for one in figures
        if one.drill in planned
    )
    ground = Ground(programme.accelerator, programme.time_scale)
    return Table(f"The study's programme: mean unavailability ({ground})", COLUMNS, rows, _notes(programme))


def _availability(share: float | None) -> str:
    if share is None:
        return NONE
    count = nines(share)
    return percent(share) if count is None else f"{percent(share)} ({count} nines)"


def _notes(programme: Programme) -> tuple[str, ...]:
    done = sum(step.state == "complete" for step in programme.steps)
    notes = [
        f"{done} of {len(programme.steps)} drills are complete."
        if done < len(programme.steps)
        else f"All {done} drills are complete.",
        "Measured with ping, node 1 and node 2 by their place in the topology; service: the worst stream of each "
        "guest, which the study did not measure. Guests count in drills of their home.",
        "Once a month: d = MTBF / (MTBF + MTTR) with 30 days between failures, for the study's mean and for ours. Not "
        "measured, but reckoned.",
    ]
    if programme.failed:
        notes.append(f"Not in the means, because they failed: {', '.join(programme.failed)}.")
    missed = [step.identifier for step in programme.steps if step.state == "complete" and not step.ok]
    if missed:
        notes.append(f"In the means, with an objective of the topology missed: {', '.join(missed)}.")
    return tuple(notes)


def progress_lines(programme: Programme) -> tuple[str, ...]:
    """A line for each drill of the programme."""
    return tuple(
        f"{place:3}  {step.drill:<12} {step.node:<10} {step.state:<9} {step.identifier}".rstrip()
        + (f"  {step.message}" if step.message else "")
        + ("  objective missed" if step.state == "complete" and not step.ok else "")
        for place, step in enumerate(programme.steps, start=1)
    )
