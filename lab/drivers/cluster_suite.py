"""Pacemaker's Cluster Test Suite, laid out from its source and started on this host.

It looks nodes up by name and connects by plain ``ssh NODE``. Both are given to it alone: a table of names is laid over
``/etc/hosts`` in a mount namespace of its own (unshare(1)), and an ``ssh`` of the lab's comes first in its path.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core.errors import LabError
from lab.core.proof import cts
from lab.doors import files
from lab.doors.process import Result, follow

LIST_LIMIT_S = 60.0
#: So long a connection outlives its last command.
PERSIST_S = 20
HOSTS = Path("/etc/hosts")
LAID_OVER = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'


@dataclass(frozen=True)
class Suite:
    """The suite, ready to be started.

    Args:
        program: its ``CTSlab.py``.
        hosts: its table of names.
        path: its search path for programs.
    """

    program: Path
    hosts: Path
    path: str

    def run(self, arguments: Sequence[str], *, timeout_s: float, on_line: Callable[[str], None]) -> Result:
        """Start it with these arguments and follow it to its end.

        Raises:
            ProcessError: it cannot be started, or does not end in time.
        """
        return follow(
            [
                *("unshare", "--mount", "sh", "-c", LAID_OVER, "sh", str(self.hosts)),
                *(sys.executable, "-W", "ignore", str(self.program), *arguments),
            ],
            timeout_s=timeout_s,
            on_line=on_line,
            env={"PATH": self.path, "PYTHONUNBUFFERED": "1"},
            cwd=self.hosts.parent,
        )

    def listed(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """The tests that it lists.

        Raises:
            LabError: it lists none.
        """
        result = self.run(arguments, timeout_s=LIST_LIMIT_S, on_line=lambda _line: None)
        if not result.ok:
            raise LabError(
                f"Pacemaker's test suite cannot be started: exit code {result.returncode}",
                remedy="It needs root, for a mount namespace",
                details=result.stdout.splitlines()[-15:],
            )
        return cts.parse_list(result.stdout)


def laid_out(source: Path, target: Path, *, addresses: Mapping[str, str], ssh_config: Path, ssh_root: Path) -> Suite:
    """The suite of a source tree, laid out in a directory.

    Args:
        source: Pacemaker's source.
        target: the directory.
        addresses: of the nodes by name, as this host reaches them.
        ssh_config: the lab's.
        ssh_root: folder that its paths are relative to.

    Raises:
        LabError: the source has no such suite.
    """
    origin = source / "cts" / "lab"
    tree = {f"cts/{path.name}": cts.at_home(path.read_text(encoding="utf-8")).encode() for path in origin.glob("*.py")}
    for name in cts.TEMPLATES:
        try:
            text = (origin / f"{name}.in").read_text(encoding="utf-8")
        except OSError as error:
            raise LabError(
                f"{source} has no cluster test suite: {error.strerror}", remedy="Remove it, and it is fetched again"
            ) from error
        tree[f"cts/{name}"] = cts.filled(text).encode()
    own = HOSTS.read_text(encoding="utf-8")
    tree["hosts"] = cts.hosts_file(own, addresses, socket.gethostname()).encode()
    # A handshake costs an emulated node a second, and the suite asks by the hundred. It has connections of its own, by
    # its own ServerAliveInterval: one to a node that is fenced is given up after 15 s.
    # A socket's path has to be short, so it is relative, as in the configuration.
    socket_path = os.path.relpath(ssh_config.parent / "ssh-cts-%n", ssh_root)
    kept = ("-o", f"ControlPath={socket_path}", "-o", f"ControlPersist={PERSIST_S}")
    words = ["ssh", "-F", str(ssh_config), "-o", "BatchMode=yes", "-o", "ControlMaster=auto", *kept]
    search = os.environ.get("PATH", os.defpath)
    script = f'#!/bin/sh\ncd {shlex.quote(str(ssh_root))} && PATH={shlex.quote(search)} exec {shlex.join(words)} "$@"\n'
    files.write_tree(target, tree, lambda _name: False)
    files.write_atomically(target / "bin" / "ssh", script.encode(), 0o755)
    return Suite(target / "cts" / "CTSlab.py", target / "hosts", f"{target / 'bin'}:{search}")
