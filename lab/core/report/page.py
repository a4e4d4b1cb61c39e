"""The report as one page that needs nothing but itself: values for its template, and the template filled with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from lab.core.drills.record import DrillRecord, OutageFigure, StreamFigures
from lab.core.errors import LabError
from lab.core.report.lanes import LEAST_WIDTH, lanes, least_visible_s, time_scale
from lab.core.report.latency import latency_curve
from lab.core.report.means import grounds, service_streams
from lab.core.report.migration import migration_notes, migrations_table
from lab.core.report.pictures import Picture, hump_pictures, move_pictures
from lab.core.report.tables import Table
from lab.core.report.wording import (
    NOT_ENDED,
    downtime,
    ground_of,
    heading,
    longest,
    outage_length,
    percent,
    printable,
    seconds,
    target,
    verdict,
)

MIGRATION_DRILL = "live-migrate"
SUMMARY_COLUMNS = ("drill", "of", "longest outage of a service", "lost", "audits", "objectives", "took", "when")
PERCENTILES = ("p50", "p90", "p99", "max")


@dataclass(frozen=True)
class DrillPart:
    """One drill as the template shows it.

    Args:
        identifier: unique on the page, for links.
        record: the drill.
        heading: with what it was measured on.
        ground: what it was measured on.
        verdict: in a word.
        summary: the cells of its row in the table of drills, under :data:`SUMMARY_COLUMNS`.
        lanes: time line and outages.
        migration: curves through a live migration, large.
        moves: curves around each live migration, small.
        curves: curves of all other streams, small.
        tables: phases, outages, streams and so on, in the order in which they are shown.
    """

    identifier: str
    record: DrillRecord
    heading: str
    ground: str
    verdict: str
    summary: tuple[str, ...]
    lanes: Picture
    migration: tuple[Picture, ...]
    moves: tuple[Picture, ...]
    curves: tuple[Picture, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class ProgrammePart:
    """A programme as the template shows it, above its drills.

    Args:
        name: of the programme.
        table: its means beside the study's.
        steps: a line for each of its drills.
        finished: whether all of them are complete.
    """

    name: str
    table: Table
    steps: tuple[str, ...]
    finished: bool


def render_page(
    template: str,
    lab: str,
    records: Sequence[DrillRecord],
    tables: Sequence[Table],
    unreadable: Sequence[str] = (),
    *,
    programme: ProgrammePart | None = None,
) -> str:
    """The page.

    Args:
        template: text of ``report/report.html.j2``.
        lab: name of the lab.
        records: its drills, in the order of the page.
        tables: those of the study.
        unreadable: what could not be read, one sentence each.
        programme: the programme that they are the drills of; None for just drills.

    Raises:
        LabError: the template does not fit.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    values = {
        "lab": lab,
        "grounds": [str(ground) for ground in grounds(records)],
        "drills": [drill_part(record, f"drill-{place}") for place, record in enumerate(records, start=1)],
        "failed": sum(not record.ok for record in records),
        "summary_columns": SUMMARY_COLUMNS,
        "study_tables": tables,
        "unreadable": unreadable,
        "least_width": f"{LEAST_WIDTH:g}",
        "programme": programme,
        "hump": hump_pictures(records),
        "hump_notes": migration_notes([(record, one) for record in records for one in record.migrations]),
    }
    try:
        return printable(environment.from_string(template).render(values))
    except jinja2.TemplateError as error:
        raise LabError(
            f"the template of the report does not fit: {error}", remedy="Restore report/ from the repository"
        ) from error


def drill_part(record: DrillRecord, identifier: str) -> DrillPart:
    """One drill for the template."""
    moved = [stream for stream in record.streams if record.drill == MIGRATION_DRILL and stream.target == record.guest]
    others = [stream for stream in record.streams if stream not in moved]
    return DrillPart(
        identifier=identifier,
        record=record,
        heading=heading(record),
        ground=ground_of(record),
        verdict=verdict(record.ok),
        summary=summary_row(record),
        lanes=_lanes_picture(record, identifier),
        migration=tuple(
            _curve(record, stream, f"{identifier}-moved-{place}", large=True) for place, stream in enumerate(moved)
        ),
        moves=move_pictures(record, identifier),
        curves=tuple(_curve(record, stream, f"{identifier}-curve-{place}") for place, stream in enumerate(others)),
        tables=tuple(
            table
            for table in (
                phases_table(record),
                streams_table(record),
                outages_table(record),
                migrations_table(record),
                boots_table(record),
            )
            if table.rows
        ),
    )


