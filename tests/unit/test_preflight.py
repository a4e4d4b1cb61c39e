from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.core.acceleration import Choice
from lab.core.addressing import bridge_name, domain_name, domain_uuid, network_name, network_uuid, pool_uuid
from lab.core.host_facts import Finding, HostFacts, Owned, Route, Space
from lab.core.model import Lab
from lab.core.parsers.sockets import listening_addresses
from lab.core.preflight import judge
from lab.core.topology import parse_topology

TOPOLOGY = Path(__file__).resolve().parent.parent.parent / "topologies/two-node.yaml"
TCG = Choice("tcg", "TCG, software emulation: this machine has no /dev/kvm", "Switch on virtualisation")
TOOLS = {"qemu-system-x86_64": "7.2.22", "mmdebstrap": "1.3.5", "fence_virtd": "?", "sipp": "3.6.1"}
STRANGER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return parse_topology(TOPOLOGY.read_text(encoding="utf-8"), source="two-node.yaml")


@pytest.fixture
def host() -> HostFacts:
    return HostFacts(
        architecture="x86_64",
        cpu_count=2,
        memory_available_mib=24_000,
        pool_space=Space("/var/lib/libvirt/images", 1, 100_000),
        cache_space=Space("/var/lib/libvirt/images/ha-lab-cache", 1, 100_000),
        tools=TOOLS,
        libvirt_version="9.0.0",
    )


def only(findings: list[Finding], name: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.name == name]
    return finding


def test_a_good_host_has_nothing_but_ok(lab: Lab, host: HostFacts) -> None:
    assert {finding.severity for finding in judge(lab, host, TCG)} == {"ok"}


def test_emulated_nodes_with_more_than_one_cpu_are_warned_of(lab: Lab, host: HostFacts) -> None:
    """With two emulated CPUs a kernel was seen to hang while it changed its own code."""
    brina, piova = lab.nodes
    several = replace(lab, nodes=(brina, replace(piova, vcpus=2)))
    finding = only(judge(several, host, TCG), "node CPUs")
    assert finding.severity == "warning"
    assert finding.message.startswith("piova with more than one emulated CPU")
    kvm = Choice("kvm", "KVM works", "")
    assert all(one.name != "node CPUs" for one in judge(several, host, kvm))


def test_every_failure_and_warning_names_a_remedy(lab: Lab, host: HostFacts) -> None:
    bad = replace(
        host,
        architecture="aarch64",
        memory_available_mib=10,
        pool_space=Space("/p", 1, 1),
        cache_space=Space("/c", 2, 1),
        tools=dict.fromkeys(TOOLS, ""),
        libvirt_version="",
        libvirt_error="no socket",
        routes=(Route(lab.network.service_subnet, "eth0"), Route(lab.network.management_subnet, "eth0")),
        links=frozenset({bridge_name(lab.name, "service")}),
        dns_listeners=frozenset({"::"}),
        domains={domain_name(lab.name, "brina"): Owned(STRANGER, False)},
        echo_refusal="not permitted",
    )
    findings = judge(lab, bad, TCG, insisted=True)
    assert {finding.severity for finding in findings} == {"failure", "warning"}
    assert [finding.name for finding in findings if not finding.remedy] == []


def test_asking_for_kvm_makes_tcg_a_failure(lab: Lab, host: HostFacts) -> None:
    finding = only(judge(lab, host, TCG, insisted=True), "accelerator")
    assert finding.severity == "failure"
    assert "no /dev/kvm" in finding.message
    assert only(judge(lab, host, TCG), "accelerator").severity == "ok"


def test_memory_that_is_too_short_for_translated_code_is_said(lab: Lab, host: HostFacts) -> None:
    """Nodes come up then, and QEMU or something else is killed later."""
    need_mib = sum(node.memory_mib + 512 for node in lab.nodes) + 512
    enough, tight = (replace(host, memory_available_mib=need_mib + 2 * 2048 - less) for less in (0, 1))
    assert only(judge(lab, enough, TCG), "memory").severity == "ok"
    finding = only(judge(lab, tight, TCG), "memory")
    assert finding.severity == "warning"
    assert "up to 4096 MiB for their translated code" in finding.message
    assert "nodes.<name>.translation_cache" in finding.remedy
    assert only(judge(lab, tight, Choice("kvm", "KVM", "")), "memory").severity == "ok"


def test_memory_is_counted_for_nodes_that_do_not_run(lab: Lab, host: HostFacts) -> None:
    short = replace(host, memory_available_mib=lab.nodes[0].memory_mib)
    assert only(judge(lab, short, TCG), "memory").severity == "failure"
    running = {
        domain_name(lab.name, node.name): Owned(str(domain_uuid(lab.name, node.name)), True) for node in lab.nodes
    }
    assert only(judge(lab, replace(short, domains=running), TCG), "memory").severity == "ok"


def test_disk_on_one_file_system_is_added_up(lab: Lab, host: HostFacts) -> None:
    places = {"pool_space": Space("/p", 1, 9000), "cache_space": Space("/c", 1, 9000)}
    assert only(judge(lab, replace(host, **places), TCG), "disk for volumes").severity == "failure"
    places["cache_space"] = Space("/c", 2, 9000)
    assert only(judge(lab, replace(host, **places), TCG), "disk for volumes").severity == "ok"


