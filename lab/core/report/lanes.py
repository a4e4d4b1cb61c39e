"""The picture of a drill: its phases above, one lane for each stream below, outages to scale, on one axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.drills.record import PHASES, DrillRecord, OutageFigure, Phase, StreamFigures
from lab.core.report import svg
from lab.core.report.svg import Scale, element, words
from lab.core.report.wording import heading, longest, outage_length, percent, seconds

WIDTH = 960
LEFT = 205
RIGHT = 100
TOP = 8
ROW = 22
BAR = 12
AXIS = 34
GAP = 14
#: An outage is drawn at least so wide, or the eye would not find it.
LEAST_WIDTH = 2.0
#: A letter of the labels, pixels; generous.
LETTER = 6.6
LABEL_LETTERS = int((LEFT - 12) / LETTER)


@dataclass(frozen=True)
class Bar:
    """Where an outage is drawn, pixels."""

    x: float
    width: float


def span(record: DrillRecord) -> tuple[float, float]:
    """Beginning and end of what is drawn, seconds from the fault; everything in the record lies between them."""
    times = [0.0, *(phase.at_s for phase in record.phases)]
    for stream in record.streams:
        times += [at_s for at_s, _ in stream.curve]
        times += [time for outage in stream.outages for time in (outage.start_s, outage.end_s) if time is not None]
    start_s = min(times)
    return start_s, max(*times, start_s + record.duration_s, start_s + 1.0)


def time_scale(record: DrillRecord, left: float = LEFT, right: float = WIDTH - RIGHT) -> Scale:
    """The axis of time of a drill between two pixels."""
    start_s, end_s = span(record)
    return Scale(start_s, end_s, left, right - left)


def bar_of(outage: OutageFigure, scale: Scale) -> Bar:
    """The bar of an outage: as wide as it is long, but never below :data:`LEAST_WIDTH`; an open one to the end."""
    end_s = scale.end if outage.end_s is None else outage.end_s
    return Bar(scale.place(outage.start_s), max(LEAST_WIDTH, (end_s - outage.start_s) * scale.per_unit))


def least_visible_s(scale: Scale) -> float:
    """Outages shorter than this are drawn wider than they are, seconds."""
    return LEAST_WIDTH / scale.per_unit


def lanes(record: DrillRecord, identifier: str) -> str:
    """The picture as SVG.

    Args:
        record: the drill.
        identifier: unique on the page; letters, digits and hyphens.
    """
    scale = time_scale(record)
    names = [name for name in PHASES if any(phase.name == name for phase in record.phases)]
    names += sorted({phase.name for phase in record.phases} - set(PHASES))
    phases_end = TOP + len(names) * ROW
    streams_start = phases_end + (GAP if names else 0)
    bottom = streams_start + len(record.streams) * ROW
    inner = [*time_axis(scale, TOP, bottom)]
    inner += [
        part for place, name in enumerate(names) for part in _phase_row(record.phases, name, TOP + place * ROW, scale)
    ]
    for place, stream in enumerate(record.streams):
        inner += _lane(stream, streams_start + place * ROW, scale)
    return svg.drawing(
        WIDTH,
        bottom + AXIS,
        *inner,
        identifier=identifier,
        name=f"Time line and outages: {heading(record)}",
        description=_description(record, scale),
    )


def time_axis(scale: Scale, top: float, bottom: float, wanted: int = 12) -> list[str]:
    """Marks with a grid, and the moment of the fault; the axis stands below ``bottom``."""
    parts = []
    for mark in scale.marks(wanted, time=True):
        x = scale.place(mark)
        parts.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        parts.append(element("text", words(f"{mark:g}"), x=x, y=bottom + 15, class_="mark middle"))
    fault = scale.place(0.0)
    parts.append(element("line", x1=fault, x2=fault, y1=top, y2=bottom + 3, class_="fault"))
    middle = scale.at + scale.length / 2
    parts.append(element("text", words("seconds from the fault"), x=middle, y=bottom + 30, class_="mark middle"))
    return parts


def _phase_row(phases: Sequence[Phase], name: str, y: float, scale: Scale) -> list[str]:
    middle = y + ROW / 2
    parts = [element("text", words(shortened(name)), x=LEFT - 8, y=middle + 4, class_="label end")]
    own = [phase for phase in phases if phase.name == name]
    for phase in own:
        x = scale.place(phase.at_s)
        told = f"{phase.name} {phase.subject}".strip()
        hint = svg.title(f"{told}: {seconds(phase.at_s)} ({phase.source})")
        if phase.uncertainty_s:
            reach = phase.uncertainty_s * scale.per_unit
            ends = {"x1": max(scale.at, x - reach), "x2": min(scale.at + scale.length, x + reach)}
            parts.append(element("line", y1=middle, y2=middle, class_="whisker", **ends))
        parts.append(element("circle", hint, cx=x, cy=middle, r=4, class_="phase"))
    last = max(own, key=lambda phase: phase.at_s)
    # Written at the right, in the column of figures: beside the dots it would cover others.
    parts.append(element("text", words(seconds(last.at_s)), x=WIDTH - RIGHT + 8, y=middle + 4, class_="figure"))
    return parts


def _lane(stream: StreamFigures, y: float, scale: Scale) -> list[str]:
    middle = y + ROW / 2
    top = middle - BAR / 2
    parts = [
        element(
            "text", words(shortened(stream.name)), svg.title(stream.name), x=LEFT - 8, y=middle + 4, class_="label end"
        ),
        element("rect", x=scale.at, y=top, width=scale.length, height=BAR, class_="lane"),
    ]
    for outage in stream.outages:
        parts += _outage(stream, outage, top, scale)
    told = longest(stream)
    parts.append(
        element(
            "text", words(told), x=WIDTH - RIGHT + 8, y=middle + 4, class_="figure" if stream.outages else "figure calm"
        )
    )
    return parts


def _outage(stream: StreamFigures, outage: OutageFigure, top: float, scale: Scale) -> list[str]:
    bar = bar_of(outage, scale)
    hint = (
        f"{stream.name}: from {seconds(outage.start_s)}, {outage_length(outage)}, {outage.requests_lost} requests lost"
    )
    kind = "outage open" if outage.end_s is None else "outage"
    parts = [element("rect", svg.title(hint), x=bar.x, y=top, width=bar.width, height=BAR, class_=kind)]
    before = outage.start_uncertainty_s * scale.per_unit
    if before:
        x = max(scale.at, bar.x - before)
        parts.append(element("rect", x=x, y=top + BAR / 2 - 1, width=bar.x - x, height=2, class_="unsure"))
    after = min(bar.width, outage.end_uncertainty_s * scale.per_unit)
    # Where the bar is narrow the pale part would hide it.
    if after >= 1 and bar.width - after >= LEAST_WIDTH:
        x = bar.x + bar.width - after
        parts.append(element("rect", x=x, y=top + 3, width=after, height=BAR - 6, class_="maybe"))
    return parts


def shortened(text: str, letters: int = LABEL_LETTERS) -> str:
    """The text, cut with an ellipsis when it has more letters."""
    return text if len(text) <= letters else text[: letters - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _description(record: DrillRecord, scale: Scale) -> str:
    told = [
        f"{stream.name}: {longest(stream)}, available {percent(stream.availability)}"
        for stream in record.streams
        if stream.outages
    ]
    outages = "; ".join(told) if told else "no stream had an outage"
    return f"From {seconds(scale.start)} to {seconds(scale.end)} from the fault. Longest outages: {outages}."
