"""The process door against real children."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from lab.doors import process
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import ProcessError, run, shown

PYTHON = sys.executable


def child(code: str) -> list[str]:
    return [PYTHON, "-c", code]


def test_the_whole_result_comes_back() -> None:
    result = run(
        child("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), timeout_s=20, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert not result.ok
    assert result.duration_s > 0


def test_a_failure_carries_the_last_lines_of_output() -> None:
    with pytest.raises(ProcessError) as caught:
        run(child("print(*range(100), sep='\\n'); raise SystemExit(2)"), timeout_s=20, remedy="Try again")
    assert "failed with exit code 2" in caught.value.message
    assert caught.value.details == tuple(str(number) for number in range(80, 100))
    assert caught.value.remedy == "Try again"
    assert caught.value.result.returncode == 2


def test_standard_input_is_closed_or_what_was_given() -> None:
    code = "import sys; print(len(sys.stdin.read()))"
    assert run(child(code), timeout_s=20).stdout == "0\n"
    assert run(child(code), timeout_s=20, stdin=b"x" * 200_000).stdout == "200000\n"


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ProcessError) as caught:
        run(["/no/such/program"], timeout_s=5)
    assert caught.value.result.returncode == 127
    assert "cannot start /no/such/program: No such file or directory" in caught.value.message


@pytest.mark.parametrize("stubborn", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "])
def test_a_deadline_ends_the_whole_group_and_keeps_the_output(tmp_path: Path, stubborn: str) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, sys, time;"
        f"p = subprocess.Popen([sys.executable, '-c', '{stubborn}import time; time.sleep(60)']);"
        f"open({str(pid_file)!r}, 'w').write(str(p.pid)); print('begun', flush=True); time.sleep(60)"
    )
    started = time.monotonic()
    with pytest.raises(ProcessError) as caught:
        run(child(code), timeout_s=1.5)
    assert time.monotonic() - started < 10
    assert caught.value.result.stdout == "begun\n"
    grandchild = int(pid_file.read_text(encoding="utf-8"))
    wait_until(lambda: not alive(grandchild), what="the end of the grandchild", deadline=Deadline.after(5))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_only_known_variables_reach_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SETTING_OF_THE_SHELL", "1")
    code = "import os; print(sorted(os.environ))"
    seen = run(child(code), timeout_s=20, env={"OWN": "x"}).stdout
    assert "SOME_SETTING_OF_THE_SHELL" not in seen
    assert "'OWN'" in seen
    assert "'LC_ALL'" in seen
    assert os.environ["SOME_SETTING_OF_THE_SHELL"] == "1"


def test_secrets_are_masked_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_masked", set())
    process.mask(["swordfish", "short"])
    with pytest.raises(ProcessError) as caught:
        run(child("print('key swordfish short'); raise SystemExit('swordfish')"), timeout_s=20)
    told = caught.value.message + "".join(caught.value.details)
    assert "swordfish" not in told
    assert "***" in told
    assert shown(["login", "--password", "swordfish"]) == "login --password ***"


def test_bytes_that_are_no_text_do_not_matter() -> None:
    code = "import sys; sys.stdout.buffer.write(b'\\xff\\xfeok')"
    assert run(child(code), timeout_s=20).stdout.endswith("ok")


def test_a_deadline_does_not_wait_for_who_else_holds_the_pipes(tmp_path: Path) -> None:
    """As ssh's kept connection does, which belongs to another group of processes."""
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, sys, time;"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True);"
        f"open({str(pid_file)!r}, 'w').write(str(p.pid)); print('begun', flush=True); time.sleep(60)"
    )
    started = time.monotonic()
    with pytest.raises(ProcessError) as caught:
        run(child(code), timeout_s=2)
    try:
        assert time.monotonic() - started < 10
        assert caught.value.result.stdout == "begun\n"
    finally:
        os.kill(int(pid_file.read_text()), 9)
