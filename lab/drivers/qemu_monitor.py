"""QEMU's monitor over its socket (QMP): one command, one answer, each with a deadline.

Protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html. Snapshots go through ``human-monitor-command``, whose
savevm is done when it answers; an empty answer is success (QEMU 7.2 and later print errors there).
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from lab.core.errors import LabError
from lab.doors.clock import Deadline

CONNECT_LIMIT_S = 20.0
SNAPSHOT_LIMIT_S = 240.0


def human(monitor: Path, command: str, *, timeout_s: float) -> str:
    """Carry out a command of the human monitor and return what it printed.

    Args:
        monitor: the socket.
        command: such as ``info status``.
        timeout_s: deadline, seconds.

    Raises:
        LabError: QEMU does not answer, or refuses.
    """
    deadline = Deadline.after(timeout_s)
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(min(CONNECT_LIMIT_S, timeout_s))
            channel.connect(str(monitor))
            with channel.makefile("rwb") as stream:
                _answer(channel, stream, deadline, greeting=True)
                _command(channel, stream, deadline, "qmp_capabilities")
                return str(_command(channel, stream, deadline, "human-monitor-command", {"command-line": command}))
    except (OSError, ValueError) as error:
        raise LabError(f"QEMU's monitor {monitor} does not answer to `{command}`: {error}") from error


def save(monitor: Path, name: str) -> None:
    """Save memory and disks of the machine under a name; one that there was is replaced.

    Raises:
        LabError: it cannot be saved.
    """
    said = human(monitor, f"savevm {name}", timeout_s=SNAPSHOT_LIMIT_S).strip()
    if said:
        raise LabError(f"the machine cannot be saved: {said}", remedy="Look at the free space of the disk")


def _command(
    channel: socket.socket, stream: Any, deadline: Deadline, name: str, arguments: dict[str, str] | None = None
) -> Any:
    order: dict[str, Any] = {"execute": name, **({"arguments": arguments} if arguments else {})}
    stream.write(json.dumps(order).encode() + b"\n")
    stream.flush()
    return _answer(channel, stream, deadline)


def _answer(channel: socket.socket, stream: Any, deadline: Deadline, *, greeting: bool = False) -> Any:
    """The next answer; events in between are nobody's business here."""
    while True:
        channel.settimeout(max(0.01, deadline.remaining_s()))
        line = stream.readline()
        if not line:
            raise OSError("it hung up")
        message = json.loads(line)
        if "error" in message:
            raise ValueError(message["error"].get("desc", "refused"))
        if "return" in message or (greeting and "QMP" in message):
            return message.get("return")
