"""Starting libvirt where it is not running: by systemd where that is PID 1, else its daemons themselves."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import libvirt

from lab.core.errors import LabError
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run

LIBVIRT_URI = "qemu:///system"
KVM_DEVICE = Path("/dev/kvm")
START_LIMIT_S = 30.0
_COMMAND_LIMIT_S = 20.0
#: Socket units of the monolithic daemon, and of the modular ones that newer distributions use instead.
_SOCKETS = (
    ("libvirtd.socket",),
    ("virtqemud.socket", "virtnetworkd.socket", "virtstoraged.socket", "virtnodedevd.socket", "virtsecretd.socket"),
)
_REMEDY = "See /var/log/libvirt and `journalctl -u libvirtd`; start libvirt by hand and run the command again"


def answers(uri: str = "") -> str:
    """Ask libvirt whether it is there.

    Returns:
        Empty text when it answers, else its own words why not.
    """
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would print to the terminal
    try:
        libvirt.openReadOnly(uri or os.environ.get("LIBVIRT_DEFAULT_URI", LIBVIRT_URI)).close()
    except libvirt.libvirtError as error:
        return str(error.get_error_message())
    return ""


def open_kvm_device(device: Path = KVM_DEVICE) -> bool:
    """Give /dev/kvm the group and mode that udev's rule gives it, on a machine without udev.

    Where only root may open the device, libvirt's probe of QEMU (which root starts) finds KVM, its check whether QEMU's
    own user may open it does not, and so libvirt throws its knowledge of QEMU away and probes again at every call: half
    a minute for each definition of a domain.

    Returns:
        Whether it had to be changed.
    """
    if os.geteuid() != 0 or Path("/run/systemd/system").is_dir() or not device.exists():
        return False
    try:
        group = grp.getgrnam("kvm").gr_gid
        status = device.stat()
        if status.st_gid == group and status.st_mode & 0o060 == 0o060:
            return False
        os.chown(device, 0, group)
        device.chmod(0o660)
    except (KeyError, OSError):
        return False
    return True


def ensure_running() -> bool:
    """Start libvirt on this host unless it answers, and wait until it does.

    Returns:
        Whether it had to be started.

    Raises:
        LabError: it cannot be started, or does not answer in time.
    """
    why = answers()
    if not why:
        return False
    uri = os.environ.get("LIBVIRT_DEFAULT_URI", LIBVIRT_URI)
    if "://" in uri and not uri.startswith("qemu:///"):
        raise LabError(f"libvirt at {uri} cannot be reached: {why}", remedy="Start libvirt on that machine")
    if os.geteuid() != 0 and "denied" in why.lower():
        raise LabError(f"libvirt cannot be used: {why}", remedy="Join the group libvirt and log in again")
    if Path("/run/systemd/system").is_dir():
        _start_units()
    else:
        _start_daemons()
    deadline = Deadline.after(START_LIMIT_S)
    wait_until(
        lambda: not answers(),
        what="waiting for libvirt to answer",
        deadline=deadline,
        interval_s=0.1,
        remedy=_REMEDY,
        details=lambda: [answers()],
    )
    return True


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def _start_units() -> None:
    for sockets in _SOCKETS:
        if run(["systemctl", "cat", sockets[0]], timeout_s=_COMMAND_LIMIT_S, check=False).ok:
            run([*_as_root(), "systemctl", "start", *sockets], timeout_s=_COMMAND_LIMIT_S, remedy=_REMEDY)
            return
    raise LabError("libvirt is not installed", remedy="Run the task through ./inv, which installs what is missing")


def _start_daemons() -> None:
    # virtlogd first: libvirtd hands it the consoles of the nodes, and cannot start it itself without systemd.
    for daemon in ("virtlogd", "libvirtd"):
        path = next((p for d in ("/usr/sbin", "/usr/local/sbin") if (p := Path(d) / daemon).exists()), None)
        if path is None:
            raise LabError(f"{daemon} is not installed", remedy="Run the task through ./inv, which installs it")
        if not _alive(Path(f"/run/{daemon}.pid"), daemon):
            run([*_as_root(), str(path), "-d"], timeout_s=_COMMAND_LIMIT_S, remedy=_REMEDY)


def _alive(pid_file: Path, daemon: str) -> bool:
    try:
        pid = int(pid_file.read_text(encoding="utf-8"))
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == daemon
    except (OSError, ValueError):
        return False


__all__ = ["answers", "ensure_running", "open_kvm_device"]
