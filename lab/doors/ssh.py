"""The door to shells on nodes and guests: OpenSSH with one kept connection per host.

A handshake costs seconds under emulation, so the rendered ``ssh_config`` keeps a master connection
(``ControlMaster``/``ControlPersist``, ssh_config(5)); the same file serves the tool, the checks and the person.
OpenSSH itself is preferred to a library: what works here works when typed by hand.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.core.errors import LabError
from lab.doors import process
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import ProcessError, Result, masked

#: Exit code of ssh(1) itself when the connection failed.
CONNECTION_FAILED = 255
#: So many questions without an answer make a host silent.
_ALIVE_COUNT = 6


class RemoteError(LabError):
    """A command on a node or guest failed; carries the whole result."""

    def __init__(self, host: str, command: str, result: Result, *, remedy: str = "") -> None:
        output = (result.stderr.strip() or result.stdout.strip()).splitlines()[-20:]
        shown = masked(command if len(command) <= 200 else command[:197] + "...")
        super().__init__(
            f"{host}: `{shown}` failed with exit code {result.returncode}",
            remedy=remedy,
            details=[masked(line) for line in output],
        )
        self.host = host
        self.result = result


@dataclass(frozen=True)
class Shell:
    """Root's shell on one host of a lab.

    Args:
        host: a name of the lab's ssh_config.
        config: the rendered ssh_config.
        root: folder that the paths in ssh_config are relative to.
    """

    host: str
    config: Path
    root: Path

    def argv(self, *words: str) -> list[str]:
        """The ssh command line, without a remote command."""
        return ["ssh", "-F", str(self.config), *words, self.host]

    def run(self, command: str, *arguments: str, timeout_s: float = 60, stdin: bytes | None = None) -> Result:
        """Run a shell line on the host and return the whole result, whatever its exit code.

        Args:
            command: shell text with ``%s`` for each argument, which is quoted.
            arguments: values to be quoted into the command.
            timeout_s: deadline in seconds.
            stdin: bytes for standard input.

        Raises:
            ProcessError: past the deadline.
        """
        line = command % tuple(shlex.quote(argument) for argument in arguments) if arguments else command
        return process.run(
            [*self.argv("-o", "BatchMode=yes"), "--", line],
            timeout_s=timeout_s,
            stdin=stdin,
            check=False,
            cwd=self.root,
        )

    def run_alone(self, command: str, *, timeout_s: float, silence_s: int) -> Result:
        """Run a shell line whose host may go down under it, on a connection of its own.

        The kept connection would wait until the deadline: nobody asks on it whether the host is still there. This one
        asks (``ServerAliveInterval``, ssh_config(5)), and ends at once where a host that has booted again does not
        know it.

        Args:
            command: shell text.
            timeout_s: deadline in seconds.
            silence_s: after so many seconds without a sign of the host it counts as lost, and the exit code is that of
                a failed connection.

        Raises:
            ProcessError: past the deadline.
        """
        words = ["BatchMode=yes", "ControlMaster=no", "ControlPath=none"]
        words += [f"ServerAliveInterval={max(1, silence_s // _ALIVE_COUNT)}", f"ServerAliveCountMax={_ALIVE_COUNT}"]
        argv = self.argv(*(word for option in words for word in ("-o", option)))
        return process.run([*argv, "--", command], timeout_s=timeout_s, check=False, cwd=self.root)

    def asked(self, command: str, *arguments: str, timeout_s: float = 30) -> Result | None:
        """The result of a shell line that only looks, or None when the host could not be asked now.

        A busy emulated node can miss a deadline or lose a connection; who waits for something asks again.
        """
        try:
            result = self.run(command, *arguments, timeout_s=timeout_s)
        except ProcessError:
            return None
        return None if result.returncode == CONNECTION_FAILED else result

    def succeed(
        self, command: str, *arguments: str, timeout_s: float = 60, stdin: bytes | None = None, remedy: str = ""
    ) -> str:
        """Run a shell line that must end with exit code 0; return its standard output.

        Raises:
            RemoteError: exit code not 0.
        """
        result = self.run(command, *arguments, timeout_s=timeout_s, stdin=stdin)
        if not result.ok:
            raise RemoteError(self.host, command, result, remedy=remedy)
        return result.stdout

    def reachable(self, timeout_s: float = 5) -> bool:
        """Whether a command can be run now."""
        try:
            words = self.argv("-o", "BatchMode=yes", "-o", f"ConnectTimeout={max(1, int(timeout_s))}")
            return process.run([*words, "--", "true"], timeout_s=timeout_s + 3, check=False, cwd=self.root).ok
        except ProcessError:
            return False

    def wait_reachable(self, deadline: Deadline, hopeless: Callable[[], str] | None = None) -> None:
        """Wait until a command can be run.

        Raises:
            WaitError: at the deadline, or when ``hopeless`` says why it cannot come true.
        """
        wait_until(
            lambda: self.reachable(min(20, max(3, deadline.remaining_s()))),
            what=f"ssh to {self.host}",
            deadline=deadline,
            interval_s=0.5,
            hopeless=hopeless,
        )

    def put(self, content: bytes, path: str, mode: str = "0644", owner: str = "") -> None:
        """Write a file on the host atomically.

        Args:
            content: its content.
            path: absolute path there.
            mode: permission bits in octal digits.
            owner: user and group there; who is logged in when empty.
        """
        new = f"{path}.new"
        owned = ["chown %s %s && ", owner, new] if owner else [""]
        self.succeed(
            f"umask 077 && cat > %s && {owned[0]}chmod %s %s && mv %s %s",
            *(new, *owned[1:], mode, new, new, path),
            stdin=content,
        )

    def close(self) -> None:
        """End the kept connection; no error when there is none."""
        process.run([*self.argv("-O", "exit")], timeout_s=5, check=False, cwd=self.root)
