"""fence_virtd on the host: one daemon per lab, on the lab's own gateway address, for the lab's own domains only.

The daemon is found by its command line, which names the lab's configuration file, so one that an ended run left
behind is found as well (fence_virtd(8): ``-f`` configuration, ``-F`` foreground, ``-p`` PID file).
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from lab.core.errors import LabError
from lab.doors import daemon
from lab.doors.clock import Deadline, wait_until

CONFIGURATION = "fence_virt.conf"
DAEMON = "fence_virtd"


def _daemon_path() -> str:
    for folder in ("/usr/sbin", "/usr/local/sbin", "/sbin"):
        if (Path(folder) / DAEMON).exists():
            return str(Path(folder) / DAEMON)
    raise LabError(f"{DAEMON} is not installed", remedy="Run the task through ./inv, which installs it")


def _is_meant(words: list[str], configuration: Path) -> bool:
    return Path(words[0]).name == DAEMON and str(configuration) in words


def processes(configuration: Path) -> list[int]:
    """Process ids of the fence_virtd daemons that run with this configuration file."""
    return daemon.find(lambda words: _is_meant(words, configuration))


def answers(address: str, port: int) -> bool:
    """Whether something listens on this address of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        with contextlib.suppress(OSError):
            probe.bind((address, 0))
            probe.connect((address, port))
            return True
    return False


def start(configuration: Path, *, address: str, port: int, working_folder: Path, log: Path) -> bool:
    """Start the daemon unless it runs; returns whether it had to be started.

    Args:
        configuration: the rendered ``fence_virt.conf``.
        address: where it listens, for the check that it does.
        port: TCP port.
        working_folder: what relative paths in the configuration are relative to.
        log: file for what the daemon says.

    Raises:
        LabError: it is not installed, does not come up, or another program has its port.
    """
    if processes(configuration) and answers(address, port):
        return False
    stop(configuration)
    if answers(address, port):
        raise LabError(
            f"another program listens on {address} port {port}, where {DAEMON} has to",
            remedy="End that program, or choose another port in the topology",
        )
    # Detached from this run: the lab must be able to fence when nobody is at the keyboard. A PID file of its own: with
    # the default one, a second lab's daemon refuses to start.
    argv = [_daemon_path(), "-F", "-f", str(configuration), "-p", str(configuration.with_suffix(".pid"))]
    running = daemon.start(argv, cwd=working_folder, log=log)
    wait_until(
        lambda: answers(address, port),
        what=f"{DAEMON} on {address} port {port}",
        deadline=Deadline.after(20),
        interval_s=0.1,
        hopeless=lambda: "" if running() else "it ended",
        remedy=f"See {log}",
        details=lambda: log.read_text(errors="replace").splitlines()[-10:],
    )
    return True


def stop(configuration: Path) -> bool:
    """End the daemons of this configuration, by id; returns whether there were any."""
    return bool(daemon.end(lambda words: _is_meant(words, configuration)))
