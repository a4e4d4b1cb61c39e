"""The tables of the study with our figures beside the published ones."""

from __future__ import annotations

from collections.abc import Sequence

from lab.core.drills.record import DrillRecord
from lab.core.measurement.availability import (
    MONTH_S,
    YEAR_S,
    FailureRate,
    downtime_per_month_s,
    downtime_per_year_s,
    nines,
    projected,
)
from lab.core.report import study
from lab.core.report.means import (
    Ground,
    Mean,
    grounds,
    on_ground,
    ping_of_guests,
    ping_of_node,
    service_of_guests,
)
from lab.core.report.projection import Projection, Rates, guest_names, project
from lab.core.report.tables import Table
from lab.core.report.wording import NOT_MEASURED, downtime, percent, seconds

DAY_S = 24 * 3600.0
NONE_PUBLISHED = "-"
#: Of the tables of one kind, those that explain how it is measured or reckoned.
FIRST_TEST = study.TESTS[0].table
FIRST_PROJECTION = "7.5"
AS_FIRST_PROJECTION = f"Not measured: reckoned as in table {FIRST_PROJECTION}."
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
PING_NOTE = "Measured with ping, as the study did; the study's figures are whole seconds on real servers."
SERVICE_NOTE = "The last row asks the service itself, each guest by its worst stream; the study has no such figure."
MARGIN_NOTE = "Margin: an outage may have begun so much earlier (+) or ended so much earlier (-) on average."


def study_tables(records: Sequence[DrillRecord], nodes: Sequence[str], rates: Rates) -> tuple[Table, ...]:
    """All tables of the study, once for each ground that there are drills of.

    Args:
        records: all drills of a lab.
        nodes: its nodes in the order of the topology.
        rates: what the projections assume.
    """
    found: list[Table] = []
    for ground in grounds(records):
        own = on_ground(records, ground)
        found += [_test_table(test, own, nodes, ground) for test in study.TESTS]
        found.append(_maintenance_table(own, nodes, ground))
        projections = {guest: project(own, guest, nodes, rates) for guest in guest_names(own)}
        found += [
            _month_table(projections, ground, rates),
            _month_downtime_table(projections, ground),
            _year_table(projections, ground),
        ]
    return tuple(found)


def _test_table(test: study.Test, records: Sequence[DrillRecord], nodes: Sequence[str], ground: Ground) -> Table:
    rows = [
        _mean_row(f"node {place} ({node})", published, ping_of_node(records, test.drill, node))
        for place, (node, published) in enumerate(zip(nodes, test.nodes, strict=False), start=1)
    ]
    rows.append(_mean_row("guest", test.guest, ping_of_guests(records, test.drill)))
    rows.append(_mean_row("guest's service", None, service_of_guests(records, test.drill)))
    first = test.table == FIRST_TEST
    notes = [PING_NOTE, SERVICE_NOTE, MARGIN_NOTE] if first else [f"Measured as in table {FIRST_TEST}."]
    if test.drill == "power-off":
        notes.append(f"Before its cluster, the study reckoned with about {study.WITHOUT_CLUSTER_S:.0f} s.")
    return Table(
        f"Table {test.table}, {test.title}: mean unavailability ({ground})",
        ("", "study", f"study {SIGMA}", "here", f"here {SIGMA}", "margin", "measured"),
        tuple(rows),
        tuple(notes),
    )


def _mean_row(name: str, published: study.Published | None, ours: Mean) -> tuple[str, ...]:
    margin = f"+{seconds(ours.earlier_s)} / -{seconds(ours.shorter_s)}" if ours.mean_s is not None else NONE_PUBLISHED
    return (
        name,
        seconds(published.mean_s, NONE_PUBLISHED) if published else NONE_PUBLISHED,
        seconds(published.deviation_s, NONE_PUBLISHED) if published else NONE_PUBLISHED,
        str(ours),
        seconds(ours.deviation_s, NONE_PUBLISHED),
        margin,
        f"{ours.count} times",
    )


