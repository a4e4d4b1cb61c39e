"""From the requests of one stream to its outages, availability, latencies and a curve to draw.

Requests may overlap: a rate is kept while earlier requests still wait. Their order is that of their numbers, which is
the order of sending. What happened between two requests nobody knows, so each outage says how far its true beginning
and end may be away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from lab.core.drills.record import OutageFigure, StreamFigures
from lab.core.measurement.samples import Recording, Sample

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
#: More than a screen is wide, few enough for a page with dozens of streams.
CURVE_POINTS = 600

Point = tuple[float, float | None]


def outages(recording: Recording, zero_s: float = 0.0) -> tuple[OutageFigure, ...]:
    """All outages of a stream, in order; a single request without a valid answer is one, too.

    An outage opens with the first request that got no valid answer (when it was sent) and closes with the next one
    that got one (when the answer was there). Its beginning may be as much earlier as the sending of the last answered
    request lies back, and for an outage at the very beginning as the start of the recording does. Its end may be as
    much earlier as the sending of the last unanswered request lies back. An outage at the end of the recording stays
    open, with 0 as the uncertainty of the end that it has not.

    Args:
        recording: the stream.
        zero_s: the moment that the times of the result are counted from, on the clock of the samples.
    """
    found: list[OutageFigure] = []
    lost: list[Sample] = []
    before_s = _started_s(recording)
    for sample in recording.samples:
        if not sample.ok:
            lost.append(sample)
            continue
        if lost:
            found.append(_outage(lost, before_s, sample.received_s, zero_s))
            lost = []
        before_s = sample.sent_s
    if lost:
        found.append(_outage(lost, before_s, None, zero_s))
    return tuple(found)


def recorded_s(recording: Recording) -> float:
    """From the start of a recording to its last verdict, seconds; 0 without a request."""
    if not recording.samples:
        return 0.0
    return max(sample.received_s for sample in recording.samples) - _started_s(recording)


def availability(recording: Recording) -> float:
    """Share of the recorded time that lies outside of outages, 0 to 1; 1 when no time was recorded.

    With overlapping requests an outage can open before the one before it is closed; that time counts once. An open
    outage lasts to the end of the recording.
    """
    total_s = recorded_s(recording)
    if total_s <= 0:
        return 1.0
    end_s = _started_s(recording) + total_s
    dark_s = 0.0
    counted_to_s = -math.inf
    for outage in outages(recording):
        until_s = end_s if outage.end_s is None else outage.end_s
        dark_s += max(0.0, until_s - max(outage.start_s, counted_to_s))
        counted_to_s = max(counted_to_s, until_s)
    return min(1.0, max(0.0, 1.0 - dark_s / total_s))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of all values do not exceed (nearest rank).

    Nearest rank, because it is always a latency that was really seen, the largest one included.

    Args:
        values: at least one, in any order.
        percent: above 0, up to 100.

    Raises:
        ValueError: there are no values, or the percentage is out of range.
    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"no {percent} % of {len(values)} values")
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]


def latency_ms(recording: Recording) -> dict[str, float]:
    """Percentiles (nearest rank) of the answered requests' latencies in milliseconds; empty without an answer."""
    values = [sample.latency_s * 1000 for sample in recording.samples if sample.ok]
    return {name: percentile(values, percent) for name, percent in PERCENTILES.items()} if values else {}


def curve(recording: Recording, zero_s: float = 0.0, points: int = CURVE_POINTS) -> tuple[Point, ...]:
    """When each request was sent and its latency in ms, None for no valid answer; thinned, extremes kept.

    Of each group of neighbours the quickest and the slowest answer stay. At both edges of every outage the requests
    on either side stay, so each outage is as long in the curve as in the recording, and no two become one.

    Args:
        recording: the stream.
        zero_s: the moment that times are counted from, on the clock of the samples.
        points: about how many are wanted, at least 2; outages may need more.
    """
    samples = recording.samples
    kept = set(range(len(samples))) if len(samples) <= points else _extremes(samples, points)
    return tuple(
        (sample.sent_s - zero_s, sample.latency_s * 1000 if sample.ok else None)
        for place, sample in enumerate(samples)
        if place in kept
    )


def figures(recording: Recording, zero_s: float) -> StreamFigures:
    """Everything that a drill's record says about one stream.

    Args:
        recording: the stream.
        zero_s: the moment of the fault, on the clock of the samples.
    """
    spec = recording.spec
    return StreamFigures(
        kind=spec.kind,
        target=spec.target,
        address=spec.address,
        interval_s=spec.interval_s,
        timeout_s=spec.timeout_s,
        requests=len(recording.samples),
        answered=sum(sample.ok for sample in recording.samples),
        availability=availability(recording),
        outages=outages(recording, zero_s),
        latency_ms=latency_ms(recording),
        curve=curve(recording, zero_s),
    )


def _started_s(recording: Recording) -> float:
    if recording.started_s is not None:
        return recording.started_s
    return recording.samples[0].sent_s if recording.samples else 0.0


def _outage(lost: Sequence[Sample], before_s: float, end_s: float | None, zero_s: float) -> OutageFigure:
    first, last = lost[0], lost[-1]
    return OutageFigure(
        start_s=first.sent_s - zero_s,
        end_s=None if end_s is None else end_s - zero_s,
        start_uncertainty_s=first.sent_s - before_s,
        end_uncertainty_s=0.0 if end_s is None else end_s - last.sent_s,
        requests_lost=len(lost),
    )


def _extremes(samples: Sequence[Sample], points: int) -> set[int]:
    size = math.ceil(len(samples) / max(1, points // 2))
    kept = {0, len(samples) - 1}
    for start in range(0, len(samples), size):
        answered = [place for place in range(start, min(start + size, len(samples))) if samples[place].ok]
        if answered:
            kept.add(min(answered, key=lambda place: samples[place].latency_s))
            kept.add(max(answered, key=lambda place: samples[place].latency_s))
    for place, (one, next_one) in enumerate(pairwise(samples)):
        if one.ok != next_one.ok:
            kept |= {place, place + 1}
    return kept
