"""The reader of pytest's JUnit files, in the form that pytest writes, and what verify makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.core.parsers.junit import Check, parse_junit
from lab.doors.process import Result
from lab.workflows.options import Options
from lab.workflows.verify import environment_of, options_of, outcome_of

FILE = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.1">
<testcase classname="tests.lab.test_a" name="test_x[brina]" time="0.5" />
<testcase classname="tests.lab.test_a" name="test_y" time="0.25">
<failure message="AssertionError: no&#10;assert 1 == 2">long</failure></testcase>
<testcase classname="tests.lab.test_b" name="test_z"><error message="failed on setup">long</error></testcase>
<testcase classname="tests.lab.test_b" name="test_s"><skipped type="pytest.skip"
message="why">where</skipped></testcase>
</testsuite></testsuites>"""
PASSED = Check("test_a::test_x", "passed")
FAILED = Check("test_a::test_y", "failed", "AssertionError: no\nassert 1 == 2")
SKIPPED = Check("test_a::test_z", "skipped", "why")


def outcome(*checks: Check, code: int = 0) -> Outcome:
    return outcome_of("halab", checks, Result(("pytest",), code, "", "", 12.34), Path("build/halab/verify.xml"))


def test_every_kind_of_verdict_is_read() -> None:
    assert parse_junit(FILE) == (
        Check("test_a::test_x[brina]", "passed", "", 0.5),
        Check("test_a::test_y", "failed", "AssertionError: no\nassert 1 == 2", 0.25),
        Check("test_b::test_z", "failed", "failed on setup"),
        Check("test_b::test_s", "skipped", "why"),
    )


def test_a_file_without_checks_has_none() -> None:
    assert parse_junit('<testsuites><testsuite name="pytest" tests="0"/></testsuites>') == ()


@pytest.mark.parametrize("text", ["", "no file", "<html/>", FILE.replace('"0.5"', '"soon"'), FILE[:200]])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(LabError, match="the JUnit file cannot be read"):
        parse_junit(text)


@given(st.integers(0, len(FILE) - 1))
def test_a_file_cut_short_is_refused(length: int) -> None:
    with pytest.raises(LabError):
        parse_junit(FILE[:length])


def test_all_passed_is_ok() -> None:
    result = outcome(PASSED, PASSED)
    assert result.ok
    assert (result.document["checks"], result.document["passed"], result.document["failures"]) == (2, 2, [])
    assert "2 of 2 checks passed, 0 failed, 0 skipped, in 12 s" in result.text


def test_a_failure_is_named_with_its_evidence() -> None:
    result = outcome(PASSED, FAILED, code=1)
    assert not result.ok
    assert result.text.splitlines()[:2] == ["FAILED test_a::test_y: AssertionError: no", "    assert 1 == 2"]
    assert result.document["failures"] == [{"name": "test_a::test_y", "message": "AssertionError: no\nassert 1 == 2"}]


def test_one_cause_of_many_failures_is_told_once() -> None:
    lost = [Check(f"test_a::test_{number}", "failed", "brina cannot be asked: no route") for number in range(9)]
    result = outcome(*lost, FAILED, code=1)
    assert result.text.splitlines()[0] == "FAILED test_a::test_0 and 8 more: brina cannot be asked: no route"
    assert result.document["failed"] == 10
    assert len(result.text.splitlines()) == 4


def test_a_skip_is_no_pass() -> None:
    result = outcome(PASSED, SKIPPED)
    assert not result.ok
    assert (result.document["passed"], result.document["skips"]) == (1, ["test_a::test_z"])


@pytest.mark.parametrize("code", [0, 5])
def test_no_check_at_all_proves_nothing(code: int) -> None:
    result = outcome(code=code)
    assert not result.ok
    assert "No check was made" in result.text


@pytest.mark.parametrize("code", [2, 3, 4, -15])
def test_a_suite_that_broke_off_is_not_ok_whatever_passed(code: int) -> None:
    result = outcome(PASSED, code=code)
    assert not result.ok
    assert f"exit code {code}" in result.text


def test_the_suite_gets_the_options_that_were_given(tmp_path: Path) -> None:
    given_ones = Options(topology=tmp_path / "mine.yaml", name="second", build=tmp_path / "build")
    assert options_of(environment_of(given_ones)) == given_ones
    assert options_of({}) == Options()
    assert options_of(environment_of(Options())) == Options()


def test_options_survive_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert options_of(environment_of(Options(topology=Path("mine.yaml")))).topology == tmp_path / "mine.yaml"
