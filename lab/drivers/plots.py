"""Plots of a drill as PNG and SVG files, drawn by matplotlib without a display.

matplotlib is imported when the first plot is drawn: it takes a second and nothing else needs it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from lab.core.drills.record import DrillRecord, StreamFigures
from lab.core.report.lanes import shortened, span
from lab.core.report.latency import pieces
from lab.core.report.wording import heading, longest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
DOTS_PER_INCH = 130
WIDTH_IN = 10.0
OUTAGE_COLOUR = "#b3261e"
LANE_COLOUR = "#e4ecf5"
CURVE_COLOUR = "#1f5fa8"
FAULT_COLOUR = "#8a5a00"
#: Same input, same bytes: no date, no random identifiers; and a dollar in a name is a dollar, not mathematics.
SETTINGS: Any = {"svg.hashsalt": "ha-lab", "svg.fonttype": "none", "text.parse_math": False}


def plots(record: DrillRecord) -> dict[str, bytes]:
    """All plots of a drill.

    Returns:
        Contents by file name, such as ``<identifier>-outages.svg``; none for a drill without streams.
    """
    if not record.streams:
        return {}
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    with mpl.rc_context(SETTINGS):
        figures = {"outages": _outages(record), "latency": _latency(record)}
        return {
            f"{record.identifier}-{name}.{ending}": _written(figure, ending)
            for name, figure in figures.items()
            for ending in FORMATS
        }


def _written(figure: Figure, ending: str) -> bytes:
    stream = io.BytesIO()
    metadata = {"Date": None} if ending == "svg" else {"Software": None}
    figure.savefig(stream, format=ending, dpi=DOTS_PER_INCH, metadata=metadata)
    return stream.getvalue()


def _outages(record: DrillRecord) -> Figure:
    """One lane for each stream, outages to scale."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    start_s, end_s = span(record)
    figure = Figure(figsize=(WIDTH_IN, 1.3 + 0.3 * len(record.streams)), layout="constrained")
    axes = figure.add_subplot()
    for place, stream in enumerate(record.streams):
        axes.broken_barh([(start_s, end_s - start_s)], (place - 0.3, 0.6), facecolors=LANE_COLOUR)
        bars = [
            (outage.start_s, (end_s if outage.end_s is None else outage.end_s) - outage.start_s)
            for outage in stream.outages
        ]
        # With an edge, so that the shortest outage is still a line.
        axes.broken_barh(bars, (place - 0.3, 0.6), facecolors=OUTAGE_COLOUR, edgecolors=OUTAGE_COLOUR, linewidth=0.8)
        axes.text(end_s, place, f" {longest(stream)}", va="center", fontsize=8)
    axes.set_yticks(range(len(record.streams)), [_label(stream.name, 40) for stream in record.streams], fontsize=8)
    axes.set_ylim(len(record.streams) - 0.5, -0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    _along_time(record, axes)
    axes.set_xlabel("seconds from the fault")
    axes.set_title(_label(f"Outages: {heading(record)}", 110), loc="left", fontsize=10)
    return figure


def _latency(record: DrillRecord) -> Figure:
    """One curve for each stream, broken where nothing was answered."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(WIDTH_IN, 1.0 + 1.25 * len(record.streams)), layout="constrained")
    rows = figure.subplots(len(record.streams), 1, sharex=True, squeeze=False)
    for (axes,), stream in zip(rows, record.streams, strict=True):
        _curve(record, stream, axes)
    rows[-1][0].set_xlabel("seconds from the fault")
    figure.suptitle(_label(f"Latency: {heading(record)}", 110), x=0.01, ha="left", fontsize=10)
    return figure


def _curve(record: DrillRecord, stream: StreamFigures, axes: Axes) -> None:
    _, end_s = span(record)
    for outage in stream.outages:
        axes.axvspan(outage.start_s, end_s if outage.end_s is None else outage.end_s, color=OUTAGE_COLOUR, alpha=0.2)
    for piece in pieces(stream.curve):
        marker = "." if len(piece) == 1 else None
        axes.plot(*zip(*piece, strict=True), color=CURVE_COLOUR, linewidth=1, marker=marker)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("ms", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.set_title(_label(stream.name), loc="left", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    _along_time(record, axes)


def _label(text: str, letters: int = 60) -> str:
    """Text that every font has signs for, on one line and not longer than the picture."""
    return shortened("".join(letter if letter.isprintable() else "?" for letter in text), letters)


def _along_time(record: DrillRecord, axes: Axes) -> None:
    axes.set_xlim(*span(record))
    axes.axvline(0, color=FAULT_COLOUR, linewidth=1)


__all__ = ["plots"]
