"""The programme's figures beside the study's, and the arithmetic of availability."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.drills.programme import Programme, Step
from lab.core.measurement.availability import MONTH_S
from lab.core.report.programme import figures_of, monthly, programme_table, progress_lines
from tests.unit.drill_examples import drills, power_off
from tests.unit.programme_examples import NODES, finished_programme, programme_records


def test_the_figures_are_the_means_of_the_drills() -> None:
    found = {(one.drill, one.of): one for one in figures_of(programme_records(), NODES)}
    assert len(found) == 12
    node = found["power-off", "node 1"]
    assert node.published is not None
    assert (node.published.mean_s, node.name) == (124, "brina")
    # Two power-offs of brina, 124 and 130 s from half a second after the fault on.
    assert node.ours.mean_s == pytest.approx(126.5, abs=0.02)
    guest = found["maintenance", "guest"]
    assert (guest.ours.mean_s, guest.ours.deviation_s, guest.ours.count) == (0.0, 0.0, 10)
    assert found["reboot", "service"].published is None
    assert guest.as_document()["study_deviation_s"] == 0
    assert guest.as_document()["availability_once_a_month"] == 1.0


def test_the_table_says_what_is_missing_and_what_failed() -> None:
    whole = finished_programme()
    table = programme_table(whole, figures_of(programme_records(), NODES))
    assert table.notes[0] == "All 12 drills are complete."
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert {row[0].split(",")[0] for row in table.rows} == {"test 1", "test 2", "test 3"}
    part = replace(
        whole,
        steps=(
            replace(whole.steps[0], failed_before=("bad-one",), ok=False),
            Step("power-off", "piova"),
        ),
    )
    left = programme_table(part, figures_of([power_off("brina", 1, 124.0, 81.0)], NODES))
    assert left.notes[0] == "1 of 2 drills are complete."
    assert "Not in the means, because they failed: bad-one." in left.notes
    assert left.notes[-1].startswith("In the means, with an objective of the topology missed: ")
    assert {row[0].split(",")[0] for row in left.rows} == {"test 1"}
    assert next(row for row in left.rows if "node 2" in row[0])[3:] == (
        "not measured",
        "-",
        "0 times",
        "99.993 % (4 nines)",
        "-",
    )


def test_each_drill_has_its_line() -> None:
    whole = finished_programme()
    assert len(progress_lines(whole)) == len(whole.steps)
    failed = replace(whole, steps=(replace(whole.steps[0], state="failed", message="not healthy"),))
    assert progress_lines(failed)[0].endswith("not healthy")


def test_the_availability_is_that_of_the_formula() -> None:
    assert monthly(None) is None
    assert monthly(0.0) == 1.0
    assert monthly(81.0) == MONTH_S / (MONTH_S + 81)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_longer_outage_is_never_more_available(one_s: float, other_s: float) -> None:
    shorter, longer = monthly(min(one_s, other_s)), monthly(max(one_s, other_s))
    assert shorter is not None
    assert longer is not None
    assert 0 <= longer <= shorter <= 1
    # Both ways of the formula: d * (MTBF + MTTR) is the time of operation.
    assert longer * (MONTH_S + max(one_s, other_s)) == pytest.approx(MONTH_S)


@settings(max_examples=15, deadline=None)  # a record holds thousands of requests
@given(st.lists(st.floats(1.0, 250.0), min_size=2, max_size=4))
def test_means_lie_between_what_was_measured(lengths: list[float]) -> None:
    records = [power_off("brina", place, length, length) for place, length in enumerate(lengths, start=1)]
    node = figures_of(records, NODES)[0].ours
    assert node.mean_s is not None
    assert min(lengths) - 1.5 <= node.mean_s <= max(lengths) + 1.0
    assert node.deviation_s is not None
    assert 0 <= node.deviation_s <= max(lengths) - min(lengths) + 1.5


def test_drills_that_do_not_count_do_not_change_it() -> None:
    others = [one for one in drills() if one.drill not in ("power-off", "reboot", "maintenance")]
    assert figures_of([*programme_records(), *others], NODES) == figures_of(programme_records(), NODES)
    assert isinstance(finished_programme(), Programme)
