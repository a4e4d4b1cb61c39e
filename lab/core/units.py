"""Quantities as people write them, ``3 GiB`` or ``3000 ms``, turned into whole numbers of one unit.

A number without a unit is refused: 3 could be gibibytes as well as mebibytes, and a guess would be wrong in silence.
Arithmetic is exact (fractions), so no value depends on floating point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction

MEBIBYTE = 1024**2

#: Bytes of each unit of a size; the decimal units are those of disk makers.
SIZE_UNITS: Mapping[str, int] = {
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
}

#: Milliseconds of each unit of a duration.
DURATION_UNITS: Mapping[str, int] = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}

#: KiB/s of each unit of a rate.
RATE_UNITS: Mapping[str, int] = {"KiB/s": 1, "MiB/s": 1024, "GiB/s": 1024**2}

#: Requests per hour of each unit of a request rate.
REQUEST_RATE_UNITS: Mapping[str, int] = {"/s": 3600, "/min": 60, "/h": 1}

# Twelve digits are more than any size or time here needs and keep a hostile document from costing anything.
_QUANTITY = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)[ ]*([A-Za-z/]{0,12})")

# What people write when they mean one of the units; never accepted, only used to name the likely one.
_HABITS = {
    "k": "KiB",
    "kb": "KiB",
    "kib": "KiB",
    "m": "MiB",
    "mb": "MiB",
    "mi": "MiB",
    "mib": "MiB",
    "g": "GiB",
    "gb": "GiB",
    "gi": "GiB",
    "gib": "GiB",
    "t": "TiB",
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "msec": "ms",
    "millisecond": "ms",
    "milliseconds": "ms",
    "minute": "min",
    "minutes": "min",
    "mins": "min",
    "hour": "h",
    "hours": "h",
}


class UnitError(ValueError):
    """A text that is no quantity of the wanted kind.

    Args:
        message: what is wrong, without a final full stop.
        remedy: how to write it, without a final full stop.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class MissingUnitError(UnitError):
    """A number alone.

    Args:
        number: the number as it was written.
        likely: the unit that is meant most often; a caller that knows bounds may know better.
        units: the units that may be written.
    """

    def __init__(self, number: str, likely: str, units: Sequence[str]) -> None:
        known = ", ".join(units)
        super().__init__(f"{number} has no unit", f"Write the unit too, such as '{number} {likely}' (units: {known})")
        self.number = number
        self.likely = likely
        self.units = units


def mebibytes(value: object) -> int:
    """A size such as ``2560 MiB``, ``1.5 GiB`` or ``20 GB`` in MiB, rounded up to a whole one.

    Args:
        value: the text; anything else is refused.

    Raises:
        UnitError: no unit, an unknown unit, or not a number in front of it.
    """
    return math.ceil(_amount(value, SIZE_UNITS, "size", "3 GiB") / MEBIBYTE)


def milliseconds(value: object) -> int:
    """A duration such as ``3000 ms``, ``1.5 s`` or ``4 min`` in whole milliseconds.

    Raises:
        UnitError: as :func:`mebibytes`, or finer than a millisecond.
    """
    return _whole(_amount(value, DURATION_UNITS, "duration", "3000 ms"), value, "milliseconds")


def seconds(value: object) -> int:
    """A duration such as ``90 s`` or ``4 min`` in whole seconds.

    Raises:
        UnitError: as :func:`mebibytes`, or finer than a second.
    """
    return _whole(_amount(value, DURATION_UNITS, "duration", "90 s") / 1000, value, "seconds")


def drbd_rate(value: object) -> str:
    """A rate such as ``50 MiB/s`` in the notation of drbd.conf(5), ``50M``, whose K, M and G are powers of 1024.

    Raises:
        UnitError: as :func:`mebibytes`, or finer than a KiB/s.
    """
    kibibytes = _whole(_amount(value, RATE_UNITS, "rate", "50 MiB/s"), value, "KiB/s")
    return f"{kibibytes // 1024}M" if kibibytes and kibibytes % 1024 == 0 else f"{kibibytes}K"


def requests_per_hour(value: object) -> int:
    """A rate of requests such as ``10/s`` or ``30/min`` in whole requests per hour.

    Raises:
        UnitError: as :func:`mebibytes`, or finer than one request per hour.
    """
    return _whole(_amount(value, REQUEST_RATE_UNITS, "request rate", "10 /s"), value, "requests per hour")


def drbd_rate_text(rate: str) -> str:
    """A rate written by :func:`drbd_rate` as the document writes it, ``50 MiB/s`` for ``50M``."""
    return f"{rate[:-1]} {rate[-1]}iB/s"


def drbd_rate_kib(rate: str) -> int:
    """KiB/s of a rate written by :func:`drbd_rate`."""
    return int(rate[:-1]) * {"K": 1, "M": 1024}[rate[-1]]


def quantity_pattern(units: Mapping[str, int]) -> str:
    """Regular expression of the quantities with these units, for a JSON Schema."""
    return rf"^[0-9]{{1,12}}(\.[0-9]{{1,6}})? *({'|'.join(re.escape(unit) for unit in units)})$"


def _amount(value: object, units: Mapping[str, int], kind: str, example: str) -> Fraction:
    known = ", ".join(units)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UnitError(
            f"expected a {kind}, not {described(value)}",
            f"Write a number and a unit, such as '{example}' (units: {known})",
        )
    text = str(value).strip()
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(
            f"{shortened(text)} is not a {kind}", f"Write a number and a unit, such as '{example}' (units: {known})"
        )
    number, unit = match.groups()
    if not unit:
        raise MissingUnitError(number, example.split(" ", 1)[1], tuple(units))
    if unit not in units:
        near = _nearest_unit(unit, units)
        hint = f"Did you mean '{number} {near}'? " if near else ""
        raise UnitError(f"unknown unit '{unit}' in {shortened(text)}", f"{hint}Units of a {kind}: {known}")
    return Fraction(number) * units[unit]


def _nearest_unit(unit: str, units: Mapping[str, int]) -> str:
    written = unit.lower().lstrip("/")
    habit = _HABITS.get(written.removesuffix("/s"), written)
    for candidate in (habit, f"{habit}/s", f"/{habit}"):
        if candidate in units:
            return candidate
    return next(iter(get_close_matches(unit, units, n=1)), "")


def _whole(amount: Fraction, value: object, unit: str) -> int:
    if amount.denominator != 1:
        raise UnitError(f"{shortened(str(value))} is not a whole number of {unit}", f"Round it to whole {unit}")
    return int(amount)


def shortened(text: str, limit: int = 60) -> str:
    """A text in quotes for a message: control characters escaped, long ones cut."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def described(value: object) -> str:
    """A value of the document for a message, such as ``the number 3``."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {shortened(value)}"
        case list():
            return "a list"
    return "a mapping"
