"""The lock of a lab, held by other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.doors import files
from lab.doors.process import run

ROOT = Path(__file__).resolve().parent.parent.parent
HOLD = """
import sys
from pathlib import Path
from lab.doors import files
with files.locked(Path(sys.argv[1]), busy="busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    argv = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_the_second_one_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lab" / "lock"
    with holder(path) as process, pytest.raises(LabError) as caught, files.locked(path, busy="another run works"):
        pytest.fail("two hold the lock")
    assert caught.value.message == f"another run works (process {process.pid})"
    assert caught.value.remedy


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_holder_leaves_no_lock(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        process.send_signal(number)
        assert process.wait(timeout=20) == -number
        with files.locked(path, busy="busy"):
            assert path.read_text() == str(os.getpid())


def test_a_holder_that_ends_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        with files.locked(path, busy="busy"):
            pass


def test_what_the_holder_has_started_does_not_keep_it(tmp_path: Path) -> None:
    """As with the fencing daemon, which lives on when the run that started it has ended."""
    path = tmp_path / "lock"
    with files.locked(path, busy="busy"):
        left = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
    try:
        outcome = run([sys.executable, "-c", HOLD, str(path)], timeout_s=20, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
        assert outcome.stdout == "held\n"
        assert left.poll() is None
    finally:
        left.kill()
        left.wait(timeout=10)