def test_disk_that_is_taken_already_is_not_asked_for_again(lab: Lab, host: HostFacts) -> None:
    ours = {lab.name: Owned(str(pool_uuid(lab.name, "host")), True)}
    full = replace(host, pool_space=Space("/p", 1, 10), cache_space=Space("/c", 1, 10), pools=ours, images_baked=True)
    assert [finding for finding in judge(lab, full, TCG) if not finding.ok] == []


def test_a_missing_tool_is_a_failure_unless_the_lab_does_not_need_it(lab: Lab, host: HostFacts) -> None:
    bare = replace(host, tools={**TOOLS, "fence_virtd": "", "sipp": ""})
    assert {f.name for f in judge(lab, bare, TCG) if not f.ok} == {"fence_virtd", "sipp"}
    quiet = tuple(guest for guest in lab.guests if guest.service != "telephony")
    modest = replace(lab, guests=quiet, fencing=replace(lab.fencing, method="none"))
    assert [f.name for f in judge(modest, bare, TCG) if not f.ok] == []


@pytest.mark.parametrize(
    ("version", "severity"), [("7.1.9", "warning"), ("7.2.0", "ok"), ("10.0.13", "ok"), ("?", "ok")]
)
def test_old_versions_are_warned_about(lab: Lab, host: HostFacts, version: str, severity: str) -> None:
    findings = judge(lab, replace(host, tools={"qemu-system-x86_64": version}), TCG)
    assert only(findings, "qemu-system-x86_64").severity == severity


@pytest.mark.parametrize(
    ("destination", "severity"),
    [("{subnet}", "failure"), ("{inside}", "failure"), ("10.0.0.0/8", "warning"), ("203.0.113.0/24", "ok")],
)
def test_routes_that_clash(lab: Lab, host: HostFacts, destination: str, severity: str) -> None:
    subnet = lab.network.service_subnet
    text = destination.format(subnet=subnet, inside=f"{subnet.network_address + 64}/26")
    findings = judge(lab, replace(host, routes=(Route(IPv4Network(text), "tun0"),)), TCG)
    assert only(findings, "service subnet").severity == severity


def test_routes_of_the_labs_own_bridges_are_fine(lab: Lab, host: HostFacts) -> None:
    own = Route(lab.network.service_subnet, bridge_name(lab.name, "service"))
    assert only(judge(lab, replace(host, routes=(own,)), TCG), "service subnet").severity == "ok"


def test_names_are_ours_or_somebody_elses_by_uuid(lab: Lab, host: HostFacts) -> None:
    network = network_name(lab.name, "management")
    ours = replace(host, networks={network: Owned(str(network_uuid(lab.name, "management")), True)})
    assert only(judge(lab, ours, TCG), "names").message == "1 objects of this lab exist"
    theirs = replace(host, networks={network: Owned(STRANGER, True)})
    finding = only(judge(lab, theirs, TCG), "names")
    assert finding.severity == "failure"
    assert f"network {network}" in finding.message


def test_a_bridge_without_its_network_is_somebody_elses(lab: Lab, host: HostFacts) -> None:
    bridge = bridge_name(lab.name, "service")
    there = replace(host, links=frozenset({"lo", bridge}))
    assert only(judge(lab, there, TCG), "bridges").severity == "failure"
    network = {network_name(lab.name, "service"): Owned(str(network_uuid(lab.name, "service")), True)}
    assert [f for f in judge(lab, replace(there, networks=network), TCG) if f.name == "bridges"] == []


def test_a_name_server_at_every_address_is_in_the_way(lab: Lab, host: HostFacts) -> None:
    taken = replace(host, dns_listeners=frozenset({"127.0.0.53", "0.0.0.0"}))
    finding = only(judge(lab, taken, TCG), "port 53")
    assert finding.severity == "failure"
    assert "0.0.0.0 on port 53" in finding.message
    assert only(judge(lab, replace(host, dns_listeners=frozenset({"127.0.0.53"})), TCG), "port 53").ok


def test_who_may_send_no_echo_is_told_before_a_drill(lab: Lab, host: HostFacts) -> None:
    finding = only(judge(lab, replace(host, echo_refusal="ping: socket: Operation not permitted"), TCG), "ICMP echo")
    assert finding.severity == "warning"
    assert finding.message == (
        "drills ask by ICMP echo, too, and you may send none: ping: socket: Operation not permitted"
    )
    assert "linux-sysctl-defaults" in finding.remedy
    assert only(judge(lab, host, TCG), "ICMP echo").message == "you may send one"
    without = replace(lab, probes=replace(lab.probes, icmp_per_s=0))
    assert [one for one in judge(without, host, TCG) if one.name == "ICMP echo"] == []


def test_the_kernels_table_of_sockets_tells_who_listens() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    tcp = "   0: 3500007F:0035 00000000:0000 0A 00000000:00000000\n   1: 00000000:0035 00000000:0000 0A 0:0\n"
    tcp += "   2: 0100007F:0035 0200007F:9C40 01 0:0\n   3: 00000000:0016 00000000:0000 0A 0:0\n"
    assert listening_addresses(head + tcp, port=53) == ["127.0.0.53", "0.0.0.0"]
    udp6 = "  10: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 0:0\n"
    udp6 += "  11: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0:0\n"
    assert listening_addresses(head + udp6, port=53) == ["::", "::1"]
