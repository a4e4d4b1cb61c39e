"""Removing a lab: its domains, networks, volumes, daemons and files, and nothing else.

What belongs to the lab is found by asking libvirt and the process table, not by remembering, so this works after a
crash half-way and without the lab's files.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.doors import daemon, files
from lab.doors.clock import now_s
from lab.doors.progress import Reporter, open_reporter
from lab.drivers import fencing
from lab.drivers.hypervisor import Hypervisor
from lab.workflows.host_side import fence_configuration
from lab.workflows.options import Options, load_lab

LIBVIRT_LOGS = Path("/var/log/libvirt/qemu")


def down(options: Options) -> Outcome:
    """Remove the lab that the options mean.

    Raises:
        LabError: another run works on the lab, or libvirt refuses.
    """
    lab = load_lab(options)
    folder = options.build / lab.name
    started_s = now_s()
    reporter = open_reporter(options.build, "", "down")
    try:
        lock = folder / "lock"
        with reporter.step(f"remove lab {lab.name}"):
            if folder.exists():
                with files.locked(lock, busy=f"another run is working on the lab {lab.name}"):
                    removed = _remove(lab.name, folder, reporter)
            else:
                removed = _remove(lab.name, folder, reporter)
    finally:
        reporter.close()
    seconds = now_s() - started_s
    text = (
        f"Lab {lab.name} is removed: {', '.join(removed)} ({seconds:.1f} s). "
        "The image cache stays; lab.prune empties it."
        if removed
        else f"There is nothing of a lab {lab.name} here."
    )
    return Outcome(text, {"lab": lab.name, "removed": removed, "duration_s": round(seconds, 1)})


def _remove(name: str, folder: Path, reporter: Reporter) -> list[str]:
    removed = []
    # First of all the daemons: fencing must not switch a node on again that is being removed.
    if fencing.stop(fence_configuration(folder)):
        removed.append("fence_virtd")
    if close_connections(folder):
        removed.append("ssh connections")
    hypervisor = Hypervisor()
    try:
        removed += _remove_from_libvirt(name, hypervisor)
    finally:
        hypervisor.close()
    if folder.exists():
        shutil.rmtree(folder)
        removed.append(f"build/{name}")
    return removed


def close_connections(folder: Path) -> list[int]:
    """End the ssh connections that a lab keeps, and those that a killed run was just opening.

    The title of a kept one names its control socket (ssh(1)); the others name the lab's configuration file.
    """
    marks = {f"ssh: {path}" for path in _socket_names(folder)}
    configuration = str(folder.absolute() / "ssh_config")

    def is_meant(words: list[str]) -> bool:
        if Path(words[0]).name == "ssh" and configuration in words:
            return True
        return any(words[0].startswith(mark) and words[0].endswith("[mux]") for mark in marks)

    return daemon.end(is_meant)


def _socket_names(folder: Path) -> list[str]:
    # The title holds the path as ssh_config wrote it: relative to the repository, or absolute.
    return [f"{folder.parent.name}/{folder.name}/", f"{folder.absolute()}/"]


def _remove_from_libvirt(name: str, hypervisor: Hypervisor) -> list[str]:
    removed = []
    for domain in hypervisor.owned_domains(name):
        if hypervisor.remove_domain(domain.name):
            removed.append(f"node {domain.node}")
            _remove_logs(domain.name)
    for role in ("service", "management"):
        if hypervisor.remove_network(addressing.network_name(name, role)):
            removed.append(f"network {role}")
    if hypervisor.has_pool(name) and hypervisor.remove_pool(name):
        removed.append("disks")
    return removed


def _remove_logs(domain: str) -> None:
    """Remove what libvirt keeps of a domain's output, where this user may; libvirt itself never does."""
    for path in (LIBVIRT_LOGS / f"{domain}.log", LIBVIRT_LOGS / f"{domain}-console.log"):
        with contextlib.suppress(OSError):
            path.unlink()


__all__ = ["LabError", "close_connections", "down"]
