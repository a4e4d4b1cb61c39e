"""The door to programs that outlive a run: started detached, found and ended by what their command line says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.core.errors import LabError
from lab.doors.clock import Deadline, wait_until


def start(argv: Sequence[str], *, cwd: Path, log: Path) -> Callable[[], bool]:
    """Start a program detached from this run, with its output in a log.

    Args:
        argv: program and arguments; the program stays in the foreground of its own session.
        cwd: working directory.
        log: file that its output is appended to.

    Returns:
        A function that tells whether it still runs.

    Raises:
        LabError: it cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as stream:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=cwd, start_new_session=True
            )
    except OSError as error:
        raise LabError(f"cannot start {argv[0]}: {error.strerror}") from error
    return lambda: process.poll() is None


def find(is_meant: Callable[[list[str]], bool]) -> list[int]:
    """Process ids whose command line, as a list of words, is meant."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            if is_meant(words):
                found.append(int(entry.name))
    return sorted(found)


def end(is_meant: Callable[[list[str]], bool], *, limit_s: float = 5.0) -> list[int]:
    """End the processes that are meant, by id: asked first, killed at the limit; returns their ids."""
    found = find(is_meant)
    for number in found:
        _signal(number, signal.SIGTERM)
    try:
        wait_until(
            lambda: not find(is_meant), what="processes to end", deadline=Deadline.after(limit_s), interval_s=0.05
        )
    except LabError:
        for number in find(is_meant):
            _signal(number, signal.SIGKILL)
    return found


def _signal(number: int, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(number, which)