def summary_row(record: DrillRecord) -> tuple[str, ...]:
    """The cells under :data:`SUMMARY_COLUMNS`."""
    held = sum(audit.ok for audit in record.audits)
    met = sum(objective.ok for objective in record.objectives)
    return (
        record.drill,
        target(record),
        worst_outage(record),
        str(sum(stream.requests - stream.answered for stream in record.streams)),
        f"{held} of {len(record.audits)} hold",
        f"{met} of {len(record.objectives)} met" if record.objectives else "none set",
        downtime(record.duration_s),
        record.fault_at,
    )


def worst_outage(record: DrillRecord) -> str:
    """The longest outage of any service, and which stream it was."""
    streams = service_streams(record)
    if not streams:
        return "no service was asked"
    open_ones = [stream.name for stream in streams if record.longest_outage_s(stream.name) is None]
    if open_ones:
        return f"{NOT_ENDED} ({open_ones[0]}{f' and {len(open_ones) - 1} more' if open_ones[1:] else ''})"
    worst = max(streams, key=lambda stream: record.longest_outage_s(stream.name) or 0.0)
    return f"{longest(worst)} ({worst.name})" if worst.outages else longest(worst)


def phases_table(record: DrillRecord) -> Table:
    """What happened when, and who says so."""
    rows = tuple(
        (
            seconds(phase.at_s),
            phase.name,
            phase.subject or "cluster",
            phase.source,
            f"± {seconds(phase.uncertainty_s)}" if phase.uncertainty_s else "exact",
            phase.detail,
        )
        for phase in record.phases
    )
    return Table(
        f"Phases ({ground_of(record)})",
        ("from the fault", "phase", "of", "told by", "uncertainty", "in its words"),
        rows,
    )


def streams_table(record: DrillRecord) -> Table:
    """What clients saw of each stream."""
    rows = tuple(_stream_row(stream) for stream in record.streams)
    return Table(
        f"Availability and latency ({ground_of(record)})",
        (
            "stream",
            "address",
            "every",
            "waits",
            "requests",
            "lost",
            "available",
            "longest outage",
            *(f"{name} ms" for name in PERCENTILES),
        ),
        rows,
        (
            "Available: share of the recorded time outside of outages; it belongs to this drill, not to a month. "
            "Latencies are those of answered requests, in milliseconds.",
        ),
    )


def _stream_row(stream: StreamFigures) -> tuple[str, ...]:
    latencies = (stream.latency_ms.get(name) for name in PERCENTILES)
    return (
        stream.name,
        stream.address,
        f"{stream.interval_s:g} s",
        f"{stream.timeout_s:g} s",
        str(stream.requests),
        str(stream.requests - stream.answered),
        percent(stream.availability),
        longest(stream),
        *("-" if value is None else f"{value:.1f}" for value in latencies),
    )


def outages_table(record: DrillRecord) -> Table:
    """Every outage with its margins."""
    rows = tuple(_outage_row(stream, outage) for stream in record.streams for outage in stream.outages)
    return Table(
        f"Outages ({ground_of(record)})",
        ("stream", "from", "to", "length", "may have begun earlier by", "may have ended earlier by", "requests lost"),
        rows,
        ("Times are seconds from the fault. What happened between two requests is not known; that is the margin.",),
    )


def _outage_row(stream: StreamFigures, outage: OutageFigure) -> tuple[str, ...]:
    return (
        stream.name,
        seconds(outage.start_s),
        seconds(outage.end_s, NOT_ENDED),
        outage_length(outage),
        seconds(outage.start_uncertainty_s),
        "-" if outage.end_s is None else seconds(outage.end_uncertainty_s),
        str(outage.requests_lost),
    )


def boots_table(record: DrillRecord) -> Table:
    """Boot ids before and after."""
    rows = tuple(
        (node, before, after, "the same" if before == after else "another")
        for node, (before, after) in record.boot_ids.items()
    )
    return Table(f"Boot ids ({ground_of(record)})", ("node", "before", "after", "is"), rows)


def _lanes_picture(record: DrillRecord, identifier: str) -> Picture:
    least_s = least_visible_s(time_scale(record))
    return Picture(
        Markup(lanes(record, f"{identifier}-lanes")),  # noqa: S704 (made of escaped parts)
        f"Phases above, streams below. Bars are outages, to scale; one shorter than {seconds(least_s)} is drawn "
        f"{LEAST_WIDTH:g} pixels wide so that it can be seen. Thin lines before a bar and the pale part at its end are "
        "margins. At the right: time of the last event, or the longest outage.",
    )


def _curve(record: DrillRecord, stream: StreamFigures, identifier: str, *, large: bool = False) -> Picture:
    return Picture(
        Markup(latency_curve(record, stream, identifier, large=large)),  # noqa: S704 (made of escaped parts)
        f"Latency of {stream.name}",
    )
