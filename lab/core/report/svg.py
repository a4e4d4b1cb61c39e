"""SVG as text: elements whose attributes and contents are escaped, and scales from figures to pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from lab.core.report.wording import printable

#: Steps between the marks of an axis that people can count in, times a power of ten; of time, also in minutes.
_STEPS = (1.0, 2.0, 5.0)
_TIME_STEPS_S = (10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)


def element(name: str, *inner: str, **attributes: object) -> str:
    """One element.

    Args:
        name: of the element.
        inner: contents that are markup already; :func:`words` makes it of text.
        attributes: a trailing underscore is dropped (``class_``), other underscores become hyphens; None is left out.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(printable(_value(value)))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{''.join(inner)}</{name}>"


def words(text: str) -> str:
    """Text, escaped."""
    return escape(printable(text))


def title(text: str) -> str:
    """What is shown when a person points at the element around it."""
    return element("title", words(text))


def drawing(width: float, height: float, *inner: str, identifier: str, name: str, description: str) -> str:
    """A whole picture, described for those who do not see it.

    Args:
        width: in pixels.
        height: in pixels.
        inner: what is in it.
        identifier: unique on the page; letters, digits and hyphens.
        name: what it is.
        description: what it shows, in words.
    """
    return element(
        "svg",
        element("title", words(name), id=f"{identifier}-title"),
        element("desc", words(description), id=f"{identifier}-desc"),
        *inner,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"{identifier}-title {identifier}-desc",
    )


@dataclass(frozen=True)
class Scale:
    """Figures to pixels along one axis, in proportion.

    Args:
        start, end: the figures at both ends; end is larger.
        at: pixel of the start.
        length: pixels to the end; negative where the axis points upwards.
    """

    start: float
    end: float
    at: float
    length: float

    @property
    def per_unit(self) -> float:
        """Pixels for one unit, without sign."""
        return abs(self.length) / (self.end - self.start)

    def place(self, figure: float) -> float:
        """The pixel of a figure; beyond the ends for figures beyond them."""
        return self.at + self.length * (figure - self.start) / (self.end - self.start)

    def marks(self, wanted: int, *, time: bool = False) -> tuple[float, ...]:
        """Round figures to mark the axis with, about as many as wanted; of time, in steps of seconds and minutes."""
        step = _step((self.end - self.start) / max(1, wanted), time=time)
        first, last = math.ceil(self.start / step - 1e-9), math.floor(self.end / step + 1e-9)
        return tuple(number * step for number in range(first, last + 1))


def _step(least: float, *, time: bool) -> float:
    if time and _TIME_STEPS_S[0] / 2 < least <= _TIME_STEPS_S[-1]:
        return next(step for step in _TIME_STEPS_S if step >= least)
    power = 10.0 ** math.floor(math.log10(least))
    return next((step * power for step in _STEPS if step * power >= least * (1 - 1e-9)), 10.0 * power)


def _value(value: object) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
