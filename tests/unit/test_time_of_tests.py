"""What is run when the time for tests is short."""

from __future__ import annotations

import time

import pytest
from invoke.exceptions import Exit

from lab.practice_tests import END_TO_END, WITHIN_MIN, moment_after
from lab.workflows.options import ROOT


def test_every_file_of_the_real_lab_belongs_to_a_part() -> None:
    files = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "end_to_end").glob("test_*.py")}
    assert {name for names in END_TO_END.values() for name in names} == files


def test_the_lab_is_built_first_and_removed_last() -> None:
    assert END_TO_END["whole"][0] == "whole_lab"
    # The one by Vagrant is another lab, which needs the memory of this one, and removes itself.
    assert END_TO_END["whole"][-2:] == ("removal", "by_vagrant")
    # It is never left out, whatever the time: the host would not be clean.
    assert "takes(" not in (ROOT / "tests" / "end_to_end" / "test_removal.py").read_text(encoding="utf-8")


def test_minutes_become_a_moment() -> None:
    assert moment_after("0") is None
    moment = moment_after(WITHIN_MIN)
    assert moment is not None
    assert 0 < moment - time.monotonic() <= 75 * 60


@pytest.mark.parametrize("words", ["-3", "ab", "", "1.5", "12345", "\u0663"])
def test_what_is_no_number_of_minutes_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exit) as ended:
        moment_after(words)
    assert ended.value.code == 2
    assert f"--within {words}: not a number of minutes" in capsys.readouterr().err
