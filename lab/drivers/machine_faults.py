"""What libvirt on the host can do to a node's machine: stop it, reset it, pull its cables, slow its disks down.

Cables and throttles are changed for the running domain and for its definition: fencing destroys and starts a domain,
and a cable that was pulled stays pulled when that happens.

A cable has two ends. Where the other one is a port of the lab's own switch, that loses its link as well: a switch that
is not told sends on into nothing until LACP's patience is over.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import libvirt

from lab.core.addressing import nic_of_tap
from lab.core.errors import LabError
from lab.drivers import switch_devices
from lab.drivers.hypervisor import Hypervisor, explained

LIVE = int(libvirt.VIR_DOMAIN_AFFECT_LIVE)
CONFIG = int(libvirt.VIR_DOMAIN_AFFECT_CONFIG)
_OPERATIONS = "total_iops_sec"


def suspend(hypervisor: Hypervisor, name: str) -> None:
    """Stop a domain where it stands, memory kept."""
    with explained(f"domain {name} cannot be paused"):
        hypervisor.connection.lookupByName(name).suspend()


def reset(hypervisor: Hypervisor, name: str) -> None:
    """Press a domain's reset button."""
    with explained(f"domain {name} cannot be reset"):
        hypervisor.connection.lookupByName(name).reset(0)


def links_down(hypervisor: Hypervisor, name: str) -> list[str]:
    """Names of a domain's interfaces (``leg1`` and so on) without a link, now or from the next start on."""
    with explained(f"the links of domain {name} cannot be told"):
        domain = hypervisor.connection.lookupByName(name)
        found: set[str] = set()
        for _, document in _documents(domain):
            found |= {
                _nic(interface)
                for interface in document.iterfind("./devices/interface")
                if ((link := interface.find("link")) is not None and link.get("state") == "down")
                or ((port := _switch_port(interface)) and switch_devices.is_pulled(port))
            }
        return sorted(found)


def set_link(hypervisor: Hypervisor, name: str, nic: str, *, up: bool) -> None:
    """Pull the cable of one interface of a domain, or plug it in again; it stays so when the domain is started anew.

    A port of a Linux bridge does not notice that QEMU has taken the link away, and the bridge would send on to it what
    is meant for guests behind the other leg, until they speak up by themselves. A switch forgets all addresses of a
    port without a link. So the port is taken out of its bridge for a moment.

    Args:
        hypervisor: libvirt.
        name: of the domain.
        nic: ``leg1``, ``leg2``.
        up: whether it has a link afterwards.

    Raises:
        LabError: there is no such interface, or libvirt refuses.
    """
    with explained(f"the link {nic} of domain {name} cannot be set"):
        domain = hypervisor.connection.lookupByName(name)
        documents = _documents(domain)
        configured = _network(_interface(documents[-1][1], name, nic))
        for flags, document in documents:
            interface = _interface(document, name, nic)
            if port := _switch_port(interface):
                switch_devices.set_cable(port, plugged=up)
            _set_state(interface, "up" if up else "down")
            others = [other for one in document.iterfind("./devices/interface") if (other := _network(one))]
            away = next((other for other in others if other != configured), "")
            if flags == LIVE and configured and away and not up:
                # libvirt moves a port from bridge to bridge only; without a link nothing passes in the other one.
                _set_network(interface, away)
                domain.updateDeviceFlags(ElementTree.tostring(interface, encoding="unicode"), flags)
            if configured:
                _set_network(interface, configured)
            domain.updateDeviceFlags(ElementTree.tostring(interface, encoding="unicode"), flags)


def throttles(hypervisor: Hypervisor, name: str) -> dict[str, int]:
    """Per disk of a domain that is throttled, now or from the next start on: operations a second."""
    with explained(f"the throttles of domain {name} cannot be told"):
        domain = hypervisor.connection.lookupByName(name)
        found: dict[str, int] = {}
        for flags, document in _documents(domain):
            for disk in _disks(document):
                limit = int(domain.blockIoTune(disk, flags).get(_OPERATIONS, 0))
                if limit:
                    found[disk] = limit
        return found


def throttle(hypervisor: Hypervisor, name: str, disk: str, operations_per_s: int) -> None:
    """Let a disk of a domain do no more than so many operations a second; 0 lets it do what it can."""
    with explained(f"disk {disk} of domain {name} cannot be throttled"):
        domain = hypervisor.connection.lookupByName(name)
        for flags, _document in _documents(domain):
            domain.setBlockIoTune(disk, {_OPERATIONS: operations_per_s}, flags)


def _documents(domain: Any) -> list[tuple[int, ElementTree.Element]]:
    """The descriptions of a domain that are in force, each with libvirt's flag for it: live only while it runs."""
    kinds: list[tuple[int, int]] = [(CONFIG, int(libvirt.VIR_DOMAIN_XML_INACTIVE))]
    if domain.isActive():
        kinds.insert(0, (LIVE, 0))
    return [(flags, ElementTree.fromstring(domain.XMLDesc(which))) for flags, which in kinds]


def _interface(document: ElementTree.Element, name: str, nic: str) -> ElementTree.Element:
    for interface in document.iterfind("./devices/interface"):
        if _nic(interface) == nic:
            return interface
    raise LabError(f"domain {name} has no interface {nic}")


def _network(interface: ElementTree.Element) -> str:
    """The network of libvirt's that an interface is in; empty for one that is in none."""
    source = interface.find("source")
    return source.get("network", "") if source is not None and interface.get("type") == "network" else ""


def _set_network(interface: ElementTree.Element, network: str) -> None:
    source = interface.find("source")
    if source is not None:
        # What libvirt has noted of the present port belongs to the network that it is in.
        source.attrib.clear()
        source.set("network", network)


def _nic(interface: ElementTree.Element) -> str:
    target, alias = interface.find("target"), interface.find("alias")
    name = (alias.get("name", "") if alias is not None else "").removeprefix("ua-")
    # Vagrant numbers its aliases; the name of a leg's other end is the same whoever defined the domain.
    return nic_of_tap(target.get("dev", "") if target is not None else "") if name.startswith("net-") else name


def _switch_port(interface: ElementTree.Element) -> str:
    """Name of the other end, where it is a device that libvirt leaves alone: a port of the lab's own switch."""
    target = interface.find("target")
    return target.get("dev", "") if target is not None and target.get("managed") == "no" else ""


def _set_state(interface: ElementTree.Element, state: str) -> None:
    link = interface.find("link")
    if link is None:
        link = ElementTree.SubElement(interface, "link")
    link.set("state", state)


def _disks(document: ElementTree.Element) -> list[str]:
    targets = (disk.find("target") for disk in document.iterfind("./devices/disk"))
    return [str(target.get("dev")) for target in targets if target is not None]
