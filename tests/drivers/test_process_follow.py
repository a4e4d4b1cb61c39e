"""Following a child's output line by line, against real children."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.doors.process import ProcessError, follow, mask


def child(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


def test_lines_come_as_they_are_written_and_the_exit_code_is_no_error() -> None:
    seen: list[tuple[float, str]] = []
    code = "import sys, time; print('one'); time.sleep(1); print('two', file=sys.stderr); sys.exit(7)"
    result = follow(child(code), timeout_s=20, on_line=lambda line: seen.append((time.monotonic(), line)))
    assert [line for _when, line in seen] == ["one", "two"]
    assert seen[1][0] - seen[0][0] > 0.5
    assert (result.returncode, result.stdout, result.stderr) == (7, "one\ntwo\n", "")


def test_secrets_are_masked_in_lines() -> None:
    mask(["confidential-word"])
    seen: list[str] = []
    follow(child("print('a confidential-word here')"), timeout_s=20, on_line=seen.append)
    assert seen == ["a *** here"]


def test_the_deadline_ends_the_child() -> None:
    started = time.monotonic()
    with pytest.raises(ProcessError, match="did not end within 1 s") as caught:
        follow(child("import time; print('begun'); time.sleep(60)"), timeout_s=1, on_line=lambda _line: None)
    assert time.monotonic() - started < 10
    assert caught.value.details == ("begun",)


def test_a_reader_that_fails_ends_the_child(tmp_path: Path) -> None:
    note = tmp_path / "late"

    def fail(_line: str) -> None:
        raise RuntimeError("the reader is broken")

    code = f"import time; print('begun'); time.sleep(3); open({str(note)!r}, 'w').close()"
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="the reader is broken"):
        follow(child(code), timeout_s=20, on_line=fail)
    assert time.monotonic() - started < 3
    assert not note.exists()


def test_variables_and_the_working_directory_are_those_given(tmp_path: Path) -> None:
    seen: list[str] = []
    code = "import os; print(os.getcwd(), os.environ['SETTING'])"
    follow(child(code), timeout_s=20, on_line=seen.append, env={"SETTING": "1"}, cwd=tmp_path)
    assert seen == [f"{tmp_path} 1"]


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ProcessError, match="cannot start /no/such/program"):
        follow(["/no/such/program"], timeout_s=5, on_line=lambda _line: None)


def test_another_thread_can_end_the_program() -> None:
    ends: list[Callable[[], None]] = []
    started_s = time.monotonic()

    def end() -> None:
        ends[0]()

    threading.Timer(1, end).start()
    result = follow(
        child("import time; time.sleep(60)"), timeout_s=50, on_line=lambda _line: None, on_start=ends.append
    )
    assert not result.ok
    assert time.monotonic() - started_s < 30
