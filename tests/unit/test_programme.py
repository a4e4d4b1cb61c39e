"""The study's programme: which drills in which order, what a killed command loses, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.drills import programme as rows
from lab.core.drills.programme import Programme, Step, Wishes, begun, ended, recovered, refused, require_same, row
from lab.core.drills.record import AuditResult, DrillRecord, ObjectiveResult
from lab.core.errors import LabError
from lab.core.model import Lab
from lab.core.topology import parse_topology
from tests.unit.drill_examples import maintenance, power_off, record

TOPOLOGY = (Path(__file__).resolve().parents[2] / "topologies/two-node.yaml").read_text(encoding="utf-8")
EVERYTHING = Wishes()
LAB = parse_topology(TOPOLOGY, source="two-node.yaml")
PLAIN = replace(record("power-off", "brina"), streams=(), objectives=())


@pytest.fixture(scope="module")
def lab() -> Lab:
    return LAB


def words(steps: tuple[Step, ...]) -> list[str]:
    return [str(step) for step in steps]


def programme(lab: Lab, wishes: Wishes = EVERYTHING) -> Programme:
    return Programme("study-20261125T100000", lab.name, "tcg", 3.0, TOPOLOGY, row(lab, wishes))


def sound(drill: str, node: str, identifier: str) -> DrillRecord:
    return replace(PLAIN, drill=drill, node=node, identifier=identifier)


def test_the_whole_programme_is_the_studys(lab: Lab) -> None:
    steps = row(lab, Wishes())
    assert words(steps) == [
        *["power-off of brina", "power-off of piova"] * 2,
        *["reboot of brina", "reboot of piova"] * 2,
        *["maintenance of brina", "maintenance of piova"] * 2,
    ]
    # Test 3 was done four times in all.
    assert sum(step.drill == "maintenance" for step in steps) == 4


def test_quick_is_one_of_each_on_one_node(lab: Lab) -> None:
    assert words(row(lab, Wishes(quick=True))) == ["power-off of brina", "reboot of brina", "maintenance of brina"]
    assert words(row(lab, Wishes(quick=True, node="piova")))[0] == "power-off of piova"


def test_numbers_can_be_given(lab: Lab) -> None:
    assert words(row(lab, Wishes(node="piova", power_offs=1, reboots=0, maintenances=3))) == [
        "power-off of piova",
        *["maintenance of piova"] * 3,
    ]
    assert len(row(lab, Wishes(quick=True, maintenances=4))) == 6


@pytest.mark.parametrize(
    "wishes",
    [Wishes(node="brian"), Wishes(power_offs=-2), Wishes(maintenances=51), Wishes(False, "", 0, 0, 0)],
)
def test_what_cannot_be_meant_is_refused(lab: Lab, wishes: Wishes) -> None:
    with pytest.raises(LabError) as caught:
        row(lab, wishes)
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_a_sound_drill_is_complete_and_not_done_again(lab: Lab) -> None:
    going = begun(programme(lab), 0, "20261125T100100")
    assert (going.steps[0].state, going.next_place) == ("running", 0)
    done = ended(going, 0, sound("power-off", "brina", "20261125T100101-power-off-brina"))
    assert (done.next_place, done.complete, done.finished) == (1, ("20261125T100101-power-off-brina",), False)


def test_a_missed_objective_counts_but_is_told(lab: Lab) -> None:
    slow = replace(sound("power-off", "brina", "a"), objectives=(ObjectiveResult("dns", "power-off", 60.0, 81.0),))
    step = ended(programme(lab), 0, slow).steps[0]
    assert (step.state, step.ok) == ("complete", False)


@pytest.mark.parametrize("wrong", [{"audits": (AuditResult("x", False),)}, {"problems": ("not healthy",)}])
def test_a_drill_that_failed_is_done_again_and_remembered(lab: Lab, wrong: dict) -> None:
    bad = replace(sound("power-off", "brina", "first"), **wrong)
    failed = ended(begun(programme(lab), 0, "1"), 0, bad)
    assert (failed.next_place, failed.complete, failed.failed) == (0, (), ("first",))
    assert failed.steps[0].message
    again = ended(begun(failed, 0, "2"), 0, sound("power-off", "brina", "second"))
    assert (again.next_place, again.complete, again.failed) == (1, ("second",), ("first",))


def test_a_drill_that_could_not_begin_leaves_no_directory(lab: Lab) -> None:
    failed = refused(begun(programme(lab), 0, "1"), 0, "the lab is not healthy")
    assert (failed.next_place, failed.failed, failed.steps[0].message) == (0, (), "the lab is not healthy")


def test_a_killed_command_loses_only_the_drill_that_ran(lab: Lab) -> None:
    done = ended(programme(lab), 0, sound("power-off", "brina", "20261125T100101-power-off-brina"))
    left = rows.from_document(json.loads(json.dumps(rows.as_document(begun(done, 1, "20261125T101000")))))
    assert left == begun(done, 1, "20261125T101000")
    assert recovered(left, ()).next_place == 1
    assert recovered(left, ()).complete == done.complete


def test_a_record_that_was_written_before_the_kill_is_taken_in(lab: Lab) -> None:
    left = begun(ended(programme(lab), 0, sound("power-off", "brina", "20261125T1-a")), 1, "20261125T101000")
    before = sound("power-off", "piova", "20261125T100000-power-off-piova")
    other = sound("power-off", "brina", "20261125T101001-power-off-brina")
    own = sound("power-off", "piova", "20261125T101001-power-off-piova")
    assert recovered(left, (before, other)).next_place == 1
    assert recovered(left, (before, other, own)).steps[1].identifier == own.identifier
    # Nothing but what was running is looked for.
    assert recovered(programme(lab), (before, other, own)) == programme(lab)


def test_another_programme_is_not_gone_on_with(lab: Lab) -> None:
    mine = replace(programme(lab), accelerator=lab.accelerator, time_scale=lab.time_scale)
    require_same(mine, lab, TOPOLOGY, None)
    require_same(mine, lab, TOPOLOGY, row(lab, Wishes()))
    for other, topology, wanted in (
        (replace(mine, accelerator="kvm"), TOPOLOGY, None),
        (replace(mine, time_scale=1.5), TOPOLOGY, None),
        (mine, TOPOLOGY + "\n", None),
        (mine, TOPOLOGY, row(lab, Wishes(quick=True))),
    ):
        with pytest.raises(LabError) as caught:
            require_same(other, lab, topology, wanted)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["null", "[]", "{}", '{"format": 99}', '{"format": 1, "name": 3}'])
def test_what_is_no_programme_is_refused(text: str) -> None:
    with pytest.raises(LabError):
        rows.from_document(json.loads(text))


@given(st.lists(st.sampled_from(["sound", "failed", "refused", "killed"]), max_size=60))
def test_every_row_of_events_ends_in_the_programme_or_waits_for_its_next_drill(events: list[str]) -> None:
    now = programme(LAB)
    good = bad = 0
    for number, event in enumerate(events):
        place = now.next_place
        if place is None:
            break
        step = now.steps[place]
        now = begun(now, place, f"{number:03}")
        one = sound(step.drill, step.node, f"{number:03}-x")
        if event == "sound":
            now, good = ended(now, place, one), good + 1
        elif event == "failed":
            now, bad = ended(now, place, replace(one, problems=("x",))), bad + 1
        elif event == "refused":
            now = refused(now, place, "x")
        assert rows.from_document(json.loads(json.dumps(rows.as_document(now)))) == now
    assert len(now.complete) == good
    assert len(now.failed) == bad
    assert now.finished == (good == len(now.steps))
    assert words(now.steps) == words(row(LAB, Wishes()))


def test_records_of_examples_are_sound() -> None:
    assert power_off("brina", 1, 124.0, 81.0).sound
    assert maintenance("piova", 2, 100.0).sound
