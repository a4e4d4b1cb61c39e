"""Programs that run beside this one: their output, their end, and that nothing of them is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.doors.background import beside, wait_ended
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import ProcessError

ROOT = Path(__file__).resolve().parent.parent.parent


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_output_and_exit_code_are_kept(tmp_path: Path) -> None:
    with beside(["sh", "-c", "echo out; echo err >&2; exit 7"], work=tmp_path, name="one") as program:
        assert wait_ended(program, 10, lambda: False)
        result = program.result(1)
    assert (result.returncode, result.stdout, result.stderr) == (7, "out\n", "err\n")


def test_a_program_is_given_what_its_environment_has_beside(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo $LC_ALL $COLOUR"]
    with beside(argv, work=tmp_path, name="one", extra={"COLOUR": "blue"}) as program:
        assert program.result(10).stdout == "C.UTF-8 blue\n"


def test_an_interruption_is_what_ctrl_c_is(tmp_path: Path) -> None:
    script = "trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.05; done"
    with beside(["sh", "-c", script], work=tmp_path, name="one") as program:
        wait_until(lambda: "ready" in program.output.read_text(), what="sh", deadline=Deadline.after(10))
        program.interrupt()
        result = program.result(10)
        program.interrupt()
    assert (result.returncode, result.stdout) == (0, "ready\nbye\n")


def test_waiting_ends_when_somebody_asks_to_stop_or_the_limit_has_passed(tmp_path: Path) -> None:
    with beside(["sleep", "300"], work=tmp_path, name="one") as program:
        assert not wait_ended(program, 300, lambda: True)
        assert not wait_ended(program, 0.2, lambda: False)


def test_the_end_of_the_block_ends_it_even_if_it_does_not_listen(tmp_path: Path) -> None:
    script = "trap '' TERM INT; echo ready; while :; do sleep 0.05; done"
    with pytest.raises(KeyboardInterrupt), beside(["sh", "-c", script], work=tmp_path, name="one") as program:
        wait_until(lambda: "ready" in program.output.read_text(), what="sh", deadline=Deadline.after(10))
        raise KeyboardInterrupt
    assert not alive(program.process.pid)


def test_a_killed_command_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, threading\n"
        "from lab.doors.background import beside\n"
        "with beside(['sleep', '300'], work=pathlib.Path(sys.argv[1]), name='one') as program:\n"
        "    print(program.process.pid, flush=True)\n"
        "    threading.Event().wait(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as command:
        assert command.stdout
        pid = int(command.stdout.readline())
        # The program itself, and no longer the one that ties it to the command.
        wait_until(
            lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", what="sleep", deadline=Deadline.after(10)
        )
        command.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(pid), what="the program to end", deadline=Deadline.after(10), interval_s=0.05)


def test_a_program_that_is_not_there_is_told_with_a_remedy(tmp_path: Path) -> None:
    with (
        pytest.raises(ProcessError, match="cannot start no-such-program: it is not installed") as caught,
        beside(["no-such-program"], work=tmp_path, name="one", remedy="Install it"),
    ):
        pytest.fail("nothing runs")
    assert caught.value.remedy == "Install it"
