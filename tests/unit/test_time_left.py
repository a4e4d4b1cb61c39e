"""Tests are left out when the time they were given is nearly over, and only then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.end_to_end.time_left import MARGIN, TimeLeft

SECONDS = st.floats(min_value=0.1, max_value=10_000)


def test_without_a_moment_everything_is_run() -> None:
    assert TimeLeft(None).refusal(1e9, 1e9) == ""


def test_a_test_that_fits_is_run() -> None:
    assert TimeLeft(1000.0, reserve_s=20.0).refusal(100.0, 1000.0 - 120.0 * MARGIN) == ""


def test_a_test_that_does_not_fit_is_named_with_its_reason() -> None:
    assert TimeLeft(1000.0, reserve_s=20.0).refusal(300.0, 900.0) == (
        "not run: it and the lab's removal may take 7 min, 2 min are left"
        " (tests take 1.0 times what they take on the machine of the README); --within 0 runs all"
    )


def test_a_slow_machine_is_noticed() -> None:
    left = TimeLeft(1000.0, reserve_s=0.0)
    assert left.refusal(100.0, 800.0) == ""
    left.record(declared_s=50.0, needed_s=150.0)
    assert left.slowness == 3.0
    assert "3.0 times" in left.refusal(100.0, 800.0)
    # One that was as quick as declared does not make up for it.
    left.record(declared_s=50.0, needed_s=50.0)
    assert left.slowness == 3.0


def test_a_moment_that_has_passed_leaves_nothing() -> None:
    assert "0 min are left" in TimeLeft(1000.0).refusal(1.0, 2000.0)


@given(st.lists(st.tuples(SECONDS, SECONDS), max_size=6), SECONDS, SECONDS)
def test_what_was_run_never_makes_a_machine_look_faster_than_declared(
    runs: list[tuple[float, float]], declared_s: float, left_s: float
) -> None:
    left, fresh = TimeLeft(left_s), TimeLeft(left_s)
    for declared, needed in runs:
        left.record(declared, needed)
    assert left.slowness >= 1
    if fresh.refusal(declared_s, 0.0):
        assert left.refusal(declared_s, 0.0)
