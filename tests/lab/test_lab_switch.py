"""The lab's switch: LACP with both nodes, and VLANs in which nobody is who does not live there."""

from __future__ import annotations

from pathlib import Path

import pytest
from look import Look

from lab.core import addressing
from lab.core.model import Lab
from lab.core.parsers.bonding import parse_bond
from lab.core.parsers.openvswitch import Learned, parse_bonds, parse_lacp, parse_stations
from lab.core.parsers.pacemaker import ClusterStatus
from lab.core.service_result import ProbeResult
from lab.core.switch_plan import SwitchPlan, plan_of
from lab.core.switch_state import lacp_problems, strangers
from lab.core.vlan import Vlan
from lab.drivers import openvswitch, switch_devices
from lab.workflows import switching
from lab.workflows.session import Session

pytestmark = pytest.mark.switch("openvswitch")
FORWARDING = "3"


@pytest.fixture(scope="session")
def plan(lab: Lab) -> SwitchPlan:
    found = plan_of(lab)
    assert found is not None
    return found


def asked(session: Session, *words: str) -> str:
    return openvswitch.ask(switching.place(session.folder), *words)


@pytest.fixture(scope="session")
def stations(session: Session, plan: SwitchPlan, answers: list[ProbeResult]) -> tuple[Learned, ...]:
    """Who has spoken at the switch, after clients of all services were served."""
    assert answers, "no service was asked"
    return parse_stations(asked(session, "fdb/show", plan.bridge))


def test_switch_runs_as_planned(session: Session, plan: SwitchPlan) -> None:
    assert openvswitch.is_made(plan, switching.place(session.folder))
    assert len(openvswitch.processes(switching.place(session.folder))) == 2


def test_switch_is_plugged_into_the_service_network(plan: SwitchPlan) -> None:
    assert (switch_devices.DEVICES / plan.bridge / "master").resolve().name == plan.uplink
    assert not any(switch_devices.is_pulled(leg) for leg in plan.legs)


def test_lacp_is_negotiated_on_every_leg(session: Session, plan: SwitchPlan) -> None:
    bonds = parse_lacp(asked(session, "lacp/show"))
    assert lacp_problems(plan, bonds) == []
    assert {name: bond.fast for name, bond in bonds.items()} == (
        {trunk.name: plan.fast for trunk in plan.trunks} if plan.lacp else {}
    )


def test_both_legs_of_every_node_may_carry(session: Session, plan: SwitchPlan) -> None:
    bonds = parse_bonds(asked(session, "bond/show"))
    expected = {trunk.name: dict.fromkeys(trunk.legs, True) for trunk in plan.trunks} if plan.lacp else {}
    assert {name: bond.members for name, bond in bonds.items()} == expected


def test_partner_of_every_node_is_one_switch(
    session: Session, plan: SwitchPlan, lab: Lab, node_looks: dict[str, Look]
) -> None:
    partners = {parse_bond(look.text("bond")).partner_mac for look in node_looks.values()}
    own = (switch_devices.DEVICES / plan.bridge / "address").read_text(encoding="ascii").strip()
    assert partners == ({own} if plan.lacp else {""})


def test_vlan_has_only_its_members(lab: Lab, vlan: Vlan, stations: tuple[Learned, ...]) -> None:
    members = [addressing.guest_mac(lab, guest) for guest in lab.guests if guest.vlan == vlan.number]
    host = addressing.vlan_mac(lab, vlan.number)
    assert strangers(stations, vlan.number, [*members, host]) == []
    assert {station.mac for station in stations if station.vlan == vlan.number} == {*members, host}


def test_members_of_a_vlan_are_nowhere_else(lab: Lab, vlan: Vlan, stations: tuple[Learned, ...]) -> None:
    members = {addressing.guest_mac(lab, guest) for guest in lab.guests if guest.vlan == vlan.number}
    assert {station.vlan for station in stations if station.mac in members} == {vlan.number}


def test_host_is_no_way_out_of_a_vlan(lab: Lab, vlan: Vlan) -> None:
    port = addressing.vlan_port_name(lab.name, vlan.number)
    assert Path(f"/proc/sys/net/ipv4/conf/{port}/forwarding").read_text(encoding="ascii").strip() == "0"


def test_nodes_bridge_a_vlan_and_are_not_in_it(
    lab: Lab, vlan: Vlan, node_looks: dict[str, Look], cluster: ClusterStatus
) -> None:
    bridge = f"br{vlan.number}"
    for node in lab.nodes:
        seen = node_looks[node.name]
        here = [g for g in lab.guests if g.vlan == vlan.number and node.name in cluster.places(g.resource)]
        ports = {
            port: state for name, port, state in map(str.split, seen.lines("ports of all bridges")) if name == bridge
        }
        assert set(ports.values()) == {FORWARDING}
        assert f"bond0.{vlan.number}" in ports
        assert len([port for port in ports if port.startswith("vnet")]) == len(here) == len(ports) - 1
        (own,) = [each for each in seen.json("addresses") if each["ifname"] == bridge]
        assert own["addr_info"] == []
        assert f"bond0.{vlan.number} | {vlan.number} | bond0" in [
            " ".join(line.split()) for line in seen.lines("vlans")
        ]
