"""crmsh's crash test: its results as its own classes write them, and the look from outside."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.proof.crash_test import (
    LEFT_OUT,
    TESTS,
    Seen,
    Told,
    agreement_case,
    chosen,
    command,
    outside_case,
    own_case,
    parse_results,
)
from lab.core.proof.crash_test import Test as CrashTest

RECORDED = Path(__file__).parent / "recorded"
BY_NAME = {test.name: test for test in TESTS}


def told(name: str) -> Told:
    return parse_results((RECORDED / f"crash_test-{name}.json").read_text(encoding="utf-8"))


def seen(rebooted: tuple[str, ...], off: tuple[str, ...] | None = None, restarted: bool | None = None) -> Seen:
    return Seen("brina", "piova", rebooted, rebooted if off is None else off, (), restarted)


def test_a_test_that_ended_well() -> None:
    result = told("kill-pacemakerd")
    assert result.description == "Force kill pacemakerd"
    assert len(result.messages) == 3
    assert result.messages[-1].endswith("INFO:Process pacemakerd(2890) is restarted!")
    assert (result.errors, result.fenced) == ((), ())
    assert own_case(BY_NAME["kill-pacemakerd"], result, 0, 12.0).verdict == "passed"


def test_a_node_that_was_fenced_is_named() -> None:
    assert told("fence-node").fenced == ("piova",)
    assert told("split-brain").fenced == ("piova",)


def test_errors_are_the_programs_own_words() -> None:
    alive, refused = told("still-alive"), told("refused")
    assert alive.errors == ('Target fence node "piova" still alive',)
    assert refused.errors == ("Cluster not running!",)
    case = own_case(BY_NAME["fence-node"], alive, 1, 60.0)
    assert (case.verdict, case.message) == ("failed", 'Target fence node "piova" still alive')


@pytest.mark.parametrize("text", ["", "[", '[\n  {\n    "Timesta', "null of a file that was cut off"])
def test_what_a_node_that_lost_power_left_is_no_result(text: str) -> None:
    assert parse_results(text) == Told()


@pytest.mark.parametrize("text", ["3", "null", "[3]", '[{"Description": 1}]', '{"a": 1}'])
def test_another_form_is_an_error_and_not_a_verdict(text: str) -> None:
    with pytest.raises(LabError, match="not known"):
        parse_results(text)


@given(st.text())
def test_any_text_is_a_result_or_an_error(text: str) -> None:
    with suppress(LabError):
        assert isinstance(parse_results(text), Told)


def test_a_split_brain_in_which_nobody_was_fenced_is_found_out() -> None:
    """The program ends well there: its own source says that there should be an error."""
    result = told("nobody-fenced")
    split = BY_NAME["split-brain-iptables"]
    assert own_case(split, result, 0, 65.0).verdict == "passed"
    outside = outside_case(split, seen(()))
    assert outside.verdict == "failed"
    assert "nobody booted again" in outside.message


@pytest.mark.parametrize(
    ("name", "rebooted", "verdict"),
    [
        ("kill-pacemakerd", (), "passed"),
        ("kill-pacemakerd", ("brina",), "failed"),
        ("fence-node", ("piova",), "passed"),
        ("fence-node", ("brina",), "failed"),
        ("fence-node", (), "failed"),
        ("kill-corosync", ("brina",), "passed"),
        ("kill-corosync", (), "failed"),
        ("kill-corosync", ("brina", "piova"), "failed"),
        ("split-brain-iptables", ("brina",), "passed"),
        ("split-brain-iptables", ("piova",), "passed"),
        ("split-brain-iptables", ("brina", "piova"), "failed"),
    ],
)
def test_who_has_to_be_fenced(name: str, rebooted: tuple[str, ...], verdict: str) -> None:
    assert outside_case(BY_NAME[name], seen(rebooted)).verdict == verdict


def test_a_reboot_that_was_no_fencing_is_told() -> None:
    case = outside_case(BY_NAME["fence-node"], seen(("piova",), off=()))
    assert (case.verdict, case.message) == ("failed", "libvirt saw nobody stop, and piova booted again")


def test_what_stays_behind_and_what_did_not_happen_is_told() -> None:
    left = Seen("brina", "piova", (), (), ("brina: -A INPUT -s 10.81.26.12/32 -j DROP",), False)
    case = outside_case(BY_NAME["kill-pacemakerd"], left)
    assert "the same process as before" in case.message
    assert "left in the packet filter of brina: -A INPUT" in case.message


def test_a_program_that_went_down_with_its_node_has_no_verdict() -> None:
    for code in (None, 255):
        assert own_case(BY_NAME["kill-corosync"], Told(), code, 30.0).verdict == "skipped"
        assert own_case(BY_NAME["fence-node"], Told(), code, 30.0).verdict == "failed"
    assert own_case(BY_NAME["fence-node"], Told(), 0, 30.0).verdict == "failed"
    assert own_case(BY_NAME["fence-node"], Told(), 1, 30.0).message == "it ended with exit code 1"


def test_its_word_about_who_was_fenced_is_checked() -> None:
    fence = BY_NAME["fence-node"]
    right, wrong = (
        agreement_case(fence, told("fence-node"), seen(("piova",))),
        agreement_case(fence, told("fence-node"), seen(())),
    )
    assert right is not None
    assert wrong is not None
    assert (right.verdict, wrong.verdict) == ("passed", "failed")
    assert agreement_case(fence, told("refused"), seen(())) is None


def test_tests_are_chosen_by_name_in_the_programs_order() -> None:
    assert chosen(()) == TESTS
    assert [test.name for test in chosen(("kill-corosync", "fence-node"))] == ["fence-node", "kill-corosync"]
    with pytest.raises(LabError, match="has no sbd") as caught:
        chosen(("kill-sbd",))
    assert caught.value.exit_code == 2
    assert not set(LEFT_OUT) & set(BY_NAME)


@pytest.mark.parametrize(
    ("test", "words"),
    [(BY_NAME["fence-node"], "--fence-node piova --force"), (BY_NAME["kill-corosync"], "--kill-corosync --force")],
)
def test_the_command_leaves_no_question_and_no_older_result(test: CrashTest, words: str) -> None:
    line = command(test, "piova")
    path = "PATH=/dev/shm/crash-test:$PATH"
    assert line == f"rm -f /var/lib/crmsh/crash_test/crash_test.json; {path} crm cluster crash_test {words}"


def test_a_fencing_that_the_program_missed_is_no_verdict_of_it() -> None:
    """It asks for pending fencings, and one that was over before it looked leaves it waiting until its timeout."""
    fence, missed = BY_NAME["fence-node"], told("still-alive")
    case = own_case(fence, missed, 1, 180.0, ("piova",))
    assert case.verdict == "skipped"
    assert "missed the fencing" in case.message
    assert own_case(fence, missed, 1, 180.0, ("brina",)).verdict == "failed"
    begun = replace(missed, messages=(*missed.messages, 'x y INFO:Node "piova" will be fenced by "brina"!'))
    assert own_case(fence, begun, 1, 180.0, ("piova",)).verdict == "failed"
    more = replace(missed, errors=(*missed.errors, "Cluster not running!"))
    assert own_case(fence, more, 1, 180.0, ("piova",)).verdict == "failed"
