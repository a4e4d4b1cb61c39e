"""Network devices of a lab's switch on the host: taps that the nodes are plugged into, and the host's own ports.

A leg is a persistent tap: it stays when its node is fenced, saved or loaded, so the switch never loses the port. The
switch reads and writes it through a packet socket, beside the host's own protocols; these must not speak there.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from lab.core.errors import LabError
from lab.core.switch_plan import SwitchPlan, is_own_device
from lab.doors.process import run

DEVICES = Path("/sys/class/net")
_IFF_UP = 1
_LIMIT_S = 10.0
_LEG = re.compile(r"-n\d+l[12]$")
#: Never answer ARP on this device (Documentation/networking/ip-sysctl.rst), and have no IPv6: it says nothing itself.
_MUTE = {"ipv4/conf/{}/arp_ignore": "8", "ipv6/conf/{}/disable_ipv6": "1"}
#: An address, but no way through to any other network.
_ALONE = {"ipv4/conf/{}/forwarding": "0", "ipv6/conf/{}/disable_ipv6": "1"}


def require_root() -> None:
    """Stop a user who may not make network devices.

    Raises:
        LabError: this is not root.
    """
    if os.geteuid() != 0:
        raise LabError("network.switch openvswitch makes network devices, which only root may do", remedy="Use sudo")


def exists(name: str) -> bool:
    """Whether there is a network device of this name."""
    return (DEVICES / name).exists()


def make_leg(name: str) -> None:
    """A persistent tap that is up, unless there is a device of this name."""
    if not exists(name):
        _ip("tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr")
        _ip("link", "set", "dev", name, "up")
    _settings(name, _MUTE)


def join(plan: SwitchPlan) -> None:
    """Plug the switch into the service network's Linux bridge, and give the host's ports their addresses.

    Raises:
        LabError: the Linux bridge is missing, or the kernel refuses.
    """
    master = DEVICES / plan.bridge / "master"
    if not master.exists() or master.resolve().name != plan.uplink:
        _settings(plan.bridge, _MUTE)
        _ip("link", "set", "dev", plan.bridge, "master", plan.uplink)
    _ip("link", "set", "dev", plan.bridge, "up")
    for port in plan.host_ports:
        _settings(port.name, _ALONE)
        _ip("address", "replace", str(port.address), "dev", port.name)
        _ip("link", "set", "dev", port.name, "up")


def rename(name: str, other: str) -> None:
    """Give a device another name."""
    _ip("link", "set", "dev", name, "name", other)


def remove(lab_name: str, *, legs: bool) -> list[str]:
    """Remove the devices of a lab's switch, wherever they come from; returns their names.

    Args:
        lab_name: name of the lab.
        legs: also the taps of the nodes.
    """
    found = [
        path.name
        for path in sorted(DEVICES.iterdir())
        # Only taps: a device of any other kind was not made here.
        if is_own_device(lab_name, path.name) and (path / "tun_flags").exists() and (legs or not _LEG.search(path.name))
    ]
    for name in found:
        delete(name)
    return found


def delete(name: str) -> None:
    """Remove a device.

    Raises:
        LabError: it stays.
    """
    run(["ip", "link", "delete", "dev", name], timeout_s=_LIMIT_S, check=False)
    if exists(name):
        raise LabError(f"the network device {name} cannot be removed", remedy=f"As root: ip link delete dev {name}")


def set_cable(name: str, *, plugged: bool) -> None:
    """Take the carrier from the switch's end of a leg, or give it back."""
    _ip("link", "set", "dev", name, "up" if plugged else "down")


def is_pulled(name: str) -> bool:
    """Whether the switch's end of a leg was switched off."""
    try:
        return not int((DEVICES / name / "flags").read_text(encoding="ascii"), 16) & _IFF_UP
    except FileNotFoundError:
        return False


def holders(name: str) -> set[int]:
    """Process ids that have a tap open (proc(5): ``iff`` in the information about a descriptor of /dev/net/tun)."""
    return {int(path.parts[2]) for path in _tap_descriptors() if _names(path, name)}


def _tap_descriptors() -> Iterable[Path]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                yield from (process / "fdinfo").iterdir()


def _names(information: Path, name: str) -> bool:
    try:
        return f"iff:\t{name}" in information.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False


def _settings(name: str, settings: dict[str, str]) -> None:
    for path, value in settings.items():
        place = Path("/proc/sys/net") / path.format(name)
        # A kernel without IPv6 has no such setting, and needs none.
        if place.exists():
            try:
                place.write_text(value, encoding="ascii")
            except OSError as error:
                raise LabError(
                    f"{place} cannot be set: {error.strerror}", remedy="Let this machine change its network settings"
                ) from error


def _ip(*words: str) -> None:
    run(["ip", *words], timeout_s=_LIMIT_S)
