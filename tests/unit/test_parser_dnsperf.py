"""The parser of dnsperf's statistics, on what it printed (see tests/unit/recorded)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.dnsperf import DnsperfStatistics, parse_dnsperf

RECORDED = Path(__file__).parent / "recorded"
SERVED = (RECORDED / "dnsperf-served.txt").read_text()
UNANSWERED = (RECORDED / "dnsperf-unanswered.txt").read_text()
MIXED = (RECORDED / "dnsperf-mixed.txt").read_text()
INTERRUPTED = (RECORDED / "dnsperf-interrupted.txt").read_text()


def test_every_answer_is_counted() -> None:
    assert parse_dnsperf(SERVED) == DnsperfStatistics(
        100, 100, 0, {"NOERROR": 100}, 2.000310, pytest.approx({"mean": 0.239, "min": 0.099, "max": 4.059})
    )


def test_a_dead_server_has_no_latency() -> None:
    assert parse_dnsperf(UNANSWERED) == DnsperfStatistics(100, 0, 100, {}, 2.002127, {})


def test_other_answers_are_counted_by_their_code() -> None:
    seen = parse_dnsperf(MIXED)
    assert seen.codes.keys() == {"NOERROR", "NXDOMAIN", "REFUSED"}
    assert sum(seen.codes.values()) == seen.completed == seen.sent


def test_an_interrupted_run_tells_what_was_still_open() -> None:
    assert parse_dnsperf(INTERRUPTED) == DnsperfStatistics(45, 0, 25, {}, 1.492742, {}, interrupted=20)


@pytest.mark.parametrize(
    "missing", ["Statistics:", "Queries sent", "Queries lost", "Run time (s)", "Average Latency (s)"]
)
def test_a_missing_figure_is_told(missing: str) -> None:
    with pytest.raises(LabError, match="cannot be read"):
        parse_dnsperf(SERVED.replace(missing, "Other"))


@given(st.integers(0, len(SERVED)))
def test_a_cut_output_is_refused_or_has_all_its_counts(length: int) -> None:
    try:
        seen = parse_dnsperf(SERVED[:length])
    except LabError:
        return
    assert (seen.sent, seen.completed, seen.lost) == (100, 100, 0)


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    for candidate in (text, f"\nStatistics:\n{text}"):
        try:
            parse_dnsperf(candidate)
        except LabError:
            continue


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 10**5))
def test_counts_come_back_as_printed(completed: int, lost: int, run_s: float) -> None:
    text = SERVED.replace("sent:         100", f"sent:  {completed + lost}")
    text = text.replace("completed:    100 (100.00%)", f"completed:  {completed} (1.00%)")
    text = text.replace("lost:         0 ", f"lost:  {lost} ").replace("2.000310", f"{run_s:f}")
    seen = parse_dnsperf(text)
    assert (seen.sent, seen.completed, seen.lost) == (completed + lost, completed, lost)
    assert seen.run_s == pytest.approx(run_s, abs=1e-6)
