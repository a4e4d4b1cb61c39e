"""What a topology says about its switch: bonds and VLANs that only a switch of the right kind carries."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from lab.core.addressing import slot, vlan_subnets
from lab.core.errors import Problem
from lab.core.topology_document import TopologyDocument
from lab.core.topology_understood import Understood
from lab.core.vlan import Vlan


def vlans_of(
    document: TopologyDocument, lab_name: str, service: IPv4Network, management: IPv4Network
) -> tuple[Vlan, ...]:
    """The VLANs of a lab with their subnets, by number; one that the pool has no room for is left out.

    Args:
        document: the topology.
        lab_name: name of the lab.
        service: the untagged subnet.
        management: the subnet of the management network cards.
    """
    numbers = {guest.vlan for guest in document.guests.values() if guest.vlan is not None}
    found = vlan_subnets(lab_name, document.network.subnet_pool, numbers, (service, management))
    return tuple(Vlan(number, subnet) for number, subnet in found.items())


def switch_rule(has: Understood) -> Iterator[Problem]:
    """What the bond and the guests' VLANs need of the switch."""
    if not has.sound("network", "switch"):
        return
    if has.document.network.switch == "openvswitch":
        yield from _tagged(has)
    else:
        yield from _untagged(has)


def _untagged(has: Understood) -> Iterator[Problem]:
    if has.document.network.bond_mode == "802.3ad":
        yield has.problem(
            ("network", "bond_mode"),
            "802.3ad needs a switch that speaks LACP, and a Linux bridge does not",
            "Use switch: openvswitch, or bond_mode: active-backup",
        )
    for name, guest in has.document.guests.items():
        if guest.vlan is not None:
            yield has.problem(
                ("guests", name, "vlan"),
                f"the tagged VLAN {guest.vlan} needs network.switch openvswitch",
                "Use network.switch openvswitch, or remove vlan from this guest",
            )


def _tagged(has: Understood) -> Iterator[Problem]:
    for name, guest in has.document.guests.items():
        if guest.vlan is not None and guest.service == "dns" and has.sound("guests", "service"):
            yield has.problem(
                ("guests", name, "vlan"),
                "a recursive name server asks the lab's authoritative one, which is in the untagged service network",
                "Remove vlan from this guest",
            )
    if not has.lab_name or not has.sound("network", "subnet_pool", "service_subnet", "management_subnet"):
        return
    network = has.document.network
    service, management = slot(has.lab_name, network.subnet_pool)
    taken = (network.service_subnet or service, network.management_subnet or management)
    room = {vlan.number for vlan in vlans_of(has.document, has.lab_name, *taken)}
    for name, guest in has.document.guests.items():
        if guest.vlan is not None and guest.vlan not in room:
            yield has.problem(
                ("guests", name, "vlan"),
                f"{network.subnet_pool} has no /24 left for the VLAN {guest.vlan}",
                "Give a larger network.subnet_pool",
            )
