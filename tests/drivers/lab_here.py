"""A session whose nodes are this machine's own bash: what steps write for a node is run here for real."""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lab.core.model import Lab
from lab.core.topology import parse_topology
from lab.doors import process
from lab.doors.process import Result
from lab.doors.ssh import Shell
from lab.workflows.options import Options
from lab.workflows.session import Session
from tests.golden.example import example_secrets

ROOT = Path(__file__).resolve().parent.parent.parent


def lab_of(topology: str) -> Lab:
    path = ROOT / "topologies" / f"{topology}.yaml"
    return parse_topology(path.read_text(), source=path.name)


@dataclass(frozen=True)
class BashHere(Shell):
    """Runs on this machine what it is given, as sshd would: by a shell, with what comes on standard input."""

    scripts: list[str] = field(default_factory=list)
    timeouts_s: list[float] = field(default_factory=list)

    def run(self, command: str, *arguments: str, timeout_s: float = 60, stdin: bytes | None = None) -> Result:
        line = command % tuple(shlex.quote(argument) for argument in arguments) if arguments else command
        self.scripts.append((stdin or line.encode()).decode())
        self.timeouts_s.append(timeout_s)
        return process.run(["bash", "-c", line], timeout_s=timeout_s, stdin=stdin, check=False, cwd=self.root)


@dataclass(frozen=True)
class Recorder(Shell):
    """Runs nothing and keeps what it should have run; everything succeeds and prints what was prepared."""

    scripts: list[str] = field(default_factory=list)
    output: str = ""

    def run(self, command: str, *arguments: str, timeout_s: float = 60, stdin: bytes | None = None) -> Result:
        line = command % tuple(shlex.quote(argument) for argument in arguments) if arguments else command
        self.scripts.append(stdin.decode() if stdin and line == "bash -s" else line)
        return Result(("ssh", self.host, line), 0, self.output, "")


class Quiet:
    """A reporter that says nothing."""

    def step(self, *_words: Any, **_named: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def __getattr__(self, _name: str) -> Any:
        return lambda *_words, **_named: None


@dataclass(frozen=True)
class SessionHere(Session):
    """A session whose shells are all the same one."""

    here: Shell

    def shell(self, member: Any) -> Shell:
        return self.here


def session_here(here: Shell, folder: Path, topology: str = "smoke") -> SessionHere:
    lab = lab_of(topology)
    return SessionHere(lab, Options(), example_secrets(lab), folder, cast(Any, Quiet()), here)
