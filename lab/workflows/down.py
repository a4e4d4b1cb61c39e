"""Removing a lab: its domains, networks, volumes, daemons and files, and nothing else.

What belongs to the lab is found by asking libvirt and the process table, not by remembering, so this works after a
crash half-way and without the lab's files.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.model import Lab
from lab.core.outcome import Outcome
from lab.doors import daemon, files
from lab.doors.clock import now_s
from lab.doors.progress import open_reporter
from lab.drivers import fencing, kept_saves, vagrant_home
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import switching
from lab.workflows.host_side import fence_configuration
from lab.workflows.keeping import Keeping
from lab.workflows.keeping import keep as saves_to_keep
from lab.workflows.options import Options, load_lab

LIBVIRT_LOGS = Path("/var/log/libvirt/qemu")


def down(options: Options, keep: bool = True) -> Outcome:
    """Remove the lab that the options mean.

    Args:
        options: what was asked for.
        keep: leave the disks with the lab's saves, so that the next ``lab.up`` starts from ``ready``.

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
                    removed, keeping = _remove(lab, folder, keep=keep)
            else:
                removed, keeping = _remove(lab, folder, keep=keep)
    finally:
        reporter.close()
    seconds = now_s() - started_s
    document = {
        "lab": lab.name,
        "removed": removed,
        "kept": [note.save for note in keeping.kept.notes] if keeping.kept else [],
        "duration_s": round(seconds, 1),
    }
    return Outcome(_text(lab.name, removed, keeping, seconds), document)


def _text(name: str, removed: list[str], keeping: Keeping, seconds: float) -> str:
    if keeping.kept is not None:
        start = f"Lab {name} is down: {', '.join(removed)} ({seconds:.1f} s)." if removed else f"Lab {name} is down."
        return f"{start} Its save {keeping.kept.save} is kept, lab.up starts from it; --no-cache removes it too."
    if not removed:
        return f"There is nothing of a lab {name} here."
    why = f" No save is kept: {keeping.reason}." if keeping.reason else ""
    return (
        f"Lab {name} is removed: {', '.join(removed)} ({seconds:.1f} s).{why} "
        "The image cache stays; lab.prune empties it."
    )


def _remove(lab: Lab, folder: Path, *, keep: bool) -> tuple[list[str], Keeping]:
    removed = []
    # First of all the daemons: fencing must not switch a node on again that is being removed.
    if fencing.stop(fence_configuration(folder)):
        removed.append("fence_virtd")
    if close_connections(folder):
        removed.append("ssh connections")
    hypervisor = Hypervisor()
    try:
        keeping = saves_to_keep(lab, folder, hypervisor) if keep else Keeping(None)
        removed += _remove_from_libvirt(lab, hypervisor)
        removed += ["Open vSwitch"] if switching.remove(lab.name, folder) else []
        if keeping.kept is None:
            own_pool = str(addressing.pool_uuid(lab.name, "host"))
            removed += ["kept saves"] if kept_saves.discard(lab.name) else []
            removed += ["disks"] if hypervisor.remove_pool(lab.name, own_pool) else []
    finally:
        hypervisor.close()
    if vagrant_home.forget_boxes(folder):
        removed.append("boxes")
    if folder.exists():
        shutil.rmtree(folder)
        removed.append(f"build/{lab.name}")
    return removed, keeping


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


def _remove_from_libvirt(lab: Lab, hypervisor: Hypervisor) -> list[str]:
    removed = []
    for domain in hypervisor.owned_domains(lab.name):
        if hypervisor.remove_domain(domain.name):
            left = "" if _remove_logs(domain.name) else f" (its logs stay in {LIBVIRT_LOGS}, only root may remove them)"
            removed.append(f"node {domain.node}{left}")
    # Logs outlive a node that somebody else has removed before, such as `vagrant destroy`.
    for name in (addressing.domain_name(lab.name, node.name) for node in lab.nodes):
        if hypervisor.state(name) == "missing":
            _remove_logs(name)
    for role in ("service", "management"):
        if hypervisor.remove_network(addressing.network_name(lab.name, role)):
            removed.append(f"network {role}")
    return removed


def _remove_logs(domain: str) -> bool:
    """Remove what libvirt keeps of a domain's output, where this user may; libvirt itself never does.

    Returns:
        Whether nothing of it is left.
    """
    gone = True
    for path in (LIBVIRT_LOGS / f"{domain}.log", LIBVIRT_LOGS / f"{domain}-console.log"):
        try:
            path.unlink(missing_ok=True)
        except OSError:
            gone = False
    return gone


__all__ = ["LabError", "close_connections", "down"]
