"""Availability: the study's own figures, and what has to hold for all numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.measurement.availability import (
    LEVELS,
    MONTH_S,
    YEAR_S,
    FailureRate,
    availability,
    downtime_per_month_s,
    downtime_per_year_s,
    level,
    mean,
    nines,
    projected,
    share_of,
    standard_deviation,
)


@pytest.mark.parametrize(
    ("downtime_s", "percent"),
    [(9 * 60 + 40, 99.978), (100, 99.996), (1660, 99.936), (1820, 99.930), (2240, 99.913), (3480, 99.866), (0, 100)],
)
def test_the_study_s_month(downtime_s: float, percent: float) -> None:
    """Downtime of each service in a month, and the availability that the study gives for it, to its last digit."""
    assert share_of(downtime_s, MONTH_S) * 100 == pytest.approx(percent, abs=0.001)


def test_the_study_s_mean_and_deviation() -> None:
    assert mean([145, 146]) == 145.5 and standard_deviation([145, 146]) == pytest.approx(0.70, abs=0.01)
    assert mean([172, 174]) == 173 and standard_deviation([172, 174]) == pytest.approx(1.41, abs=0.005)
    assert standard_deviation([0.0, 0.0]) == 0
    assert mean([]) is None and standard_deviation([3.0]) is None


@pytest.mark.parametrize(
    ("share", "count", "reached"),
    [
        (0.0, 0, None),
        (0.89, 0, None),
        (0.9, 1, 0.90),
        (0.98, 1, 0.98),
        (0.99, 2, 0.99),
        (0.998, 2, 0.998),
        (0.999, 3, 0.999),
        (0.99975, 3, 0.999),
        (0.9999, 4, 0.9999),
        (0.99999, 5, 0.99999),
        (0.999999, 6, 0.999999),
        (1.0, None, 0.999999),
        (1e-20, 0, None),
    ],
)
def test_nines_and_levels(share: float, count: int | None, reached: float | None) -> None:
    assert nines(share) == count
    assert level(share) == reached


@given(st.integers(0, 15), st.integers(0, 8))
def test_so_many_nines_and_another_digit(count: int, digit: int) -> None:
    assert nines(float(f"0.{'9' * count}{digit}")) == count


def test_downtime_of_the_levels() -> None:
    assert downtime_per_year_s(0.99) == pytest.approx(87.6 * 3600)
    assert downtime_per_year_s(0.99999) == pytest.approx(315.36)
    assert downtime_per_month_s(0.999) == pytest.approx(2592)
    assert list(LEVELS) == sorted(LEVELS)


def test_a_projection_of_one_failure_a_year() -> None:
    assert projected([FailureRate(1, 81)]) == availability(YEAR_S, 81)
    assert projected([FailureRate(2, 81)]) == pytest.approx(availability(YEAR_S / 2, 81))
    assert projected([FailureRate(2, 81), FailureRate(12, 10)]) == pytest.approx(YEAR_S / (YEAR_S + 2 * 81 + 120))
    assert projected([]) == projected([FailureRate(12, 0)]) == 1


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_availability_is_a_share_and_falls_with_repair_time(mtbf_s: float, mttr_s: float) -> None:
    if mtbf_s + mttr_s == 0:
        return
    share = availability(mtbf_s, mttr_s)
    assert 0 <= share <= 1
    assert availability(mtbf_s, mttr_s + 1) <= share


@given(st.floats(0, 1))
def test_downtime_and_availability_are_two_sides_of_one(share: float) -> None:
    assert share_of(min(YEAR_S, downtime_per_year_s(share)), YEAR_S) == pytest.approx(share)
    reached = level(share)
    assert reached is None or reached <= share


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_no_share(share: float) -> None:
    for function in (nines, level, downtime_per_year_s):
        with pytest.raises(ValueError, match="no availability"):
            function(share)


def test_what_cannot_be() -> None:
    for mtbf_s, mttr_s in ((0, 0), (-1, 2), (2, -1)):
        with pytest.raises(ValueError, match="no availability"):
            availability(mtbf_s, mttr_s)
    with pytest.raises(ValueError, match="cannot be"):
        projected([FailureRate(-1, 5)])
    for downtime_s, period_s in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match="cannot be"):
            share_of(downtime_s, period_s)
