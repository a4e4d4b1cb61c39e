"""Programs that outlive the run that started them: found by their command lines, ended by their ids."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.doors import daemon
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run

ROOT = Path(__file__).resolve().parent.parent.parent
START = """
import sys
from pathlib import Path
from lab.doors import daemon
folder = Path(sys.argv[1])
assert daemon.start(["sleep", sys.argv[2]], cwd=folder, log=folder / "logs" / "log")()
"""


def meant(words: str) -> Callable[[list[str]], bool]:
    return lambda found: found == words.split()


@pytest.fixture
def seconds() -> Iterator[str]:
    """A time to sleep that no other process of this machine sleeps; whoever still sleeps it is ended."""
    number = f"{10**6 + os.getpid()}"
    yield number
    for pid in daemon.find(meant(f"sleep {number}")):
        os.kill(pid, signal.SIGKILL)


def test_it_outlives_its_starter_and_is_found_and_ended(tmp_path: Path, seconds: str) -> None:
    run([sys.executable, "-c", START, str(tmp_path), seconds], timeout_s=30, cwd=ROOT)
    found = wait_until(
        lambda: daemon.find(meant(f"sleep {seconds}")) or None,
        what="sleep",
        deadline=Deadline.after(10),
        interval_s=0.02,
    )
    assert len(found) == 1
    assert os.getsid(found[0]) == found[0]
    assert Path(f"/proc/{found[0]}/cwd").readlink() == tmp_path
    assert daemon.end(meant(f"sleep {seconds}")) == found
    assert daemon.find(meant(f"sleep {seconds}")) == []
    assert daemon.end(meant(f"sleep {seconds}")) == []


def test_its_output_is_kept_behind_what_was_there(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    log.parent.mkdir()
    log.write_text("before\n")
    running = daemon.start(["sh", "-c", "echo out; echo err >&2; cat; pwd"], cwd=tmp_path, log=log)
    wait_until(lambda: not running(), what="sh to end", deadline=Deadline.after(20), interval_s=0.02)
    assert log.read_text() == f"before\nout\nerr\n{tmp_path}\n"


def test_one_that_ignores_the_request_is_killed(tmp_path: Path, seconds: str) -> None:
    code = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {seconds};"
    argv = [sys.executable, "-c", code + "time.sleep(60)"]
    running = daemon.start(argv, cwd=tmp_path, log=tmp_path / "log")
    wait_until(lambda: "deaf" in (tmp_path / "log").read_text(), what="python", deadline=Deadline.after(20))
    assert len(daemon.end(lambda words: words == argv, limit_s=0.5)) == 1
    wait_until(lambda: not running(), what="python to end", deadline=Deadline.after(10), interval_s=0.02)


def test_only_who_is_meant_is_ended(tmp_path: Path, seconds: str) -> None:
    with subprocess.Popen(["sleep", f"{seconds}.5"]) as other:
        try:
            daemon.start(["sleep", seconds], cwd=tmp_path, log=tmp_path / "log")
            # The kernel lets the starter go on before it shows the new command line.
            wait_until(
                lambda: daemon.find(meant(f"sleep {seconds}")) or None,
                what="sleep",
                deadline=Deadline.after(10),
                interval_s=0.02,
            )
            assert len(daemon.end(meant(f"sleep {seconds}"))) == 1
            assert other.poll() is None
        finally:
            other.kill()


def test_the_run_itself_is_never_meant() -> None:
    assert os.getpid() not in daemon.find(lambda _words: True)


def test_every_process_is_looked_at_and_none_can_break_it() -> None:
    """Kernel threads and zombies have no command line."""
    zombie = subprocess.Popen(["true"])
    wait_until(
        lambda: "\nState:\tZ" in Path(f"/proc/{zombie.pid}/status").read_text(),
        what="a zombie",
        deadline=Deadline.after(10),
        interval_s=0.02,
    )
    seen: list[list[str]] = []
    assert daemon.find(lambda words: bool(seen.append(words))) == []
    assert [""] in seen
    zombie.wait()


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot start /no/such/program: No such file or directory"):
        daemon.start(["/no/such/program"], cwd=tmp_path, log=tmp_path / "log")
