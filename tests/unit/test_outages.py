"""Outages, availability, percentiles and curves of a stream, with examples by hand and generated recordings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.measurement.outages import availability, curve, figures, latency_ms, outages, percentile, recorded_s
from lab.core.measurement.samples import Recording, Sample, StreamSpec

SPEC = StreamSpec("dns", "Passata", "10.0.0.21:53", 0.1, 1.0)


def recording(verdicts: str, *, interval_s: float = 0.1, started_s: float | None = None) -> Recording:
    """``+`` for an answer after 10 ms, ``-`` for none after 1 s; the first request is sent at 100 s."""
    samples = []
    for place, verdict in enumerate(verdicts):
        sent_s = 100 + place * interval_s
        ok = verdict == "+"
        samples.append(Sample(place + 1, sent_s, sent_s + (0.01 if ok else 1.0), ok, "" if ok else "no valid answer"))
    return Recording(SPEC, tuple(samples), started_s)


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    """Requests that overlap, with any latencies up to the timeout."""
    count = draw(st.integers(1, 60))
    sent_ms = 0
    samples = []
    for number in range(1, count + 1):
        ok = draw(st.booleans())
        lasts_ms = draw(st.integers(1, 1000))
        samples.append(Sample(number, sent_ms / 1000, (sent_ms + lasts_ms) / 1000, ok))
        sent_ms += draw(st.integers(50, 400))
    return Recording(SPEC, tuple(samples), -draw(st.integers(0, 500)) / 1000)


def test_seventy_lost_requests_of_a_tenth_of_a_second() -> None:
    (outage,) = outages(recording("+++" + "-" * 70 + "+++"), zero_s=100)
    assert outage.start_s == pytest.approx(0.3)
    assert outage.end_s == pytest.approx(7.31)
    assert outage.start_uncertainty_s == pytest.approx(0.1)
    assert outage.end_uncertainty_s == pytest.approx(0.11)
    assert outage.requests_lost == 70


def test_two_short_outages_stay_two() -> None:
    one, other = outages(recording("++-+-+++"))
    assert (one.requests_lost, other.requests_lost) == (1, 1)
    assert one.end_s is not None and one.end_s <= other.start_s


def test_an_outage_at_the_end_stays_open_and_one_at_the_beginning_looks_back_to_the_start() -> None:
    first, last = outages(recording("--++--", started_s=99.75))
    assert first.start_uncertainty_s == pytest.approx(0.25)
    assert last.end_s is None and last.end_uncertainty_s == 0 and last.requests_lost == 2
    assert outages(recording("-+"))[0].start_uncertainty_s == 0


def test_nothing_at_all() -> None:
    empty = Recording(SPEC, ())
    assert outages(empty) == () and latency_ms(empty) == {} and curve(empty) == ()
    assert availability(empty) == 1.0 and recorded_s(empty) == 0


def test_availability_counts_time_and_overlaps_once() -> None:
    assert availability(recording("+" * 20)) == 1.0
    assert availability(recording("-" * 20)) == 0.0
    # Recorded for 10.91 s (the last of 110 requests is sent at 10.9 s), dark from 0.3 s to 7.31 s.
    assert availability(recording("+++" + "-" * 70 + "+" * 37)) == pytest.approx(1 - 7.01 / 10.91)
    # The answer that ends the first outage takes 0.9 s; meanwhile the next one has begun. Dark: 0 s to 1.2 s of 1.2 s.
    samples = (Sample(1, 0, 1, False), Sample(2, 0.1, 1.0, True), Sample(3, 0.2, 1.2, False))
    assert availability(Recording(SPEC, samples)) == pytest.approx(0)


def test_percentiles_are_latencies_that_were_seen() -> None:
    assert [percentile([5, 1, 4, 2, 3], percent) for percent in (1, 20, 21, 50, 99, 100)] == [1, 1, 2, 3, 5, 5]
    for values, percent in (([], 50), ([1], 0), ([1], 101)):
        with pytest.raises(ValueError, match="values"):
            percentile(values, percent)
    assert latency_ms(recording("+-+"))["max"] == pytest.approx(10)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 100))
def test_a_percentile_is_the_smallest_value_that_covers_its_share(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) / len(values) >= percent / 100 - 1e-9
    assert sum(value < found for value in values) < len(values) * percent / 100


@given(recordings())
def test_outages_cover_exactly_the_requests_that_were_lost(one: Recording) -> None:
    found = outages(one)
    lost = [sample for sample in one.samples if not sample.ok]
    assert sum(outage.requests_lost for outage in found) == len(lost)
    runs = "".join("+" if sample.ok else "-" for sample in one.samples).split("+")
    assert [outage.requests_lost for outage in found] == [len(run) for run in runs if run]
    assert [outage.end_s is None for outage in found] == [False] * (len(found) - 1) + [not one.samples[-1].ok] * bool(
        found
    )
    for outage in found:
        assert outage.start_uncertainty_s >= 0 and outage.end_uncertainty_s >= 0
        assert any(sample.sent_s == outage.start_s for sample in lost)
        assert outage.end_s is None or outage.end_s > outage.start_s


@given(recordings(), st.floats(-1000, 1000))
def test_zero_shifts_every_time_and_nothing_else(one: Recording, zero_s: float) -> None:
    plain, shifted = figures(one, 0.0), figures(one, zero_s)
    assert shifted.availability == plain.availability
    assert shifted.latency_ms == plain.latency_ms
    for before, after in zip(plain.outages, shifted.outages, strict=True):
        assert after.start_s == pytest.approx(before.start_s - zero_s)
        assert (after.end_s is None) == (before.end_s is None)
        assert after.start_uncertainty_s == before.start_uncertainty_s
        assert after.end_uncertainty_s == before.end_uncertainty_s
    assert [value for _, value in shifted.curve] == [value for _, value in plain.curve]


@given(recordings())
def test_availability_is_a_share_and_agrees_with_a_clock_that_ticks(one: Recording) -> None:
    """Counted a millisecond at a time; all times of the recordings are whole milliseconds."""
    share = availability(one)
    assert 0 <= share <= 1
    start_ms = round((one.started_s or 0) * 1000)
    end_ms = round(max(sample.received_s for sample in one.samples) * 1000)
    dark = set()
    for outage in outages(one):
        until_ms = end_ms if outage.end_s is None else round(outage.end_s * 1000)
        dark |= set(range(round(outage.start_s * 1000), until_ms))
    assert share == pytest.approx(1 - len(dark) / (end_ms - start_ms))


@given(recordings(), st.integers(2, 20))
def test_a_thinned_curve_keeps_outages_and_extremes(one: Recording, points: int) -> None:
    thin = curve(one, 0.0, points)
    full = {sample.sent_s: sample for sample in one.samples}
    assert all((full[at_s].latency_s * 1000 if full[at_s].ok else None) == value for at_s, value in thin)
    assert list(thin) == sorted(thin, key=lambda point: point[0])
    answered = [sample.latency_s * 1000 for sample in one.samples if sample.ok]
    drawn = [value for _, value in thin if value is not None]
    assert (max(answered, default=None), min(answered, default=None)) == (
        max(drawn, default=None),
        min(drawn, default=None),
    )
    thinned = Recording(SPEC, tuple(full[at_s] for at_s, _ in thin), one.started_s)
    assert [(outage.start_s, outage.end_s) for outage in outages(thinned)] == [
        (outage.start_s, outage.end_s) for outage in outages(one)
    ]


def test_a_long_curve_becomes_short() -> None:
    long = recording("+" * 9000 + "-" * 600 + "+" * 9000)
    assert 200 < len(curve(long)) <= 610
    assert curve(recording("+-+"), 100) == (
        (0, pytest.approx(10)),
        (pytest.approx(0.1), None),
        (pytest.approx(0.2), pytest.approx(10)),
    )
