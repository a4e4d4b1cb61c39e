"""Availability as the study reckons it: d = MTBF / (MTBF + MTTR), its levels, and what it means in downtime.

Availabilities are shares from 0 to 1. A year has 365 days and a month 30, as the downtimes of the study's month imply.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

HOUR_S = 3600.0
MONTH_S = 30 * 24 * HOUR_S
YEAR_S = 365 * 24 * HOUR_S

#: The levels that the study compares with.
LEVELS = (0.90, 0.98, 0.99, 0.998, 0.999, 0.9999, 0.99999, 0.999999)


@dataclass(frozen=True)
class FailureRate:
    """Something that happens again and again and makes a service unavailable each time.

    Args:
        per_year: how often, in a year of operation.
        outage_s: how long the service is unavailable each time, seconds.
    """

    per_year: float
    outage_s: float


def availability(mtbf_s: float, mttr_s: float) -> float:
    """D = MTBF / (MTBF + MTTR).

    Args:
        mtbf_s: mean time of operation between failures, seconds.
        mttr_s: mean time until it works again, seconds.

    Raises:
        ValueError: a time is negative, or both are 0.
    """
    if mtbf_s < 0 or mttr_s < 0 or mtbf_s + mttr_s == 0:
        raise ValueError(f"no availability of {mtbf_s} s between failures and {mttr_s} s to repair")
    return mtbf_s / (mtbf_s + mttr_s)


def projected(rates: Iterable[FailureRate]) -> float:
    """The availability that follows from stated failure rates and measured outages.

    With one rate this is :func:`availability` with a year divided by the rate as MTBF and the outage as MTTR. With
    several that do not coincide, the outages of a year of operation add up.

    Raises:
        ValueError: a rate or an outage is negative.
    """
    down_s = 0.0
    for rate in rates:
        if rate.per_year < 0 or rate.outage_s < 0:
            raise ValueError(f"{rate.per_year} failures a year of {rate.outage_s} s each cannot be")
        down_s += rate.per_year * rate.outage_s
    return availability(YEAR_S, down_s)


def nines(share: float) -> int | None:
    """How many nines an availability begins with: 3 for 0.9995; None for 1, which has no end of them.

    Counted in decimal digits of the shortest number that reads as this one, so 0.999 has three.

    Raises:
        ValueError: not from 0 to 1.
    """
    _require_share(share)
    if share == 1:
        return None
    digits = format(Decimal(repr(share)), "f").partition(".")[2]
    return len(digits) - len(digits.lstrip("9"))


def level(share: float) -> float | None:
    """The highest of :data:`LEVELS` that an availability reaches; None below all of them.

    Raises:
        ValueError: not from 0 to 1.
    """
    _require_share(share)
    return max((one for one in LEVELS if share >= one), default=None)


def downtime_s(share: float, period_s: float) -> float:
    """Unavailable seconds in a period.

    Raises:
        ValueError: the availability is not from 0 to 1.
    """
    _require_share(share)
    return (1.0 - share) * period_s


def downtime_per_year_s(share: float) -> float:
    """Unavailable seconds in a year of 365 days."""
    return downtime_s(share, YEAR_S)


def downtime_per_month_s(share: float) -> float:
    """Unavailable seconds in a month of 30 days."""
    return downtime_s(share, MONTH_S)


def share_of(downtime: float, period_s: float) -> float:
    """The availability of a period with so many unavailable seconds in it.

    Raises:
        ValueError: the period is not longer than 0 s, or shorter than its downtime.
    """
    if not 0 <= downtime <= period_s or period_s <= 0:
        raise ValueError(f"{downtime} s of {period_s} s cannot be")
    return 1.0 - downtime / period_s


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean; None without a value."""
    return statistics.fmean(values) if values else None


def standard_deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n - 1 in the denominator); None with fewer than two values.

    The study's is the same: 145 and 146 s give its 0.70, 172 and 174 s its 1.41.
    """
    return statistics.stdev(values) if len(values) > 1 else None


def _require_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no availability from 0 to 1")
