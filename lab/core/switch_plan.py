"""What a lab's Open vSwitch has to be: bonds to the nodes, the host's ports, and the words for ovs-vsctl.

Facts about the settings are from ovs-vswitchd.conf.db(5): a port with ``tag`` belongs to one VLAN and carries it
untagged, a port with ``trunks`` carries these VLANs tagged and VLAN 0 untagged. A port about which nothing is said is a
trunk of all VLANs.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Interface

from lab.core import addressing
from lab.core.model import Lab

#: The untagged VLAN: the service network.
UNTAGGED = 0


@dataclass(frozen=True)
class Trunk:
    """The legs of one node.

    Args:
        name: of the node; also of its bond in the switch.
        legs: names of the host's ends of its bond's network cards.
        macs: their addresses in the node.
    """

    name: str
    legs: tuple[str, ...]
    macs: tuple[str, ...]


@dataclass(frozen=True)
class HostPort:
    """The host's own port in a VLAN.

    Args:
        name: of the network device.
        vlan: its number.
        mac: its hardware address, the same whenever it is made anew.
        address: the host's address there.
    """

    name: str
    vlan: int
    mac: str
    address: IPv4Interface


@dataclass(frozen=True)
class SwitchPlan:
    """The switch of one lab.

    Args:
        lab_name: name of the lab.
        bridge: name of the bridge, and of its own port, which joins ``uplink``.
        datapath: what the device of the datapath is renamed to.
        uplink: the Linux bridge of the service network, with the host's address and the authoritative name server.
        trunks: one for each node.
        host_ports: one for each VLAN.
        lacp: whether the legs of a node are one bond; if not, each is a port of its own.
        fast: whether LACP's partners send a word every second, instead of every half minute.
    """

    lab_name: str
    bridge: str
    datapath: str
    uplink: str
    trunks: tuple[Trunk, ...]
    host_ports: tuple[HostPort, ...]
    lacp: bool
    fast: bool

    @property
    def legs(self) -> tuple[str, ...]:
        """All legs of all nodes."""
        return tuple(leg for trunk in self.trunks for leg in trunk.legs)

    @property
    def digest(self) -> str:
        """Tells a switch that was made by this plan from any other."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def plan_of(lab: Lab) -> SwitchPlan | None:
    """The plan of a lab's switch; None when a Linux bridge is all it needs."""
    if lab.network.switch != "openvswitch":
        return None
    return SwitchPlan(
        lab_name=lab.name,
        bridge=addressing.switch_name(lab.name),
        datapath=addressing.datapath_name(lab.name),
        uplink=addressing.bridge_name(lab.name, "service"),
        trunks=tuple(
            Trunk(
                node.name,
                tuple(addressing.tap_name(lab.name, node.index, nic) for nic in ("leg1", "leg2")),
                tuple(addressing.node_mac(lab, node, nic) for nic in ("leg1", "leg2")),
            )
            for node in lab.nodes
        ),
        host_ports=tuple(
            HostPort(
                addressing.vlan_port_name(lab.name, vlan.number),
                vlan.number,
                addressing.vlan_mac(lab, vlan.number),
                IPv4Interface((addressing.vlan_gateway(vlan), vlan.subnet.prefixlen)),
            )
            for vlan in lab.network.vlans
        ),
        lacp=lab.network.bond_mode == "802.3ad",
        fast=lab.network.lacp_rate == 1,
    )


def is_own_device(lab_name: str, device: str) -> bool:
    """Whether a network device has a name that only the switch of this lab gives."""
    return bool(re.fullmatch(rf"{re.escape(lab_name)}(-sw|-dp|-n\d+l[12]|\.\d{{1,4}})", device))


def bridge_words(plan: SwitchPlan) -> list[str]:
    """Words for ovs-vsctl that make the bridge: user-space datapath, a learning switch without a controller."""
    return [
        *("--may-exist", "add-br", plan.bridge),
        *("--", "set", "bridge", plan.bridge, "datapath_type=netdev", "fail-mode=standalone"),
        *("--", "set", "port", plan.bridge, "vlan_mode=access", f"tag={UNTAGGED}"),
    ]


def port_words(plan: SwitchPlan) -> list[str]:
    """Words for ovs-vsctl that attach the nodes and the host's ports, in one transaction."""
    trunks = ",".join(str(vlan) for vlan in (UNTAGGED, *(port.vlan for port in plan.host_ports)))
    carried = ("vlan_mode=trunk", f"trunks={trunks}")
    speed = f"other_config:lacp-time={'fast' if plan.fast else 'slow'}"
    words: list[str] = []
    for trunk in plan.trunks:
        if plan.lacp:
            balanced = ("lacp=active", "bond_mode=balance-tcp", speed)
            words += ["--", "add-bond", plan.bridge, trunk.name, *trunk.legs, *balanced, *carried]
        else:
            for leg in trunk.legs:
                words += ["--", "add-port", plan.bridge, leg, *carried]
    for port in plan.host_ports:
        words += ["--", "add-port", plan.bridge, port.name, "vlan_mode=access", f"tag={port.vlan}"]
        words += ["--", "set", "interface", port.name, "type=internal", f'mac="{port.mac}"']
    return words[1:]