def _maintenance_table(records: Sequence[DrillRecord], nodes: Sequence[str], ground: Ground) -> Table:
    """Table 7.4; ours from the mean outages and the study's number of maintenances."""
    names = [*(f"node {place} ({node})" for place, node in enumerate(nodes[:2], start=1)), "guest"]
    means = [
        *(ping_of_node(records, "maintenance", node) for node in nodes[:2]),
        ping_of_guests(records, "maintenance"),
    ]
    per_year = study.MAINTENANCES_PER_NODE * YEAR_S / (study.MAINTENANCE_DAYS * DAY_S)
    rows = [
        (name, percent(published), percent(_share(ours, per_year), str(ours)))
        for name, published, ours in zip(names, study.MAINTENANCE_AVAILABILITY, means, strict=False)
    ]
    return Table(
        f"Table 7.4, availability over {study.MAINTENANCE_DAYS} days with planned maintenance ({ground})",
        ("", "study", "here, projected"),
        tuple(rows),
        (
            f"Ours: the mean outage of table 7.3, taken to happen {study.MAINTENANCES_PER_NODE} times to each node "
            f"in {study.MAINTENANCE_DAYS} days; a guest is touched by the maintenance of its home.",
        ),
        projection=True,
    )


def _share(ours: Mean, per_year: float) -> float | None:
    return None if ours.mean_s is None else projected([FailureRate(per_year, ours.mean_s)])


def _month_table(projections: dict[str, Projection], ground: Ground, rates: Rates) -> Table:
    rows = []
    for guest, projection in projections.items():
        there = study.service(guest)
        rows.append(
            (
                guest,
                percent(there.month_before if there else None, NONE_PUBLISHED),
                percent(there.month_after if there else None, NONE_PUBLISHED),
                _projected_percent(projection),
                _nines(projection.availability),
            )
        )
    return Table(
        f"Table {FIRST_PROJECTION}, availability in one month ({ground})",
        ("", "study, before", "study, with cluster", "here, projected", "nines"),
        tuple(rows),
        _projection_notes(projections, rates),
        projection=True,
    )


def _month_downtime_table(projections: dict[str, Projection], ground: Ground) -> Table:
    rows = []
    for guest, projection in projections.items():
        there = study.service(guest)
        share = projection.availability
        ours = _missing(projection) if share is None else downtime(downtime_per_month_s(share))
        rows.append(
            (
                guest,
                downtime(there.downtime_before_s if there else None, NONE_PUBLISHED),
                downtime(there.downtime_after_s if there else None, NONE_PUBLISHED),
                ours,
            )
        )
    return Table(
        f"Table 7.6, downtime in one month of {MONTH_S / DAY_S:.0f} days ({ground})",
        ("", "study, before", "study, with cluster", "here, projected"),
        tuple(rows),
        (AS_FIRST_PROJECTION,),
        projection=True,
    )


def _year_table(projections: dict[str, Projection], ground: Ground) -> Table:
    rows = []
    for guest, projection in projections.items():
        there = study.service(guest)
        share = projection.availability
        rows.append(
            (
                guest,
                percent(there.year if there else None, NONE_PUBLISHED),
                _projected_percent(projection),
                _nines(share),
                _missing(projection) if share is None else downtime(downtime_per_year_s(share)),
                NONE_PUBLISHED if share is None else ("yes" if share > study.TARGET else "no"),
            )
        )
    return Table(
        f"Table 5.1, availability in 2015 against a year here ({ground})",
        ("", "study, 2015", "here, projected", "nines", "downtime a year", f"above {percent(study.TARGET)}"),
        tuple(rows),
        (AS_FIRST_PROJECTION,),
        projection=True,
    )


def _projected_percent(projection: Projection) -> str:
    share = projection.availability
    return _missing(projection) if share is None else percent(share)


def _missing(projection: Projection) -> str:
    return "an outage did not end" if projection.unended else NOT_MEASURED


def _nines(share: float | None) -> str:
    if share is None:
        return NONE_PUBLISHED
    count = nines(share)
    return "no end" if count is None else str(count)


def _projection_notes(projections: dict[str, Projection], rates: Rates) -> tuple[str, ...]:
    notes = [
        f"Not measured: d = MTBF / (MTBF + MTTR) from the mean outages of drills and an assumed rate of {rates}.",
    ]
    lacking = sorted({drill for one in projections.values() for drill in one.lacking})
    if lacking:
        notes.append(f"Left open, because these drills are not there: {', '.join(lacking)}; or set their rate to 0.")
    projected_ones = [one for one in projections.values() if one.availability is not None]
    ignored = sorted({drill for one in projected_ones for drill in one.ignored})
    if ignored:
        notes.append(f"Taken as no outage for guests at home elsewhere, without a drill of it: {', '.join(ignored)}.")
    return tuple(notes)
