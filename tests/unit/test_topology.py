"""The topology document: the examples, the resolution into the model, and what holds for every document."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import re
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core import addressing, model
from lab.core.errors import InputError
from lab.core.topology import check_against_host, parse_topology, with_accelerator
from lab.core.topology_checks import (
    GUEST_PROCESS_MIB,
    HOST_OS_MIB,
    STORAGE_FIXED_MIB,
    STORAGE_PER_GUEST_MIB,
)
from lab.core.yaml_text import read_yaml

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
TWO_NODE = (TOPOLOGIES / "two-node.yaml").read_text()
DATA: dict[str, Any] = read_yaml(TWO_NODE).data  # type: ignore[assignment]

SMALL = """
lab: {name: small}
nodes: {brina: , piova: }
guests:
  Passata: {service: dns, home: piova}
"""


def parsed(text: str = TWO_NODE, **options: Any) -> model.Lab:
    return parse_topology(text, source="two-node.yaml", **options)


def changed(path: str, value: object) -> dict[str, Any]:
    """The default topology with one value changed."""
    data = copy.deepcopy(DATA)
    section = data
    *above, key = path.split(".")
    for part in above:
        section = section.setdefault(part, {})
    section[key] = value
    return data


def test_the_default_lab_is_the_study_scaled_down() -> None:
    lab = parsed()
    assert lab.name == "halab"
    assert [(node.name, node.index, node.vcpus, node.memory_mib) for node in lab.nodes] == [
        ("brina", 1, 1, 2560),
        ("piova", 2, 1, 2560),
    ]
    assert {(node.system_disk_mib, node.storage_disk_mib) for node in lab.nodes} == {(8192, 8192)}
    assert [
        (guest.resource, guest.name, guest.service, guest.home, guest.vcpus, guest.memory_mib, guest.disk_mib)
        for guest in lab.guests
    ] == [
        ("VM_1", "Passata", "dns", "piova", 1, 160, 1024),
        ("VM_2", "Speedauth", "radius", "brina", 1, 192, 1024),
        ("VM_3", "Masterauth", "radius", "piova", 1, 192, 1024),
        ("VM_4", "Soldi", "web", "brina", 1, 320, 2048),
        ("VM_5", "SimplesIP", "telephony", "piova", 1, 192, 1024),
    ]
    assert [(guest.image.recipe, guest.image.suite) for guest in lab.guests] == [
        ("guest-dns", "bookworm"),
        ("guest-radius", "bookworm"),
        ("guest-radius", "bookworm"),
        ("guest-web", "bookworm"),
        ("guest-telephony", "bullseye"),
    ]
    assert [guest.study for guest in lab.guests] == [
        model.StudyFigures("BIND 9.9.5", 2, 3072, 20480, 99.913),
        model.StudyFigures("FreeRADIUS 2.1.12 with SQL over TCP", 2, 1536, 8192, 99.755),
        model.StudyFigures("FreeRADIUS 2.1.12", 1, 1536, 8192, 99.475),
        model.StudyFigures("Apache 2.4.7, PHP 5.5.9, MySQL 5.5.49", 4, 4096, 40960, 99.989),
        model.StudyFigures("Asterisk 1.8.32 on CentOS 6.6", 2, 3072, 81920, 99.997),
    ]
    assert lab.cluster == model.Cluster()
    assert lab.storage == model.Storage()
    assert lab.fencing == model.Fencing()
    assert lab.timing == model.Timing()
    assert lab.network == model.Network(lab.network.service_subnet, lab.network.management_subnet)
    assert lab.topology_file == "two-node.yaml"


def test_what_is_left_out_is_what_the_default_file_says() -> None:
    data = {
        "lab": DATA["lab"],
        "nodes": dict.fromkeys(DATA["nodes"]),
        "guests": {
            name: {key: guest[key] for key in ("service", "home", "study")} for name, guest in DATA["guests"].items()
        },
    }
    data["guests"]["Soldi"] |= {"memory": "320 MiB", "disk": "2 GiB"}
    data["guests"]["Passata"] |= {"memory": "160 MiB", "cpu_weight": 1000, "starts_first": True}
    assert parsed(json.dumps(data)) == parsed()


def test_commented_keys_show_what_the_lab_gets_without_them() -> None:
    uncommented, count = re.subn(r"^( *)#(?=\w+:)", r"\1", TWO_NODE, flags=re.MULTILINE)
    assert count >= 2
    assert parsed(uncommented) == parsed()
    assert parsed(uncommented, name="another").network == parsed().network


def test_every_example_is_a_lab() -> None:
    names = {path.name: parse_topology(path.read_text(), source=path.name).name for path in TOPOLOGIES.glob("*.yaml")}
    assert names.keys() >= {"two-node.yaml", "smoke.yaml"}
    assert len(set(names.values())) == len(names)


def test_the_smoke_lab_is_small() -> None:
    lab = parse_topology((TOPOLOGIES / "smoke.yaml").read_text(), source="smoke.yaml")
    assert [(guest.name, guest.service) for guest in lab.guests] == [("Passata", "dns")]
    assert sum(node.memory_mib for node in lab.nodes) < sum(node.memory_mib for node in parsed().nodes)


SUM = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "value", "reach", "result"),
    [
        ("lab.name", "other", lambda lab: lab.name, "other"),
        ("nodes.brina.vcpus", 4, lambda lab: lab.nodes[0].vcpus, 4),
        ("nodes.piova.memory", "4 GiB", lambda lab: lab.nodes[1].memory_mib, 4096),
        ("nodes.brina.system_disk", "10 GiB", lambda lab: lab.nodes[0].system_disk_mib, 10240),
        ("nodes.brina.storage_disk", "8.5 GiB", lambda lab: lab.nodes[0].storage_disk_mib, 8704),
        ("nodes.brina.translation_cache", "0 MiB", lambda lab: lab.nodes[0].translation_cache_mib, 0),
        ("images.node", {"recipe": "node", "suite": "trixie"}, lambda lab: lab.nodes[1].image.suite, "trixie"),
        (
            "images.node",
            {"file": "/srv/a.img", "sha256": SUM, "system": "ubuntu-24.04"},
            lambda lab: lab.nodes[0].image.system,
            "ubuntu-24.04",
        ),
        ("images.node", {"recipe": "node-small"}, lambda lab: lab.nodes[1].image.recipe, "node-small"),
        ("images.node", {"file": "/srv/a.raw", "sha256": SUM}, lambda lab: lab.nodes[0].image.file, "/srv/a.raw"),
        ("images.node", {"file": "/srv/a.raw", "sha256": SUM}, lambda lab: lab.nodes[0].image.sha256, SUM),
        (
            "images.guest-dns",
            {"url": "https://images.example/a.qcow2", "sha256": SUM},
            lambda lab: lab.guests[0].image.url,
            "https://images.example/a.qcow2",
        ),
        ("guests.Passata.home", "brina", lambda lab: lab.guests[0].home, "brina"),
        ("guests.Passata.service", "web", lambda lab: lab.guests[0].service, "web"),
        ("guests.Passata.vcpus", 2, lambda lab: lab.guests[0].vcpus, 2),
        ("guests.Passata.cpu_weight", 400, lambda lab: lab.guests[0].cpu_weight, 400),
        ("guests.Speedauth.starts_first", True, lambda lab: lab.guests[1].starts_first, True),
        ("guests.Passata.memory", "256 MiB", lambda lab: lab.guests[0].memory_mib, 256),
        ("guests.Passata.disk", "2 GiB", lambda lab: lab.guests[0].disk_mib, 2048),
        ("guests.Passata.image", "guest-web", lambda lab: lab.guests[0].image.recipe, "guest-web"),
        ("guests.Passata.study.software", "unbound", lambda lab: lab.guests[0].study.software, "unbound"),
        ("guests.Passata.study.vcpus", 8, lambda lab: lab.guests[0].study.vcpus, 8),
        ("guests.Passata.study.memory", "1 GiB", lambda lab: lab.guests[0].study.memory_mib, 1024),
        ("guests.Passata.study.disk", "1 GiB", lambda lab: lab.guests[0].study.disk_mib, 1024),
        ("guests.Passata.study.availability_percent", 98, lambda lab: lab.guests[0].study.availability_percent, 98.0),
        ("network.subnet_pool", "172.16.0.0/23", lambda lab: str(lab.network.management_subnet), "172.16.1.0/24"),
        ("network.service_subnet", "10.1.2.0/24", lambda lab: str(lab.network.service_subnet), "10.1.2.0/24"),
        ("network.management_subnet", "10.1.2.0/24", lambda lab: str(lab.network.management_subnet), "10.1.2.0/24"),
        ("network.miimon", "0.2 s", lambda lab: lab.network.miimon_ms, 200),
        ("network.xmit_hash_policy", "layer2", lambda lab: lab.network.xmit_hash_policy, "layer2"),
        ("network.lacp_rate", 0, lambda lab: lab.network.lacp_rate, 0),
        ("network.zone", "isp.example", lambda lab: lab.network.zone, "isp.example"),
        ("storage.volume_group", "vg1", lambda lab: lab.storage.volume_group, "vg1"),
        ("storage.logical_volume", "lv", lambda lab: lab.storage.logical_volume, "lv"),
        ("storage.resource", "data", lambda lab: lab.storage.resource, "data"),
        ("storage.minor", 3, lambda lab: lab.storage.minor, 3),
        ("storage.minor_count", 32, lambda lab: lab.storage.minor_count, 32),
        ("storage.port", 7792, lambda lab: lab.storage.port, 7792),
        ("storage.al_extents", 1237, lambda lab: lab.storage.al_extents, 1237),
        ("storage.resync_rate", "512 KiB/s", lambda lab: lab.storage.resync_rate, "512K"),
        ("storage.ocfs2_cluster", "other", lambda lab: lab.storage.ocfs2_cluster, "other"),
        ("storage.ocfs2_port", 7778, lambda lab: lab.storage.ocfs2_port, 7778),
        ("storage.ocfs2_heartbeat_threshold", 7, lambda lab: lab.storage.ocfs2_heartbeat_threshold, 7),
        ("storage.mount_point", "/srv/shared", lambda lab: lab.storage.mount_point, "/srv/shared"),
        ("storage.pool", "shared", lambda lab: lab.storage.pool, "shared"),
        ("cluster.name", "other", lambda lab: lab.cluster.name, "other"),
        ("cluster.transport", "udpu", lambda lab: lab.cluster.transport, "udpu"),
        ("cluster.secauth", False, lambda lab: lab.cluster.secauth, False),
        ("cluster.clear_node_high_bit", False, lambda lab: lab.cluster.clear_node_high_bit, False),
        ("cluster.service_stanza", True, lambda lab: lab.cluster.service_stanza, True),
        ("cluster.drbd_set", "ms", lambda lab: lab.cluster.drbd_set, "ms"),
        ("cluster.token", "1 s", lambda lab: lab.cluster.token_ms, 1000),
        (
            "cluster.token_retransmits_before_loss_const",
            4,
            lambda lab: lab.cluster.token_retransmits_before_loss_const,
            4,
        ),
        ("cluster.join", "50 ms", lambda lab: lab.cluster.join_ms, 50),
        ("cluster.consensus", "4 s", lambda lab: lab.cluster.consensus_ms, 4000),
        ("cluster.max_messages", 17, lambda lab: lab.cluster.max_messages, 17),
        ("cluster.monitor_interval", "11 s", lambda lab: lab.cluster.monitor_interval_s, 11),
        ("cluster.deep_monitor_interval", "31 s", lambda lab: lab.cluster.deep_monitor_interval_s, 31),
        ("cluster.monitor_timeout", "12 s", lambda lab: lab.cluster.monitor_timeout_s, 12),
        ("cluster.start_timeout", "2 min", lambda lab: lab.cluster.start_timeout_s, 120),
        ("cluster.stop_timeout", "13 s", lambda lab: lab.cluster.stop_timeout_s, 13),
        ("cluster.migrate_timeout", "14 s", lambda lab: lab.cluster.migrate_timeout_s, 14),
        ("cluster.storage_timeout", "15 s", lambda lab: lab.cluster.storage_timeout_s, 15),
        ("cluster.migration_threshold", 2, lambda lab: lab.cluster.migration_threshold, 2),
        ("cluster.other_node_score", 7, lambda lab: lab.cluster.other_node_score, 7),
        ("network.switch", "openvswitch", lambda lab: lab.network.switch, "openvswitch"),
        ("fencing.method", "none", lambda lab: lab.fencing.method, "none"),
        ("fencing.port", 1230, lambda lab: lab.fencing.port, 1230),
        ("fencing.tells_ocfs2", False, lambda lab: lab.fencing.tells_ocfs2, False),
        ("timing.scale_under_tcg", 2.5, lambda lab: lab.time_scale, 2.5),
        ("timing.scale_under_kvm", 1.5, lambda lab: with_accelerator(lab, "kvm").time_scale, 1.5),
        ("timing.detection_under_tcg", 2.5, lambda lab: lab.detection_scale, 2.5),
        ("timing.detection_under_kvm", 1.5, lambda lab: with_accelerator(lab, "kvm").detection_scale, 1.5),
    ],
)
def test_every_setting_reaches_the_model(path: str, value: object, reach: Any, result: object) -> None:
    assert reach(parsed(json.dumps(changed(path, value)))) == result
    before = parsed()
    assert reach(before) != result


def test_no_field_of_the_model_is_out_of_reach() -> None:
    """Every field is set by a case above, by DRBD or ring (one value each), or by what needs the switch."""
    cases = test_every_setting_reaches_the_model.pytestmark[0].args[1]  # type: ignore[attr-defined]
    tried = {case[0].split(".", 1)[0] + "." + case[0].rsplit(".", 1)[1] for case in cases}
    sections = {
        "cluster": model.Cluster,
        "storage": model.Storage,
        "network": model.Network,
        "fencing": model.Fencing,
        "timing": model.Timing,
    }
    one_value_only = {"network.bond_mode", "network.vlans", "storage.protocol", "cluster.rrp_mode"}
    for section, kind in sections.items():
        for field in dataclasses.fields(kind):
            assert f"{section}.{re.sub(r'_(ms|s)$', '', field.name)}" in tried | one_value_only


def test_the_name_may_come_from_outside() -> None:
    lab = parsed(name="second")
    assert lab.name == "second"
    assert (lab.network.service_subnet, lab.network.management_subnet) == addressing.slot(
        "second", IPv4Network("10.64.0.0/10")
    )
    assert lab.network.service_subnet != parsed().network.service_subnet
    assert parsed(SMALL.replace("name: small", ""), name="second").name == "second"


@pytest.mark.parametrize("name", ["", "Second", "../x", "a b", "1st", "default", "elevenchars", "a\n"])
def test_a_bad_name_from_outside_is_reported_with_the_rest(name: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(SMALL.replace("home: piova", "home: nowhere"), name=name)
    assert [problem.place for problem in caught.value.problems] == ["--name", "guests.Passata.home"]


def test_the_accelerator_chooses_the_declared_factors() -> None:
    lab = parsed()
    assert (lab.accelerator, lab.time_scale, lab.detection_scale) == ("tcg", 3.0, 1.5)
    fast = with_accelerator(lab, "kvm")
    assert (fast.accelerator, fast.time_scale, fast.detection_scale) == ("kvm", 1.0, 1.0)
    assert with_accelerator(fast, "tcg") == lab


def test_memory_has_to_hold_every_guest_to_the_mebibyte() -> None:
    lab = parsed()
    needed = sum(guest.memory_mib + GUEST_PROCESS_MIB for guest in lab.guests) + HOST_OS_MIB
    assert parsed(json.dumps(changed("nodes.brina.memory", f"{needed} MiB"))).nodes[0].memory_mib == needed
    with pytest.raises(InputError) as caught:
        parsed(json.dumps(changed("nodes.brina.memory", f"{needed - 1} MiB")))
    assert [problem.place for problem in caught.value.problems] == ["nodes.brina.memory"]
    assert f"at least {needed} MiB" in caught.value.problems[0].remedy


def test_the_storage_disk_has_to_hold_every_guest_to_the_mebibyte() -> None:
    lab = parsed()
    needed = sum(guest.disk_mib + STORAGE_PER_GUEST_MIB for guest in lab.guests) + STORAGE_FIXED_MIB
    enough, short = changed("nodes.brina.storage_disk", f"{needed} MiB"), changed("lab.name", "short")
    enough["nodes"]["piova"]["storage_disk"] = f"{needed} MiB"
    assert parsed(json.dumps(enough)).nodes[1].storage_disk_mib == needed
    for node in short["nodes"].values():
        node["storage_disk"] = f"{needed - 1} MiB"
    with pytest.raises(InputError) as caught:
        parsed(json.dumps(short))
    assert [problem.place for problem in caught.value.problems] == ["nodes.brina.storage_disk"]


def test_a_value_that_was_not_understood_gives_no_second_problem() -> None:
    data = changed("guests.Soldi.memory", "9")
    data["nodes"]["brina"]["memory"] = "1 GiB"
    with pytest.raises(InputError) as caught:
        parsed(json.dumps(data))
    assert [problem.place for problem in caught.value.problems] == ["guests.Soldi.memory"]


def test_names_that_are_also_keys_are_only_names() -> None:
    data = changed("nodes.guests", {"vcpus": 1})
    with pytest.raises(InputError) as caught:
        parsed(json.dumps(data))
    assert [problem.place for problem in caught.value.problems] == ["nodes.guests", "nodes"]
    assert parsed(json.dumps(changed("guests.home", {"service": "dns", "home": "brina", "disk": "256 MiB"}))).guests[
        -1
    ].name == ("home")


def test_the_host_has_to_have_what_the_nodes_need() -> None:
    lab = parsed()
    assert check_against_host(lab, host_memory_mib=8192, host_disk_mib=16384) == []
    assert check_against_host(lab, host_memory_mib=8192, host_disk_mib=None) == []
    problems = check_against_host(lab, host_memory_mib=5119, host_disk_mib=1000)
    assert [problem.place for problem in problems] == ["nodes", "nodes"]
    assert "5119 MiB" in problems[0].message and "1000 MiB" in problems[1].message
    assert all(problem.remedy for problem in problems)


LAB_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True).filter(lambda name: name != "default")


@given(LAB_NAMES, st.integers(min_value=1, max_value=8))
def test_addresses_and_macs_never_collide_within_a_lab(name: str, guests: int) -> None:
    text = "nodes: {brina: , piova: }\nguests:\n" + "".join(
        f"  Guest{number}: {{service: dns, home: brina, disk: 256 MiB, memory: 64 MiB}}\n" for number in range(guests)
    )
    lab = parse_topology(text, source="generated", name=name)
    macs = [addressing.node_mac(lab, node, nic) for node in lab.nodes for nic in addressing.NICS]
    macs += [addressing.guest_mac(lab, guest) for guest in lab.guests]
    addresses = [addressing.service_gateway(lab), addressing.management_gateway(lab)]
    addresses += [addressing.node_service_ip(lab, node) for node in lab.nodes]
    addresses += [addressing.node_management_ip(lab, node) for node in lab.nodes]
    addresses += [addressing.guest_ip(lab, guest) for guest in lab.guests]
    assert len(set(macs)) == len(macs)
    assert len(set(addresses)) == len(addresses)
    assert not lab.network.service_subnet.overlaps(lab.network.management_subnet)
    assert lab.network.service_subnet.subnet_of(IPv4Network("10.64.0.0/10"))
    assert all(len(addressing.bridge_name(name, role)) <= 15 for role in ("service", "management"))


def paths(data: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All paths of the document's keys."""
    if not isinstance(data, dict):
        return []
    return list(itertools.chain.from_iterable([[(*path, key), *paths(data[key], (*path, key))] for key in data]))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(paths(DATA)), ANYTHING, st.text(max_size=6)), min_size=1, max_size=4))
