"""Network of the nodes: two legs in a bond, a bridge on the bond with the service address, management apart."""

from __future__ import annotations

from typing import Any

from look import KERNEL_SETTINGS, Look

from lab.core import addressing
from lab.core.model import Lab, Node
from lab.core.parsers.bonding import parse_bond
from lab.core.parsers.pacemaker import ClusterStatus

#: State of a port, from the kernel's include/uapi/linux/if_bridge.h.
FORWARDING = "3"


def ports(seen: Look) -> dict[str, str]:
    """Ports of the bridge with their states."""
    return dict(line.split() for line in seen.lines("bridge ports"))


def interface(seen: Look, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [each for each in seen.json("addresses") if each["ifname"] == name]
    assert len(found) == 1, f"{seen.host}: no interface {name}"
    return found[0]


def ipv4(seen: Look, name: str) -> list[str]:
    addresses = interface(seen, name)["addr_info"]
    return [f"{each['local']}/{each['prefixlen']}" for each in addresses if each["family"] == "inet"]


def test_bond_is_of_the_topologys_kind(lab: Lab, seen: Look) -> None:
    bond = parse_bond(seen.text("bond"))
    assert (bond.mode, bond.up, bond.miimon_ms) == (lab.network.bond_mode, True, lab.network.miimon_ms)
    if lab.network.bond_mode == "802.3ad":
        # Without a partner a bond looks healthy, too, and each leg is an aggregate of its own.
        assert bond.partner_mac not in ("", "00:00:00:00:00:00")
        assert bond.carrying == ("eth0", "eth1")
        assert bond.fast is (lab.network.lacp_rate == 1)
    else:
        assert bond.active in ("eth0", "eth1")


def test_both_legs_of_the_bond_are_up(lab: Lab, node: Node, seen: Look) -> None:
    bond = parse_bond(seen.text("bond"))
    assert {leg.name: (leg.up, leg.mac) for leg in bond.legs} == {
        "eth0": (True, addressing.node_mac(lab, node, "leg1")),
        "eth1": (True, addressing.node_mac(lab, node, "leg2")),
    }


def test_legs_and_bond_have_no_address(seen: Look) -> None:
    assert {name: ipv4(seen, name) for name in ("eth0", "eth1", "bond0")} == {"eth0": [], "eth1": [], "bond0": []}
    assert [interface(seen, name)["master"] for name in ("eth0", "eth1", "bond0")] == ["bond0", "bond0", "br0"]


def test_bridge_has_the_service_address(lab: Lab, node: Node, seen: Look) -> None:
    prefix = lab.network.service_subnet.prefixlen
    assert ipv4(seen, "br0") == [f"{addressing.node_service_ip(lab, node)}/{prefix}"]
    assert interface(seen, "br0")["operstate"] == "UP"


def test_bridge_forwards_on_all_ports_without_spanning_tree(seen: Look) -> None:
    assert seen.text("stp") == "0"
    assert set(ports(seen).values()) == {FORWARDING}


def test_bridge_carries_the_bond_and_the_guests_here(node: Node, seen: Look, cluster: ClusterStatus, lab: Lab) -> None:
    found = set(ports(seen))
    guests_here = [g for g in lab.guests if node.name in cluster.places(g.resource) and not g.vlan]
    assert "bond0" in found
    assert len([port for port in found if port.startswith("vnet")]) == len(guests_here)
    assert len(found) == 1 + len(guests_here)


def test_management_stands_apart(lab: Lab, node: Node, seen: Look) -> None:
    management = interface(seen, "eth2")
    prefix = lab.network.management_subnet.prefixlen
    assert ipv4(seen, "eth2") == [f"{addressing.node_management_ip(lab, node)}/{prefix}"]
    assert management["address"] == addressing.node_mac(lab, node, "management")
    assert "master" not in management
    assert "eth2" not in ports(seen)


def test_way_out_is_the_service_gateway(lab: Lab, seen: Look) -> None:
    defaults = [(route["gateway"], route["dev"]) for route in seen.json("routes") if route["dst"] == "default"]
    assert defaults == [(str(addressing.service_gateway(lab)), "br0")]


def test_names_are_known_by_their_service_addresses(lab: Lab, seen: Look) -> None:
    known = {name: address for address, name, *_ in (line.split() for line in seen.lines("names"))}
    expected = {node.name: str(addressing.node_service_ip(lab, node)) for node in lab.nodes}
    expected |= {guest.domain: str(addressing.guest_ip(lab, guest)) for guest in lab.guests if not guest.vlan}
    assert known == expected


def test_kernel_settings_are_in_effect(seen: Look) -> None:
    assert dict(zip(KERNEL_SETTINGS, seen.lines("sysctl"), strict=True)) == KERNEL_SETTINGS
