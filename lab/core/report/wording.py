"""Figures as words: seconds, shares, grounds. Nothing is rounded to more than it is."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from lab.core.drills.record import DrillRecord, OutageFigure, StreamFigures

NOT_MEASURED = "not measured"
NOT_ENDED = "did not end"

#: Not allowed in XML 1.0 (chapter 2.2) and of no use on a page.
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def seconds(value: float | None, missing: str = NOT_MEASURED) -> str:
    """Seconds with one digit, two below ten: ``81.2 s``, ``0.25 s``; ``missing`` for None."""
    if value is None:
        return missing
    if value == 0:
        return "0 s"
    return f"{value:.2f} s" if abs(value) < 10 else f"{value:.1f} s"


def downtime(value: float | None, missing: str = NOT_MEASURED) -> str:
    """A longer time as hours, minutes and seconds: ``1 h 02 min 03 s``, ``9 min 40 s``, ``12.5 s``."""
    if value is None or value < 60:
        return seconds(value, missing)
    whole = round(value)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours} h {minutes:02} min {rest:02} s" if hours else f"{minutes} min {rest:02} s"


def percent(share: float | None, missing: str = NOT_MEASURED) -> str:
    """A share as percent with three digits, cut and not rounded: what is not 1 never reads 100 %."""
    if share is None:
        return missing
    if share == 1:
        return "100 %"
    cut = (Decimal(repr(share)) * 100).quantize(Decimal("0.001"), rounding=ROUND_FLOOR)
    return f"{cut} %"


def ground(accelerator: str, time_scale: float) -> str:
    """On what a figure was measured, for headings: ``TCG, time scale 3``."""
    return f"{accelerator.upper()}, time scale {time_scale:g}"


def ground_of(record: DrillRecord) -> str:
    """On what a drill was done, for headings."""
    return ground(record.accelerator, record.time_scale)


def target(record: DrillRecord) -> str:
    """What a drill was done to: its guest, else its node, else the lab."""
    return record.guest or record.node or record.lab


def heading(record: DrillRecord) -> str:
    """Such as ``power-off of brina (TCG, time scale 3)``."""
    return f"{record.drill} of {target(record)} ({ground_of(record)})"


def verdict(ok: bool) -> str:
    """``passed`` or ``failed``."""
    return "passed" if ok else "failed"


def outage_length(outage: OutageFigure) -> str:
    """Its length, or that it did not end."""
    return NOT_ENDED if outage.end_s is None else seconds(outage.end_s - outage.start_s)


def longest(stream: StreamFigures) -> str:
    """The longest outage of a stream, in words."""
    if not stream.outages:
        return "no outage"
    if any(outage.end_s is None for outage in stream.outages):
        return NOT_ENDED
    return seconds(max(outage.end_s - outage.start_s for outage in stream.outages if outage.end_s is not None))


def printable(text: str) -> str:
    """The text with every character that XML 1.0 does not know replaced."""
    return "".join(character if _is_xml(ord(character)) else _REPLACEMENT for character in text)


def _is_xml(code: int) -> bool:
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
