"""The door to programs that run beside this one for a while: bounded, ended with it, their output in files."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.doors.clock import Deadline, WaitError, wait_until
from lab.doors.process import PASSED_ENVIRONMENT, ProcessError, Result

#: How long a program that was told to end may take before it is killed.
GRACE_S = 3.0
#: More of a program's output than this is not read.
LARGEST_OUTPUT_BYTES = 2**20


@dataclass(frozen=True)
class Program:
    """A program that runs beside this one.

    Args:
        argv: what runs.
        output, errors: files of its standard output and standard error.
    """

    argv: tuple[str, ...]
    process: subprocess.Popen[bytes]
    output: Path
    errors: Path

    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def interrupt(self) -> None:
        """Tell it what Ctrl-C would tell it; nothing happens when it has ended."""
        _signal(self.process, signal.SIGINT)

    def result(self, limit_s: float) -> Result:
        """Wait for its end, and kill it when the limit has passed; what it printed, and its exit code.

        Args:
            limit_s: seconds to wait.
        """
        with contextlib.suppress(WaitError):
            wait_until(self.ended, what=self.argv[0], deadline=Deadline.after(limit_s), interval_s=0.05)
        end(self.process)
        return Result(self.argv, int(self.process.returncode), _text(self.output), _text(self.errors))


@contextmanager
def beside(
    argv: Sequence[str], *, work: Path, name: str, remedy: str = "", extra: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """A program that runs until the end of the block at the latest, with all that it started.

    The kernel kills it when this process is killed (``setpriv --pdeathsig``), so it is never left behind.

    Args:
        argv: program and arguments; never a shell line.
        work: its working directory, where its output goes too.
        name: beginning of the names of the two files of output.
        remedy: what a person can try when it cannot be started.
        extra: what its environment has beside what is passed on of this process'.

    Raises:
        ProcessError: it cannot be started.
    """
    words = tuple(str(word) for word in argv)
    if shutil.which(words[0]) is None:
        missing = Result(words, 127, "", f"{words[0]} is not installed")
        raise ProcessError(f"cannot start {words[0]}: it is not installed", missing, remedy=remedy)
    output, errors = work / f"{name}.stdout", work / f"{name}.stderr"
    environment = {key: os.environ[key] for key in PASSED_ENVIRONMENT if key in os.environ}
    try:
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**environment, "LC_ALL": "C.UTF-8", **(extra or {})},
                cwd=work,
                start_new_session=True,
            )
    except OSError as error:
        empty = Result(words, 127, "", str(error))
        raise ProcessError(f"cannot start {words[0]}: {error.strerror}", empty, remedy=remedy) from error
    try:
        yield Program(words, process, output, errors)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and its session: asked first, killed after :data:`GRACE_S`."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE_S)
        _signal(process, signal.SIGKILL)
        process.wait(timeout=GRACE_S)


def wait_ended(program: Program, limit_s: float, hopeless: Callable[[], bool]) -> bool:
    """Wait until a program has ended, the limit has passed, or somebody asks to stop; whether it has ended.

    Args:
        program: the program.
        limit_s: seconds to wait.
        hopeless: tells whether to stop.
    """
    deadline = Deadline.after(limit_s)
    wait_until(
        lambda: program.ended() or hopeless() or deadline.passed(),
        what=program.argv[0],
        deadline=Deadline.after(limit_s + 1),
        interval_s=0.1,
    )
    return program.ended()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Its number is its own until its end has been read, so no stranger is meant.
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(LARGEST_OUTPUT_BYTES).decode(errors="replace")
