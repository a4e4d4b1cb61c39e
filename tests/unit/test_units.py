"""Quantities with units: exact, and never guessed."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.core import units

WHOLE = st.integers(min_value=0, max_value=10**9)
GAPS = st.sampled_from(["", " ", "   "])


@given(WHOLE, st.sampled_from(sorted(units.SIZE_UNITS)), GAPS)
def test_a_size_is_the_smallest_whole_number_of_mebibytes_that_holds_it(number: int, unit: str, gap: str) -> None:
    exact = Fraction(number * units.SIZE_UNITS[unit], 1024**2)
    mebibytes = units.mebibytes(f"{number}{gap}{unit}")
    assert mebibytes - 1 < exact <= mebibytes


@given(WHOLE, st.sampled_from(sorted(units.DURATION_UNITS)), GAPS)
def test_whole_durations_are_exact(number: int, unit: str, gap: str) -> None:
    assert units.milliseconds(f"{number}{gap}{unit}") == number * units.DURATION_UNITS[unit]


@given(WHOLE, st.sampled_from(sorted(units.REQUEST_RATE_UNITS)), GAPS)
def test_whole_request_rates_are_exact(number: int, unit: str, gap: str) -> None:
    assert units.requests_per_hour(f"{number}{gap}{unit}") == number * units.REQUEST_RATE_UNITS[unit]


@pytest.mark.parametrize(
    ("text", "likely"), [("5 s", "5 /s"), ("5 min", "5 /min"), ("5/sec", "5 /s"), ("5 /H", "5 /h")]
)
def test_a_request_rate_without_its_slash_is_told_how_to_write_it(text: str, likely: str) -> None:
    with pytest.raises(units.UnitError) as caught:
        units.requests_per_hour(text)
    assert f"Did you mean '{likely}'" in caught.value.remedy


@given(WHOLE)
def test_seconds_and_milliseconds_agree(number: int) -> None:
    assert units.seconds(f"{number} s") == number
    assert units.milliseconds(f"{number} s") == 1000 * number
    if number % 1000:
        with pytest.raises(units.UnitError, match="not a whole number of seconds"):
            units.seconds(f"{number} ms")
    else:
        assert units.seconds(f"{number} ms") == number // 1000


@given(st.integers(min_value=0, max_value=10**6), st.integers(min_value=0, max_value=10**6 - 1))
def test_decimals_are_exact(whole: int, millionths: int) -> None:
    text = f"{whole}.{millionths:06d} s"
    exact = whole * 1000 + Fraction(millionths, 1000)
    if exact.denominator == 1:
        assert units.milliseconds(text) == exact
    else:
        with pytest.raises(units.UnitError, match="not a whole number of milliseconds"):
            units.milliseconds(text)


@given(st.integers(min_value=1, max_value=10**6), st.sampled_from(sorted(units.RATE_UNITS)))
def test_a_rate_survives_the_notation_of_drbd(number: int, unit: str) -> None:
    rate = units.drbd_rate(f"{number} {unit}")
    assert units.drbd_rate_kib(rate) == number * units.RATE_UNITS[unit]
    assert units.drbd_rate(units.drbd_rate_text(rate)) == rate


@given(st.text(max_size=30) | st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.integers()))
@example("٣ GiB")
@example("1e3 MiB")
@example("-1 GiB")
@example("3 GiB\n")
@example("1_000 MiB")
@example("9" * 5000)
def test_anything_else_is_a_unit_error_with_a_remedy(value: object) -> None:
    for read, known in (
        (units.mebibytes, units.SIZE_UNITS),
        (units.milliseconds, units.DURATION_UNITS),
        (units.drbd_rate, units.RATE_UNITS),
    ):
        allowed = isinstance(value, str) and re.fullmatch(units.quantity_pattern(known), value.strip(), re.ASCII)
        try:
            read(value)
        except units.UnitError as error:
            assert error.message and error.remedy
            assert "\n" not in error.message and "\x1b" not in error.message
        else:
            assert allowed


@pytest.mark.parametrize(
    ("text", "mebibytes"),
    [("2560 MiB", 2560), ("3 GiB", 3072), ("1.5 GiB", 1536), ("1TiB", 1024**2), ("1 MB", 1), ("20 GB", 19074)],
)
def test_sizes(text: str, mebibytes: int) -> None:
    assert units.mebibytes(text) == mebibytes


@pytest.mark.parametrize(
    ("text", "rate"), [("50 MiB/s", "50M"), ("1 GiB/s", "1024M"), ("100 KiB/s", "100K"), ("0.5 MiB/s", "512K")]
)
def test_rates(text: str, rate: str) -> None:
    assert units.drbd_rate(text) == rate


@pytest.mark.parametrize(
    ("value", "message", "remedy"),
    [
        (3, "3 has no unit", "Write the unit too, such as '3 GiB' (units: MiB, GiB, TiB, MB, GB, TB)"),
        ("4 gib", "unknown unit 'gib' in '4 gib'", "Did you mean '4 GiB'? Units of a size: MiB, GiB, TiB, MB, GB, TB"),
        ("4G", "unknown unit 'G' in '4G'", "Did you mean '4 GiB'? Units of a size: MiB, GiB, TiB, MB, GB, TB"),
        ("4 s", "unknown unit 's' in '4 s'", "Units of a size: MiB, GiB, TiB, MB, GB, TB"),
        (
            "lots",
            "'lots' is not a size",
            "Write a number and a unit, such as '3 GiB' (units: MiB, GiB, TiB, MB, GB, TB)",
        ),
    ],
)
def test_messages_of_sizes(value: object, message: str, remedy: str) -> None:
    with pytest.raises(units.UnitError) as caught:
        units.mebibytes(value)
    assert (caught.value.message, caught.value.remedy) == (message, remedy)