def test_damaged_documents_give_a_lab_or_problems_and_nothing_else(
    damages: list[tuple[tuple[str, ...], object, str]],
) -> None:
    data = copy.deepcopy(DATA)
    for (*above, key), value, new_key in damages:
        section: Any = data
        for part in above:
            section = section.get(part) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section[new_key or key] = value
    try:
        lab = parsed(json.dumps(data))
    except InputError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message and problem.remedy
            assert (problem.place + problem.message + problem.remedy).isprintable()
            assert "Input should" not in problem.message
    else:
        assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", guest.name) for guest in lab.guests)
        assert len(lab.nodes) == 2


SMALL_DATA: dict[str, Any] = read_yaml(SMALL).data  # type: ignore[assignment]


def test_rates_and_objectives_are_resolved() -> None:
    document = {
        **SMALL_DATA,
        "probes": {"dns": "90/min", "icmp": "0/s", "timeout": "250 ms"},
        "objectives": {"dns": {"power-off": "1.5 min", "maintenance": "0 s"}, "web": {"live-migrate": "2500 ms"}},
    }
    lab = parse_topology(json.dumps(document), source="x")
    assert (lab.probes.dns_per_s, lab.probes.icmp_per_s, lab.probes.timeout_ms) == (1.5, 0.0, 250)
    assert lab.probes.radius_accounting_per_s == model.Probes().radius_accounting_per_s == 5.0
    assert lab.objectives == (
        model.Objective("dns", "power-off", 90_000),
        model.Objective("dns", "maintenance", 0),
        model.Objective("web", "live-migrate", 2500),
    )
    plain = parse_topology(json.dumps(SMALL_DATA), source="x")
    assert plain.objectives == () and plain.probes == model.Probes()
