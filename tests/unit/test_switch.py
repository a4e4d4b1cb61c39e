"""A lab with a switch: subnets and names of its VLANs, the plan of the switch, and judging what it says."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.core import addressing
from lab.core.acceleration import Choice
from lab.core.faults.fault import FaultPlan, filled
from lab.core.faults.process_faults import PROCESS_FAULTS
from lab.core.host_facts import HostFacts, Route, Space
from lab.core.model import Lab
from lab.core.parsers.openvswitch import Learned, parse_lacp
from lab.core.preflight import judge
from lab.core.switch_plan import SwitchPlan, bridge_words, is_own_device, plan_of, port_words
from lab.core.switch_state import carrying_text, lacp_problems, strangers
from lab.core.topology import parse_topology
from lab.drivers.probes import Client, ServicePorts
from lab.workflows.switching import SwitchLook
from tests.golden.example import example_secrets

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "topologies/switch.yaml").read_text()
LAB = parse_topology(TEXT, source="switch.yaml")
RECORDED = Path(__file__).parent / "recorded"
POOL = IPv4Network("10.64.0.0/10")
PHONE = LAB.guests[1]


def lab_of(old: str, new: str) -> Lab:
    assert old in TEXT
    return parse_topology(TEXT.replace(old, new), source="changed.yaml")


def judged_plan() -> SwitchPlan:
    """A plan with one node and the devices of the recordings."""
    plan = plan_of(LAB)
    assert plan is not None
    trunk = replace(plan.trunks[0], legs=("swx-n1l1", "swx-n1l2"), macs=("5a:64:28:81:a1:4d",))
    return replace(plan, trunks=(trunk,))


def test_a_guest_in_a_vlan_has_its_address_beside_the_hosts_port_there() -> None:
    (vlan,) = LAB.network.vlans
    assert (vlan.number, PHONE.vlan) == (42, 42)
    assert addressing.guest_ip(LAB, PHONE) == vlan.subnet[22]
    assert addressing.guest_gateway(LAB, PHONE) == addressing.vlan_gateway(vlan) == vlan.subnet[1]
    assert addressing.guest_bridge(PHONE) == "br42"
    dns = LAB.guests[0]
    assert addressing.guest_ip(LAB, dns) in LAB.network.service_subnet
    assert addressing.guest_gateway(LAB, dns) == addressing.service_gateway(LAB)
    assert addressing.guest_bridge(dns) == "br0"


def test_clients_speak_from_the_guests_own_network(tmp_path: Path) -> None:
    client = Client(LAB, example_secrets(LAB), 1, thorough=False, work=tmp_path, ports=ServicePorts())
    assert [client.source(guest) for guest in LAB.guests] == [
        addressing.service_gateway(LAB),
        addressing.guest_gateway(LAB, PHONE),
    ]


def test_vlans_change_no_other_subnet_and_follow_the_name() -> None:
    plain = lab_of("    vlan: 42\n", "")
    assert plain.network.vlans == ()
    assert (plain.network.service_subnet, plain.network.management_subnet) == (
        LAB.network.service_subnet,
        LAB.network.management_subnet,
    )
    other = parse_topology(TEXT, source="switch.yaml", name="second")
    assert other.network.vlans[0].subnet != LAB.network.vlans[0].subnet
    assert lab_of("vlan: 42", "vlan: 43").network.vlans[0].subnet != LAB.network.vlans[0].subnet


def test_subnets_of_vlans_never_meet() -> None:
    """Every /24 of a small pool is given once; then there is no more."""
    pool = IPv4Network("10.0.0.0/21")
    taken = (IPv4Network("10.0.2.0/24"), IPv4Network("10.0.3.0/24"))
    found = addressing.vlan_subnets("lab", pool, range(1, 9), taken)
    assert len(found) == 6
    assert {*found.values(), *taken} == set(pool.subnets(new_prefix=24))


@pytest.mark.parametrize("name", ["a", "tencharact"])
def test_names_of_devices_fit_the_kernel(name: str) -> None:
    devices = [addressing.switch_name(name), addressing.datapath_name(name), addressing.vlan_port_name(name, 4094)]
    devices += [addressing.tap_name(name, 2, "leg2")]
    assert max(len(device) for device in devices) <= 15
    assert all(is_own_device(name, device) for device in devices)
    strange = [f"{name}-ser", f"{name}-n1m", f"{name}b-sw", f"{name}.x", f"x{name}.42", "eth0"]
    assert not any(is_own_device(name, device) for device in strange)


def test_a_bridge_needs_no_switch() -> None:
    smoke = parse_topology((ROOT / "topologies/smoke.yaml").read_text(), source="smoke.yaml")
    assert plan_of(smoke) is None


def test_the_plan_has_a_bond_for_each_node_and_a_port_for_each_vlan() -> None:
    plan = plan_of(LAB)
    assert plan is not None
    assert [(trunk.name, trunk.legs) for trunk in plan.trunks] == [
        ("brina", ("switch-n1l1", "switch-n1l2")),
        ("piova", ("switch-n2l1", "switch-n2l2")),
    ]
    words = " ".join(port_words(plan))
    assert "add-bond switch-sw brina switch-n1l1 switch-n1l2 lacp=active bond_mode=balance-tcp" in words
    assert words.count("trunks=0,42") == 2
    assert "add-port switch-sw switch.42 vlan_mode=access tag=42" in words
    assert "tag=0" in bridge_words(plan), "the host's side of the service network sees nothing tagged"


def test_without_lacp_each_leg_is_a_port() -> None:
    plan = plan_of(lab_of("bond_mode: 802.3ad", "bond_mode: active-backup"))
    assert plan is not None
    words = port_words(plan)
    assert "add-bond" not in words
    assert [words[place + 2] for place, word in enumerate(words) if word == "add-port"][:4] == list(plan.legs)
    assert lacp_problems(plan, {}) == []


def test_another_plan_has_another_digest() -> None:
    plans = [plan_of(lab) for lab in (LAB, lab_of("vlan: 42", "vlan: 43"), lab_of("lacp_rate: 1", "lacp_rate: 0"))]
    assert len({plan.digest for plan in plans if plan}) == 3


def test_lacp_is_well_only_when_every_leg_carries() -> None:
    plan = judged_plan()

    def problems(name: str) -> list[str]:
        return lacp_problems(plan, parse_lacp((RECORDED / f"ovs-lacp-{name}.txt").read_text()))

    assert problems("negotiated") == []
    assert problems("leg-down") == ["LACP with brina does not carry on swx-n1l1 (expired, attached)"]
    assert len(problems("no-partner")) == 2
    assert lacp_problems(plan, {}) == ["the switch has no bond to brina"]


def test_another_partner_and_a_missing_leg_are_seen() -> None:
    plan = judged_plan()
    bonds = parse_lacp((RECORDED / "ovs-lacp-negotiated.txt").read_text())
    (trunk,) = plan.trunks
    elsewhere = replace(plan, trunks=(replace(trunk, macs=("52:54:00:00:00:01",)),))
    assert all("is not brina" in problem for problem in lacp_problems(elsewhere, bonds))
    longer = replace(plan, trunks=(replace(trunk, legs=(*trunk.legs, "swx-n1l3")),))
    assert lacp_problems(longer, bonds) == ["the switch's bond to brina has no leg swx-n1l3"]
    assert carrying_text(plan, bonds) == "brina 2 of 2 legs"
    assert carrying_text(plan, {}) == "brina 0 of 2 legs"


def test_what_the_switch_says_in_one_line() -> None:
    plan = plan_of(LAB)
    assert plan is not None
    seen = SwitchLook(judged_plan(), parse_lacp((RECORDED / "ovs-lacp-leg-down.txt").read_text()))
    assert seen.text == (
        f"Open vSwitch, LACP with brina 1 of 2 legs; VLAN 42 with {addressing.guest_gateway(LAB, PHONE)} on this host"
    )
    assert len(seen.problems) == 1
    silent = SwitchLook(plan, {}, "it does not answer")
    assert (silent.text, silent.problems) == ("it does not answer", ["it does not answer"])
    single = SwitchLook(replace(plan, lacp=False, host_ports=()), {})
    assert (single.text, single.problems) == ("Open vSwitch, no LACP (active-backup)", [])


def test_strangers_in_a_vlan() -> None:
    stations = (Learned("1", 42, "aa"), Learned("2", 42, "bb"), Learned("3", 0, "cc"))
    assert strangers(stations, 42, ("aa",)) == ["bb"]
    assert strangers(stations, 42, ("aa", "bb")) == []


def test_a_guest_in_a_vlan_is_asked_by_its_agent_on_the_node() -> None:
    panic = next(fault for fault in PROCESS_FAULTS if "@GUEST_QUESTION@" in fault.script.proof)
    asked = {
        guest.name: filled(panic.script.proof, LAB, FaultPlan(panic, LAB.node(guest.home), guest, 0))
        for guest in LAB.guests
    }
    assert f"ping -q -c 2 -W 2 {addressing.guest_ip(LAB, LAB.guests[0])}" in asked["Passata"]
    assert "qemu-agent-command simplesip" in asked["SimplesIP"]
    assert "ping -q" not in asked["SimplesIP"]


@pytest.fixture
def host() -> HostFacts:
    space = Space("/var/lib/libvirt/images", 1, 100_000)
    tools = {"ovs-vswitchd": "3.1.0", "ovsdb-server": "3.1.0", "sipp": "3.6.1", "fence_virtd": "?"}
    return HostFacts("x86_64", 2, 24_000, space, space, tools, libvirt_version="9.0.0")


def failures(lab: Lab, facts: HostFacts) -> set[str]:
    choice = Choice("tcg", "TCG", "")
    return {finding.name for finding in judge(lab, facts, choice) if not finding.ok}


def test_preflight_looks_for_open_vswitch_only_where_it_is_wanted(host: HostFacts) -> None:
    smoke = parse_topology((ROOT / "topologies/smoke.yaml").read_text(), source="smoke.yaml")
    without = replace(host, tools={**host.tools, "ovs-vswitchd": "", "ovsdb-server": ""}, is_root=False)
    assert failures(LAB, host) == set()
    assert failures(LAB, without) == {"ovs-vswitchd", "ovsdb-server", "switch"}
    assert failures(smoke, without) == set()


def test_preflight_sees_a_vlan_that_the_host_uses_already(host: HostFacts) -> None:
    (vlan,) = LAB.network.vlans
    own = replace(host, routes=(Route(vlan.subnet, addressing.vlan_port_name(LAB.name, 42)),))
    taken = replace(host, routes=(Route(vlan.subnet, "eth0"),))
    assert failures(LAB, own) == set()
    assert failures(LAB, taken) == {"VLAN 42 subnet"}
