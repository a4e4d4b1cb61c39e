"""Names, MAC, IP and UUID of everything in a lab, derived from the lab's name and the member's index alone.

One id per member makes clashes between labs impossible by construction where names differ, and makes a rebuilt
lab identical to the one before it (the idea is LINBIT virter's; here the lab's name is part of the derivation).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from lab.core.model import Guest, Lab, Node, host
from lab.core.vlan import Vlan

GATEWAY = 1
FIRST_NODE = 11
FIRST_GUEST = 21
NAMESPACE = uuid.UUID("6f9e3a52-58c1-5b0e-9d0c-3f2b7a1c4e11")

NICS = ("leg1", "leg2", "management")
_TAP_ENDINGS = ("l1", "l2", "m")


def slot(lab_name: str, pool: IPv4Network) -> tuple[IPv4Network, IPv4Network]:
    """The service and management /24 of a lab inside the pool of subnets.

    Args:
        lab_name: name of the lab.
        pool: an IPv4 network of /23 or larger, such as ``10.64.0.0/10``.
    """
    count = 2 ** (23 - pool.prefixlen)
    number = int.from_bytes(hashlib.sha256(lab_name.encode()).digest()[:8], "big") % count
    base = int(pool.network_address) + number * 512
    return IPv4Network((base, 24)), IPv4Network((base + 256, 24))


def vlan_subnets(
    lab_name: str, pool: IPv4Network, vlans: Iterable[int], taken: Iterable[IPv4Network]
) -> dict[int, IPv4Network]:
    """A /24 of the pool for each VLAN of a lab, apart from those that are taken; a VLAN without room is left out.

    Args:
        lab_name: name of the lab.
        pool: an IPv4 network of /23 or larger.
        vlans: numbers of the VLANs.
        taken: subnets that the lab uses already.
    """
    count = 2 ** (24 - pool.prefixlen)
    used = list(taken)
    found: dict[int, IPv4Network] = {}
    for vlan in sorted(set(vlans)):
        digest = hashlib.sha256(f"vlan:{lab_name}:{vlan}".encode()).digest()
        first = int.from_bytes(digest[:8], "big")
        # As many tries as are taken always meet a free one, if there is one.
        for step in range(min(count, len(used) + 1)):
            subnet = IPv4Network((int(pool.network_address) + (first + step) % count * 256, 24))
            if not any(subnet.overlaps(other) for other in used):
                used.append(subnet)
                found[vlan] = subnet
                break
    return found


def _mac(lab_name: str, number: int) -> str:
    digest = hashlib.sha256(b"mac:" + lab_name.encode()).digest()
    return f"52:54:00:{digest[0]:02x}:{digest[1]:02x}:{number:02x}"


def node_mac(lab: Lab, node: Node, nic: str) -> str:
    """MAC address of a node's NIC; ``nic`` is one of :data:`NICS`."""
    return _mac(lab.name, node.index * 16 + NICS.index(nic))


def guest_mac(lab: Lab, guest: Guest) -> str:
    """MAC address of a guest's NIC."""
    return _mac(lab.name, 0x80 + guest.index)


def network_mac(lab: Lab, role: str) -> str:
    """MAC address of a network's bridge on the host; ``role`` is ``service`` or ``management``."""
    return _mac(lab.name, 0xF0 + ("service", "management").index(role))


def vlan_mac(lab: Lab, vlan: int) -> str:
    """MAC address of the host's port in a VLAN; there are no more VLANs than guests."""
    return _mac(lab.name, 0xE0 + [each.number for each in lab.network.vlans].index(vlan))


def tap_name(lab_name: str, node_index: int, nic: str) -> str:
    """Name of the host's end of a node's NIC, within the kernel's 15 characters; ``nic`` is one of :data:`NICS`."""
    return f"{lab_name}-n{node_index}{_TAP_ENDINGS[NICS.index(nic)]}"


def nic_of_tap(name: str) -> str:
    """The NIC, one of :data:`NICS`, whose end on the host has this name; empty for a name of another form."""
    match = re.search(r"-n\d+(l1|l2|m)$", name)
    return NICS[_TAP_ENDINGS.index(match.group(1))] if match else ""


def network_uuid(lab_name: str, role: str) -> uuid.UUID:
    """UUID of a libvirt network; ``role`` is ``service`` or ``management``."""
    return uuid.uuid5(NAMESPACE, f"network:{lab_name}:{role}")


