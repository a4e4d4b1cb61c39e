"""Curves of latency over the time of a drill; where nothing was answered the curve is broken and the ground marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.core.drills.record import DrillRecord, StreamFigures
from lab.core.report import svg
from lab.core.report.lanes import bar_of, shortened, time_axis, time_scale
from lab.core.report.svg import Scale, element, words
from lab.core.report.wording import heading, longest

LEFT = 52
RIGHT = 12
TOP = 26
AXIS = 34
SMALL = (320, 170)
LARGE = (960, 300)
#: A curve of nothing but zeros still needs an axis.
LEAST_MS = 1.0

Point = tuple[float, float]


def pieces(curve: Sequence[tuple[float, float | None]]) -> Iterator[list[Point]]:
    """The unbroken pieces of a curve, in order; none is empty."""
    piece: list[Point] = []
    for at_s, latency_ms in curve:
        if latency_ms is not None:
            piece.append((at_s, latency_ms))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def latency_curve(record: DrillRecord, stream: StreamFigures, identifier: str, *, large: bool = False) -> str:
    """The curve of one stream as SVG.

    Args:
        record: the drill.
        stream: one of its streams.
        identifier: unique on the page; letters, digits and hyphens.
        large: over the whole width of the page, with the phases marked.
    """
    width, height = LARGE if large else SMALL
    bottom = height - AXIS
    across = time_scale(record, LEFT, width - RIGHT)
    most_ms = max((latency for _, latency in stream.curve if latency is not None), default=0.0)
    upwards = Scale(0.0, max(LEAST_MS, most_ms * 1.05), bottom, TOP - bottom)
    name = stream.name if large else shortened(stream.name, 30)
    inner = [
        element("text", words(name), svg.title(stream.name), x=LEFT, y=14, class_="label"),
        element("text", words("ms"), x=LEFT - 6, y=14, class_="mark end"),
        *upward_marks(upwards, LEFT, width - RIGHT, 5 if large else 3),
        *time_axis(across, TOP, bottom, 12 if large else 6),
        *(_phase_marks(record, across, bottom) if large else ()),
        *curve_parts(stream, across, upwards, bottom),
    ]
    return svg.drawing(
        width,
        height,
        *inner,
        identifier=identifier,
        name=f"Latency of {stream.name}: {heading(record)}",
        description=_description(stream),
    )


def curve_parts(stream: StreamFigures, across: Scale, upwards: Scale, bottom: float) -> list[str]:
    """The curve of a stream, and the marked ground where it gave no answer."""
    return [*_ground(stream, across, bottom), *(_piece(piece, across, upwards) for piece in pieces(stream.curve))]


def _ground(stream: StreamFigures, across: Scale, bottom: float) -> list[str]:
    bars = [bar_of(outage, across) for outage in stream.outages]
    return [element("rect", x=bar.x, y=TOP, width=bar.width, height=bottom - TOP, class_="dark") for bar in bars]


def upward_marks(upwards: Scale, left: float, right: float, wanted: int) -> list[str]:
    """Marks of the upward axis with a grid."""
    parts = []
    for mark in upwards.marks(wanted):
        y = upwards.place(mark)
        parts.append(element("line", x1=left, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(element("text", words(f"{mark:g}"), x=left - 6, y=y + 4, class_="mark end"))
    return parts


def _phase_marks(record: DrillRecord, across: Scale, bottom: float) -> list[str]:
    parts = []
    for phase in record.phases:
        x = across.place(phase.at_s)
        hint = svg.title(f"{phase.name} {phase.subject}".strip())
        parts.append(element("line", hint, x1=x, x2=x, y1=TOP, y2=bottom, class_="moment"))
    return parts


def _piece(piece: Sequence[Point], across: Scale, upwards: Scale) -> str:
    places = [(across.place(at_s), upwards.place(latency_ms)) for at_s, latency_ms in piece]
    if len(places) == 1:
        # A line of one point is not drawn.
        return element("circle", cx=places[0][0], cy=places[0][1], r=1.5, class_="dot")
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_="curve")


def _description(stream: StreamFigures) -> str:
    told = ", ".join(f"{name} {value:.1f} ms" for name, value in stream.latency_ms.items()) or "no answer at all"
    return f"{told}; longest outage: {longest(stream)}."
