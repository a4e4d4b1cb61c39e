"""The one door to other programs: argument vectors only, closed standard input, a deadline, whole results.

Secrets are masked in everything that is logged or shown in an error, so a caller may pass them freely.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core.errors import LabError

_masked: set[str] = set()

#: Variables that reach a child; everything else is dropped so that a run does not depend on the caller's shell.
PASSED_ENVIRONMENT = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "TERM",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)

#: How long the output of a program that was ended is waited for.
PIPES_LIMIT_S = 1.0


def mask(secrets: Iterable[str]) -> None:
    """Register values that must never appear in logs or messages."""
    _masked.update(secret for secret in secrets if len(secret) >= 6)


def masked(text: str) -> str:
    """The text with every registered secret replaced by ``***``."""
    for secret in _masked:
        text = text.replace(secret, "***")
    return text


@dataclass(frozen=True)
class Result:
    """The whole outcome of a process.

    Args:
        argv: what was run.
        returncode: exit code; negative for a signal.
        stdout, stderr: output, decoded as UTF-8 with replacement.
        duration_s: how long it took.
    """

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the exit code was 0."""
        return self.returncode == 0


class ProcessError(LabError):
    """A program failed, could not be started, or ran past its deadline; carries the whole result."""

    def __init__(self, message: str, result: Result, *, remedy: str = "") -> None:
        output = (result.stderr.strip() or result.stdout.strip()).splitlines()[-20:]
        super().__init__(masked(message), remedy=remedy, details=[masked(line) for line in output])
        self.result = result


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    stdin: bytes | None = None,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    remedy: str = "",
) -> Result:
    """Run a program to its end and return all of it.

    The program gets a session of its own: at the deadline its whole process group is ended, so nothing stays behind.

    Args:
        argv: program and arguments; never a shell line.
        timeout_s: deadline in seconds; there is no run without one.
        stdin: bytes for standard input; closed when None.
        check: raise when the exit code is not 0.
        env: variables on top of :data:`PASSED_ENVIRONMENT`.
        cwd: working directory.
        remedy: what a person can try, shown with a failure.

    Raises:
        ProcessError: exit code not 0 (with ``check``), not startable, or past the deadline.
    """
    words = tuple(str(word) for word in argv)
    started = time.monotonic()
    process = _start(
        words,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
        remedy=remedy,
    )
    try:
        out, err = process.communicate(stdin, timeout=timeout_s)
    except BaseException as error:
        _end_group(process)
        out, err = _printed(process)
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        late = Result(words, -signal.SIGKILL, out.decode(errors="replace"), err.decode(errors="replace"), timeout_s)
        raise ProcessError(f"`{shown(words)}` did not end within {timeout_s:.0f} s", late, remedy=remedy) from None
    result = Result(
        words,
        process.returncode,
        out.decode(errors="replace"),
        err.decode(errors="replace"),
        time.monotonic() - started,
    )
    if check and not result.ok:
        raise ProcessError(f"`{shown(words)}` failed with exit code {result.returncode}", result, remedy=remedy)
    return result


def hand_over(argv: Sequence[str], *, cwd: Path) -> int:
    """Give the person's own terminal to an interactive program until it ends; returns its exit code.

    Raises:
        ProcessError: it cannot be started.
    """
    try:
        return subprocess.run(list(argv), cwd=cwd, check=False).returncode
    except OSError as error:
        empty = Result(tuple(argv), 127, "", str(error))
        raise ProcessError(f"cannot start {argv[0]}: {error.strerror}", empty) from error


def follow(
    argv: Sequence[str],
    *,
    timeout_s: float,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_start: Callable[[Callable[[], None]], None] = lambda _end: None,
) -> Result:
    """Run a program to its end, like :func:`run`, and hand over every line of its output as soon as it is there.

    Args:
        argv: program and arguments; never a shell line.
        timeout_s: deadline in seconds.
        on_line: called with each line of standard output or standard error, secrets masked.
        env: variables on top of :data:`PASSED_ENVIRONMENT`.
        cwd: working directory.
        on_start: given what ends the program and all that it started, for another thread.

    Returns:
        The whole result whatever the exit code, both outputs as one in ``stdout``.

    Raises:
        ProcessError: not startable, or past the deadline.
    """
    words = tuple(str(word) for word in argv)
    started = time.monotonic()
    process = _start(words, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, env=env, cwd=cwd)
    late = threading.Event()

    def end() -> None:
        # Its number is its own until its end has been read, so no stranger is meant.
        if process.poll() is None:
            _end_group(process)

    def give_up() -> None:
        late.set()
        end()

    timer = threading.Timer(timeout_s, give_up)
    timer.daemon = True
    timer.start()
    lines: list[str] = []
    try:
        on_start(end)
        for line in process.stdout or ():
            lines.append(line.decode(errors="replace"))
            on_line(masked(lines[-1].rstrip("\r\n")))
        process.wait()
    finally:
        timer.cancel()
        end()
        if process.stdout:
            process.stdout.close()
    result = Result(words, process.returncode, "".join(lines), "", time.monotonic() - started)
    if late.is_set():
        raise ProcessError(f"`{shown(words)}` did not end within {timeout_s:.0f} s", result)
    return result


def _start(
    words: tuple[str, ...],
    *,
    stdin: int,
    stderr: int,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    remedy: str = "",
) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
    environment.update({"LC_ALL": "C.UTF-8", **(env or {})})
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        empty = Result(words, 127, "", str(error))
        raise ProcessError(f"cannot start {words[0]}: {error.strerror}", empty, remedy=remedy) from error


def shown(argv: Sequence[str]) -> str:
    """A command as a person would type it, secrets masked, long ones cut."""
    text = masked(shlex.join(argv))
    return text if len(text) <= 300 else text[:297] + "..."


def _end_group(process: subprocess.Popen[bytes]) -> None:
    # SIGKILL follows in any case: a member that ignores SIGTERM would hold the pipes open, and reading them would last
    # as long as it does.
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=2)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _printed(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What an ended program has printed, without waiting for others who hold its pipes.

    ssh hands its own pipes to the kept connection, which holds them for as long as the command runs on the host.
    """
    try:
        return process.communicate(timeout=PIPES_LIMIT_S)
    except subprocess.TimeoutExpired as late:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return late.output or b"", late.stderr or b""


__all__ = ["PASSED_ENVIRONMENT", "ProcessError", "Result", "follow", "hand_over", "mask", "masked", "run", "shown"]
