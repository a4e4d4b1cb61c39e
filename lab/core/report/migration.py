"""What clients noticed of live migrations: the table, and the curve of the study's figure 7.3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lab.core.drills.record import DrillRecord, MigrationFigure, StreamFigures
from lab.core.report import svg
from lab.core.report.lanes import shortened
from lab.core.report.latency import AXIS, LARGE, LEAST_MS, LEFT, RIGHT, SMALL, TOP, curve_parts, upward_marks
from lab.core.report.means import PING
from lab.core.report.svg import Scale, element, words
from lab.core.report.tables import Table
from lab.core.report.wording import ground_of, heading, seconds

#: Drawn before and after a migration, seconds: enough to see what is usual.
AROUND_S = 20.0


def moved_streams(record: DrillRecord, migration: MigrationFigure) -> tuple[StreamFigures, ...]:
    """The streams of the guest of a migration, ping first: that is the study's."""
    own = [stream for stream in record.streams if stream.target == migration.guest]
    return tuple(sorted(own, key=lambda stream: stream.kind != PING))


def best_example(records: Iterable[DrillRecord]) -> tuple[DrillRecord, MigrationFigure] | None:
    """The migration that is shown large: the first one of a DNS guest in a maintenance, else the first one at all."""
    found = [(record, one) for record in records for one in record.migrations if moved_streams(record, one)]

    def rank(pair: tuple[DrillRecord, MigrationFigure]) -> tuple[bool, bool]:
        record, one = pair
        kinds = {stream.kind for stream in moved_streams(record, one)}
        return record.drill != "maintenance", "dns" not in kinds

    return min(found, key=rank, default=None)


def migration_curve(
    record: DrillRecord, migration: MigrationFigure, stream: StreamFigures, identifier: str, *, large: bool = False
) -> str:
    """Latency of one stream around one migration as SVG.

    Args:
        record: the drill.
        migration: one of its migrations.
        stream: a stream of the guest.
        identifier: unique on the page; letters, digits and hyphens.
        large: over the whole width of the page.
    """
    width, height = LARGE if large else SMALL
    bottom = height - AXIS
    across = Scale(
        migration.start_s - AROUND_S,
        migration.end_s + AROUND_S,
        LEFT,
        width - RIGHT - LEFT,
    )
    part = _within(stream, across)
    most_ms = max((latency for _, latency in part.curve if latency is not None), default=0.0)
    upwards = Scale(0.0, max(LEAST_MS, most_ms * 1.05), bottom, TOP - bottom)
    told = f"{stream.name}, {migration.source} to {migration.target}"
    inner = [
        element("text", words(shortened(told, 90 if large else 40)), svg.title(told), x=LEFT, y=14, class_="label"),
        element("text", words("ms"), x=LEFT - 6, y=14, class_="mark end"),
        _moving(migration, across, bottom),
        *upward_marks(upwards, LEFT, width - RIGHT, 5 if large else 3),
        *_times(across, bottom, 12 if large else 5),
        *curve_parts(part, across, upwards, bottom),
    ]
    return svg.drawing(
        width,
        height,
        *inner,
        identifier=identifier,
        name=f"Latency of {stream.name} around its live migration: {heading(record)}",
        description=_description(migration, stream),
    )


def _within(stream: StreamFigures, across: Scale) -> StreamFigures:
    """The stream with what lies inside of the drawing."""
    curve = tuple(point for point in stream.curve if across.start <= point[0] <= across.end)
    dark = tuple(
        one for one in stream.outages if one.start_s < across.end and (one.end_s is None or one.end_s > across.start)
    )
    clipped = tuple(
        replace(
            one,
            start_s=max(one.start_s, across.start),
            end_s=None if one.end_s is None or one.end_s > across.end else one.end_s,
        )
        for one in dark
    )
    return replace(stream, curve=curve, outages=clipped)


def _moving(migration: MigrationFigure, across: Scale, bottom: float) -> str:
    """The ground on which the guest was on its way."""
    x = across.place(migration.start_s)
    hint = svg.title(f"live migration, {seconds(migration.end_s - migration.start_s)}")
    return element(
        "rect", hint, x=x, y=TOP, width=across.place(migration.end_s) - x, height=bottom - TOP, class_="moving"
    )


def _times(across: Scale, bottom: float, wanted: int) -> list[str]:
    parts = []
    for mark in across.marks(wanted, time=True):
        x = across.place(mark)
        parts.append(element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid"))
        parts.append(element("text", words(f"{mark:g}"), x=x, y=bottom + 15, class_="mark middle"))
    middle = across.at + across.length / 2
    parts.append(element("text", words("seconds from the fault"), x=middle, y=bottom + 30, class_="mark middle"))
    return parts


def _description(migration: MigrationFigure, stream: StreamFigures) -> str:
    own = next((one for one in migration.streams if one.stream == stream.name), None)
    if own is None:
        return f"{migration.guest} moves from {migration.source} to {migration.target}."
    return (
        f"{migration.guest} moves from {migration.source} to {migration.target}; usually {_ms(own.calm_ms)}, "
        f"meanwhile {_ms(own.median_ms)}, at most {_ms(own.highest_ms)}; {own.lost} of {own.requests} requests lost."
    )


def migrations_table(record: DrillRecord) -> Table:
    """What every stream noticed of every migration of a drill."""
    rows = tuple(
        (
            own.stream,
            f"{one.source} to {one.target}",
            f"{seconds(one.start_s)} ± {seconds(one.uncertainty_s)}",
            seconds(one.end_s - one.start_s),
            _ms(own.calm_ms),
            _ms(own.median_ms),
            _ms(own.highest_ms),
            seconds(own.raised_s, "-"),
            f"{own.lost} of {own.requests}",
            seconds(own.longest_pause_s),
        )
        for one in record.migrations
        for own in one.streams
    )
    return Table(
        f"Live migrations ({ground_of(record)})",
        (
            "stream",
            "moved",
            "begun",
            "took",
            "usual latency",
            "meanwhile",
            "highest",
            "slower for",
            "lost",
            "longest pause",
        ),
        rows,
        (
            "Usual and meanwhile are medians. Slower for: an interval for each request that took longer than all "
            "in the 20 s before. A pause is known to the interval of its stream.",
        ),
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def migration_notes(pairs: Sequence[tuple[DrillRecord, MigrationFigure]]) -> tuple[str, ...]:
    """What a picture of one migration cannot say about all of them."""
    pings = [own for _, one in pairs for own in one.streams if own.stream.startswith(f"{PING} ")]
    if not pings:
        return ()
    rises = [own.highest_ms - own.calm_ms for own in pings if own.highest_ms is not None and own.calm_ms is not None]
    lost = sum(own.lost for own in pings)
    notes = [f"{len(pings)} live migrations seen by ping: {lost} of {sum(own.requests for own in pings)} pings lost."]
    if rises:
        notes.append(
            f"The highest latency was {min(rises):.1f} to {max(rises):.1f} ms above the usual one; the longest pause "
            f"{seconds(max(own.longest_pause_s for own in pings))}."
        )
    return tuple(notes)
