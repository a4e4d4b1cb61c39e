"""Live migrations from journals, and their humps from samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.drills.migrations import hump, migrations_of
from lab.core.drills.record import MigrationFigure
from lab.core.measurement.samples import Recording, Sample, StreamSpec
from lab.core.report.migration import best_example, migration_curve, migration_notes, migrations_table
from tests.unit.drill_examples import live_migration, maintenance, power_off, recording

#: daemons/controld/controld_execd.c of Pacemaker 2.1.5: what follows the bar is in its own log file only.
BEGUN = (
    "1000010.5 piova pacemaker-controld[690]:  notice: "
    "Requesting local execution of migrate_to operation for VM_1 on piova"
)
DONE = "1000013.0 piova pacemaker-controld[690]:  notice: Result of migrate_to operation for VM_1 on piova: ok"
ARRIVED = "1000031.0 brina pacemaker-controld[701]:  notice: Result of migrate_from operation for VM_1 on brina: ok"
GUESTS = {"VM_1": "Passata"}


def found(journals: dict[str, str]) -> tuple[MigrationFigure, ...]:
    return migrations_of(
        journals, offsets_s={"brina": 1.0, "piova": 0.0}, fault_wall_s=1_000_000.0, guests=GUESTS, offset_error_s=1.0
    )


def test_a_migration_begins_at_its_source_and_ends_at_its_target() -> None:
    assert found({"brina": ARRIVED, "piova": f"{BEGUN}\n{DONE}"}) == (
        MigrationFigure("Passata", "piova", "brina", 10.5, 30.0, 1.0),
    )


@pytest.mark.parametrize(
    ("brina", "piova"),
    [
        ("", BEGUN),
        (ARRIVED, ""),
        (ARRIVED.replace(": ok", ": error (exit code 1)"), BEGUN),
        (ARRIVED.replace("VM_1", "VM_9"), BEGUN.replace("VM_1", "VM_9")),
        (ARRIVED, BEGUN.replace("migrate_to", "stop")),
        # An end before its beginning.
        (ARRIVED.replace("1000031", "1000001"), BEGUN),
    ],
)
def test_what_did_not_come_to_its_end_is_no_migration(brina: str, piova: str) -> None:
    assert found({"brina": brina, "piova": piova}) == ()


def test_a_hump_is_measured_against_the_calm_before_it() -> None:
    ping = recording("icmp", "Passata", 0.0, 100.0, dark=[(38.0, 38.5)], humps=[(30.0, 50.0)])
    figure = hump(ping, 30.0, 50.0)
    assert figure.calm_ms == pytest.approx(12, abs=2)
    assert figure.highest_ms is not None
    assert 200 < figure.highest_ms < 270
    assert figure.raised_s == pytest.approx(20, abs=3)
    assert (figure.requests, figure.lost) == (41, 1)
    # One request in half a second was lost; the answer to the next one ended it.
    assert 0.5 <= figure.longest_pause_s < 1.0


def test_without_a_hump_nothing_is_raised() -> None:
    figure = hump(recording("icmp", "Passata", 0.0, 100.0), 30.0, 50.0)
    assert (figure.lost, figure.longest_pause_s) == (0, 0.0)
    # One of forty may well be the slowest of all eighty.
    assert figure.raised_s is not None
    assert figure.raised_s <= 0.5


def test_without_a_calm_there_is_nothing_to_compare_with() -> None:
    figure = hump(recording("icmp", "Passata", 30.0, 100.0), 30.0, 50.0)
    assert (figure.calm_ms, figure.raised_s) == (None, None)
    silent = hump(recording("icmp", "Passata", 0.0, 100.0, dark=[(0.0, 100.0)]), 30.0, 50.0)
    assert (silent.median_ms, silent.highest_ms, silent.lost) == (None, None, silent.requests)


@given(
    st.lists(st.tuples(st.floats(0.0001, 3.0), st.booleans()), min_size=1, max_size=120),
    st.floats(-10, 70),
    st.floats(0, 40),
    st.floats(0, 3),
)
def test_humps_keep_within_what_was_measured(
    answers: list[tuple[float, bool]], start_s: float, lasts_s: float, margin_s: float
) -> None:
    spec = StreamSpec("icmp", "Passata", "10.0.0.1", 0.5, 3.0)
    samples = tuple(
        Sample(place + 1, place * 0.5, place * 0.5 + latency_s, ok) for place, (latency_s, ok) in enumerate(answers)
    )
    figure = hump(Recording(spec, samples), start_s, start_s + lasts_s, margin_s)
    during = [one for one in samples if start_s - margin_s <= one.sent_s <= start_s + lasts_s + margin_s]
    assert figure.requests == len(during)
    assert 0 <= figure.lost <= figure.requests
    if figure.median_ms is not None and figure.highest_ms is not None:
        assert figure.median_ms <= figure.highest_ms
    if figure.raised_s is not None:
        assert 0.5 * figure.lost <= figure.raised_s <= 0.5 * figure.requests


def test_the_example_is_a_name_server_in_a_maintenance() -> None:
    records = (live_migration(), maintenance("brina", 2, 100.0), maintenance("piova", 3, 100.0))
    example = best_example(records)
    assert example is not None
    assert (example[0].drill, example[1].guest) == ("maintenance", "Passata")
    assert best_example([power_off("brina", 1, 124.0, 81.0)]) is None


def test_the_table_and_the_notes_say_what_the_humps_were() -> None:
    record = live_migration()
    table = migrations_table(record)
    assert [row[:2] for row in table.rows] == [
        ("icmp Passata", "piova to brina"),
        ("dns Passata", "piova to brina"),
        ("icmp Passata", "brina to piova"),
        ("dns Passata", "brina to piova"),
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)
    notes = migration_notes([(record, one) for one in record.migrations])
    assert notes[0] == "2 live migrations seen by ping: 2 of 84 pings lost."
    assert migration_notes([]) == ()


def test_the_curve_keeps_to_its_window_and_marks_the_way() -> None:
    record = live_migration()
    one = record.migrations[0]
    stream = record.stream("icmp Passata")
    assert stream is not None
    text = migration_curve(record, one, stream, "x", large=True)
    assert text.count('class="moving"') == 1
    xs = [float(pair.split(",")[0]) for part in text.split('points="')[1:] for pair in part.split('"')[0].split()]
    assert xs
    assert min(xs) >= 52
    assert max(xs) <= 948
    assert "usually" in text