def pool_uuid(lab_name: str, role: str) -> uuid.UUID:
    """UUID of a storage pool; ``role`` is ``host`` for the lab's disks, ``ocfs`` for the shared mount in the nodes."""
    return uuid.uuid5(NAMESPACE, f"pool:{lab_name}:{role}")


def service_gateway(lab: Lab) -> IPv4Address:
    """The host's address on the service network; clients and probes speak from it."""
    return host(lab.network.service_subnet, GATEWAY)


def management_gateway(lab: Lab) -> IPv4Address:
    """The host's address on the management network; fence_virtd listens there."""
    return host(lab.network.management_subnet, GATEWAY)


def node_service_ip(lab: Lab, node: Node) -> IPv4Address:
    """A node's address on br0 (cluster, DRBD, migration)."""
    return host(lab.network.service_subnet, FIRST_NODE + node.index - 1)


def node_management_ip(lab: Lab, node: Node) -> IPv4Address:
    """A node's address on the management NIC (ssh of the tool, fencing)."""
    return host(lab.network.management_subnet, FIRST_NODE + node.index - 1)


def guest_subnet(lab: Lab, guest: Guest) -> IPv4Network:
    """The /24 that a guest lives in: that of its VLAN, or the service network."""
    vlans = {vlan.number: vlan.subnet for vlan in lab.network.vlans}
    return vlans[guest.vlan] if guest.vlan else lab.network.service_subnet


def guest_ip(lab: Lab, guest: Guest) -> IPv4Address:
    """A guest's address on the service network, or in its VLAN."""
    return host(guest_subnet(lab, guest), FIRST_GUEST + guest.index - 1)


def guest_gateway(lab: Lab, guest: Guest) -> IPv4Address:
    """The host's address beside a guest; clients of the guest speak from it."""
    return host(guest_subnet(lab, guest), GATEWAY)


def vlan_gateway(vlan: Vlan) -> IPv4Address:
    """The host's address in a VLAN; clients of the guests there speak from it."""
    return host(vlan.subnet, GATEWAY)


def heartbeat_path(lab: Lab, guest: Guest) -> str:
    """The raw disk on the nodes' shared file system to which a guest writes its heartbeat."""
    return f"{lab.storage.mount_point}/{guest.domain}-heartbeat.raw"


def guest_bridge(guest: Guest) -> str:
    """Name of the bridge inside the nodes that a guest is attached to."""
    return f"br{guest.vlan}"


def domain_name(lab_name: str, node_name: str) -> str:
    """Name of a node's libvirt domain on the host."""
    return f"{lab_name}-{node_name}"


def domain_uuid(lab_name: str, node_name: str) -> uuid.UUID:
    """UUID of a node's libvirt domain on the host (also in fence_virtd's map of who may fence whom)."""
    return uuid.uuid5(NAMESPACE, f"node:{lab_name}:{node_name}")


def node_of_domain(name: str, domain: str) -> tuple[str, str] | None:
    """Lab and node of a domain on the host, proven by its UUID, which follows from both names; None for others.

    Args:
        name: libvirt name of the domain.
        domain: its UUID as text.
    """
    for place in (number for number, letter in enumerate(name) if letter == "-"):
        lab_name, node_name = name[:place], name[place + 1 :]
        if str(domain_uuid(lab_name, node_name)) == domain.lower():
            return lab_name, node_name
    return None


def guest_uuid(lab_name: str, guest_domain: str) -> uuid.UUID:
    """UUID of a guest's libvirt domain, the same on both nodes."""
    return uuid.uuid5(NAMESPACE, f"guest:{lab_name}:{guest_domain}")


def network_name(lab_name: str, role: str) -> str:
    """Name of a libvirt network; ``role`` is ``service`` or ``management``."""
    return f"{lab_name}-{role}"


def switch_name(lab_name: str) -> str:
    """Name of the Open vSwitch bridge on the host, and of its port that joins the service network's Linux bridge."""
    return f"{lab_name}-sw"


def datapath_name(lab_name: str) -> str:
    """Name that a lab gives to the device that every Open vSwitch in user space would call the same."""
    return f"{lab_name}-dp"


def vlan_port_name(lab_name: str, vlan: int) -> str:
    """Name of the host's port in a VLAN, within the kernel's 15 characters."""
    return f"{lab_name}.{vlan}"


def bridge_name(lab_name: str, role: str) -> str:
    """Name of a network's Linux bridge on the host, within the kernel's 15 characters."""
    return f"{lab_name}-{role[:3]}"
