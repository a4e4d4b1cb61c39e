"""The ledger of acknowledged writes, the numbers of their rows, and samples as lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.measurement.ledger import Ledger, acknowledged_numbers, compare
from lab.core.measurement.numbering import ROWS_PER_RUN, RUNS, Numbering
from lab.core.measurement.sample_lines import recordings_of_lines, sample_line, stream_line
from lab.core.measurement.samples import Recording, Sample, StreamSpec

SPEC = StreamSpec("http-write", "Soldi", "10.0.0.24:80", 0.2, 1.0)
NUMBERS = st.integers(1, ROWS_PER_RUN - 1)
RUN_NUMBERS = st.integers(0, RUNS - 1)


def test_a_planted_loss_and_a_planted_duplicate_are_both_found() -> None:
    ledger = compare(range(1, 101), [*range(1, 42), *range(43, 101), 7, 200])
    assert ledger == Ledger(100, 101, lost=(42,), duplicated=(7,), unacknowledged=(200,))
    audit = ledger.as_audit("rows of Soldi")
    assert not audit.ok
    assert audit.findings == (
        "100 acknowledged, 101 rows found",
        "1 acknowledged and lost: 42",
        "1 stored more than once: 7",
        "1 stored without an acknowledgement that arrived, which is allowed",
    )


def test_rows_that_nobody_acknowledged_are_allowed_once() -> None:
    assert compare([1, 2], [2, 1, 3]).ok
    assert not compare([1, 2], [1, 2, 3, 3]).ok
    assert compare([], []).ok and compare([], []).sentences() == ("0 acknowledged, 0 rows found",)


def test_many_numbers_are_counted_not_listed() -> None:
    assert compare(range(1, 31), []).sentences()[1].endswith("8, 9, 10 and 20 more")


@given(st.sets(NUMBERS), st.sets(NUMBERS), st.sets(NUMBERS), st.randoms(use_true_random=False))
def test_every_loss_and_every_duplicate_is_found(
    kept: set[int], lost: set[int], twice: set[int], chance: object
) -> None:
    lost -= kept | twice
    rows = [*(kept | twice), *twice]
    chance.shuffle(rows)  # type: ignore[attr-defined]
    ledger = compare(kept | lost, rows)
    assert (set(ledger.lost), set(ledger.duplicated)) == (lost, twice)
    assert set(ledger.unacknowledged) == twice - kept
    assert ledger.ok == (not lost and not twice)


def test_only_answered_requests_are_acknowledged() -> None:
    samples = (Sample(1, 0, 0.1, True), Sample(2, 0.2, 1.2, False, "late"), Sample(3, 0.4, 0.5, True))
    assert acknowledged_numbers(Recording(SPEC, samples)) == (1, 3)


@given(RUN_NUMBERS, RUN_NUMBERS, NUMBERS, NUMBERS)
def test_rows_of_different_runs_never_meet(run: int, other_run: int, number: int, other_number: int) -> None:
    one, other = Numbering(run), Numbering(other_run)
    assert 0 <= one.row(number) < 2**31
    same = (run, number) == (other_run, other_number)
    assert (one.row(number) == other.row(other_number)) == same
    assert (one.session(number) == other.session(other_number)) == same


@given(RUN_NUMBERS, RUN_NUMBERS, st.lists(NUMBERS))
def test_rows_tell_their_run_and_number(run: int, other_run: int, numbers: list[int]) -> None:
    one, other = Numbering(run), Numbering(other_run)
    rows = [one.row(number) for number in numbers]
    sessions = [one.session(number) for number in numbers]
    assert one.numbers_of_rows(rows) == one.numbers_of_sessions(sessions) == tuple(numbers)
    if run != other_run:
        assert other.numbers_of_rows(rows) == other.numbers_of_sessions(sessions) == ()


def test_rows_of_others_and_numbers_out_of_range() -> None:
    one = Numbering(7)
    assert one.session(123) == "drill-7-123"
    assert one.numbers_of_sessions(["probe-6e9cfa76c9a4", "drill-7-", "drill-77-1", "xdrill-7-1", ""]) == ()
    assert one.numbers_of_rows([7 * ROWS_PER_RUN, -1, 4711, 8 * ROWS_PER_RUN + 1]) == ()
    for number in (0, -1, ROWS_PER_RUN):
        with pytest.raises(LabError):
            one.row(number)
        with pytest.raises(LabError):
            one.session(number)
    for run in (-1, RUNS):
        with pytest.raises(LabError):
            Numbering(run)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6), st.booleans(), st.text()), max_size=20))
def test_samples_survive_as_lines(drawn: list[tuple[int, int, bool, str]]) -> None:
    samples = tuple(
        Sample(number, sent_us / 1e6, (sent_us + lasts_us) / 1e6, ok, detail)
        for number, (sent_us, lasts_us, ok, detail) in enumerate(drawn, start=1)
    )
    lines = [json.dumps(stream_line(SPEC, 12.5)), *(json.dumps(sample_line(SPEC, one)) for one in reversed(samples))]
    assert recordings_of_lines(f"{line}\n" for line in lines) == (Recording(SPEC, samples, 12.5),)


def test_a_file_whose_writer_was_killed_is_read_up_to_there() -> None:
    samples = [Sample(number, number, number + 0.5, True) for number in (1, 2, 4)]
    lines = [
        json.dumps(document) + "\n"
        for document in (stream_line(SPEC, 0.0), *(sample_line(SPEC, one) for one in samples))
    ]
    assert recordings_of_lines([*lines, '{"stream": "ht'])[0].samples == tuple(samples[:2])
    for bad in ("{}\n", "[]\n", '{"stream": "ht\n', '{"stream": "unknown", "number": 1}\n'):
        with pytest.raises(LabError, match="line 5 is no sample"):
            recordings_of_lines([*lines, bad, lines[-1]])
