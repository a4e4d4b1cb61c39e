"""The cluster: Corosync's membership, Pacemaker's resources and constraints, and fencing through the real daemon."""

from __future__ import annotations

import hashlib
import math

import pytest
from look import Look

from lab.core import addressing
from lab.core.health import MOUNT_CLONE, STORAGE_CLONE, fence_resource, problems_of
from lab.core.model import Guest, Lab, Node
from lab.core.parsers.cib import INFINITY, Cib, Colocation, Location, Order
from lab.core.parsers.corosync import parse_links, parse_quorum
from lab.core.parsers.pacemaker import ClusterStatus, parse_cluster_status
from lab.workflows.observe import node_facts


def stretched(seconds: float, lab: Lab) -> int:
    return math.ceil(seconds * lab.time_scale)


def guest_agent(lab: Lab) -> str:
    """The agent behind a cheap look, or the study's, where every monitor asks libvirt."""
    return f"ocf:{'lab' if lab.cluster.deep_monitor_interval_s else 'heartbeat'}:VirtualDomain"


# Corosync


def test_cluster_is_quorate_with_both_members(lab: Lab, node: Node, seen: Look) -> None:
    status = parse_quorum(seen.text("quorum"))
    assert (status.quorate, status.blocked) == (True, False)
    assert status.member_names == lab.node_names
    assert (status.node_id, status.total_votes, status.expected_votes) == (node.index, len(lab.nodes), len(lab.nodes))
    assert {"2Node", "WaitForAll"} <= set(status.flags)


def test_link_is_connected(lab: Lab, seen: Look) -> None:
    status = parse_links(seen.text("links"))
    assert status.transport == lab.cluster.transport
    assert [(link.number, link.connected) for link in status.links] == [(0, True)]
    assert set(status.links[0].states) == {node.index for node in lab.nodes}


def totem(seen: Look) -> dict[str, str]:
    rows = [line.split(" (", 1) for line in seen.lines("totem") if " = " in line]
    return {row[0]: row[1].split(" = ", 1)[1] for row in rows}


def test_traffic_is_encrypted_and_authenticated_where_it_can_be(lab: Lab, seen: Look) -> None:
    found = totem(seen)
    encrypts = lab.cluster.secauth and lab.cluster.transport == "knet"
    wanted = ("aes256", "sha256") if encrypts else ("none", "none")
    assert (found["totem.crypto_cipher"], found["totem.crypto_hash"]) == wanted


def test_membership_times_are_those_in_effect(lab: Lab, seen: Look) -> None:
    found, cluster = totem(seen), lab.cluster
    assert {name: int(found[f"runtime.config.totem.{name}"]) for name in ("token", "join", "consensus")} == {
        "token": math.ceil(cluster.token_ms * lab.detection_scale),
        "join": math.ceil(cluster.join_ms * lab.detection_scale),
        "consensus": math.ceil(cluster.consensus_ms * lab.detection_scale),
    }


def test_all_nodes_share_one_key(lab: Lab, node_looks: dict[str, Look], secret_files: dict[str, bytes]) -> None:
    path = "/etc/corosync/authkey"
    keys = [line.split()[0] for look in node_looks.values() for line in look.lines("digests") if line.endswith(path)]
    assert keys == [hashlib.sha256(secret_files[path]).hexdigest()] * len(lab.nodes)


# Pacemaker: what is


def test_nothing_keeps_the_lab_from_being_healthy(lab: Lab, node_looks: dict[str, Look]) -> None:
    facts = {name: None if look.failure else node_facts(look.whole) for name, look in node_looks.items()}
    assert problems_of(lab, facts) == []


def test_nodes_are_online_and_agree(lab: Lab, seen: Look) -> None:
    status = parse_cluster_status(seen.text("cluster"))
    assert status.quorum
    assert not status.maintenance_mode
    assert sorted(status.online) == sorted(lab.node_names)
    assert status.coordinator in lab.node_names


def test_nodes_follow_the_same_coordinator(node_looks: dict[str, Look]) -> None:
    coordinators = {parse_cluster_status(look.text("cluster")).coordinator for look in node_looks.values()}
    assert len(coordinators) == 1


def test_storage_is_promoted_on_both_nodes(lab: Lab, cluster: ClusterStatus) -> None:
    assert cluster.places(STORAGE_CLONE, "Promoted") == tuple(sorted(lab.node_names))
    assert {one.agent for one in cluster.instances(STORAGE_CLONE)} == {"ocf:linbit:drbd"}


def test_mount_is_started_on_both_nodes(lab: Lab, cluster: ClusterStatus) -> None:
    assert cluster.places(MOUNT_CLONE, "Started") == tuple(sorted(lab.node_names))
    assert {one.agent for one in cluster.instances(MOUNT_CLONE)} == {"ocf:heartbeat:Filesystem"}


def test_guest_is_started_once_and_at_home(lab: Lab, guest: Guest, cluster: ClusterStatus) -> None:
    (resource,) = cluster.instances(guest.resource)
    assert resource.agent == guest_agent(lab)
    assert (resource.role, resource.nodes) == ("Started", (guest.home,))
    assert resource.managed
    assert not (resource.failed or resource.blocked or resource.orphaned)


def test_nothing_has_failed(cluster: ClusterStatus) -> None:
    assert cluster.failed_actions == ()
    assert cluster.fail_counts == ()


def test_no_other_resources_are_there(lab: Lab, cluster: ClusterStatus) -> None:
    expected = {"DRBD", "OCFS_MOUNT", *(guest.resource for guest in lab.guests)}
    if lab.fencing.method != "none":
        expected |= {fence_resource(name) for name in lab.node_names}
    assert {one.resource for one in cluster.resources} == expected


# Pacemaker: what is configured


def test_all_nodes_have_the_same_configuration(node_looks: dict[str, Look]) -> None:
    # The status section and its counters move on between two looks; the configuration does not.
    texts = {
        look.text("cib").partition("<configuration>")[2].partition("</configuration>")[0]
        for look in node_looks.values()
    }
    assert len(texts) == 1
    assert "<primitive" in texts.pop()


def test_cluster_stops_without_quorum(cib: Cib) -> None:
    assert cib.properties["no-quorum-policy"] == "stop"
    assert cib.resource_defaults["resource-stickiness"] == "0"


def test_storage_resources_are_configured_as_in_the_study(lab: Lab, cib: Cib) -> None:
    drbd, mount = cib.primitives["DRBD"], cib.primitives["OCFS_MOUNT"]
    assert (drbd.agent, drbd.parameters) == ("ocf:linbit:drbd", {"drbd_resource": lab.storage.resource})
    assert mount.agent == "ocf:heartbeat:Filesystem"
    assert mount.parameters == {
        "device": f"/dev/drbd/by-res/{lab.storage.resource}",
        "directory": lab.storage.mount_point,
        "fstype": "ocfs2",
    }
    assert {clone.name: clone.resource for clone in cib.clones.values()} == {
        STORAGE_CLONE: "DRBD",
        MOUNT_CLONE: "OCFS_MOUNT",
    }
    promoted = cib.clones[STORAGE_CLONE].meta
    maximum = promoted.get("promoted-max", promoted.get("master-max"))
    assert (maximum, promoted["clone-max"], promoted["notify"], promoted["interleave"]) == ("2", "2", "true", "true")
    assert (cib.clones[MOUNT_CLONE].meta["interleave"], cib.clones[MOUNT_CLONE].meta["ordered"]) == ("true", "true")


def test_storage_operations_have_the_studys_times(lab: Lab, cib: Cib) -> None:
    drbd, limit_s = cib.primitives["DRBD"], stretched(lab.cluster.storage_timeout_s, lab)
    monitors = {one.role: (one.interval_s, one.timeout_s) for one in drbd.operations if one.name == "monitor"}
    assert monitors == {
        "Promoted": (stretched(20, lab), limit_s),
        "Unpromoted": (stretched(30, lab), limit_s),
    }
    for name in ("start", "stop", "promote", "demote"):
        operation = drbd.operation(name)
        assert operation is not None
        assert operation.timeout_s == limit_s


def test_guest_resource_is_configured_as_in_the_study(lab: Lab, guest: Guest, cib: Cib) -> None:
    resource = cib.primitives[guest.resource]
    assert resource.agent == guest_agent(lab)
    wanted = {
        "config": f"/etc/libvirt/qemu/{guest.domain}.xml",
        "hypervisor": "qemu:///system",
        "migration_transport": "ssh",
        "force_stop": "0",
    }
    assert {name: resource.parameters.get(name) for name in wanted} == wanted
    assert resource.meta["allow-migrate"] == "true"


def test_guest_operations_have_the_studys_times(lab: Lab, guest: Guest, cib: Cib) -> None:
    resource, cluster = cib.primitives[guest.resource], lab.cluster
    # 0 s are no operation at all: then every monitor asks libvirt.
    monitors_s = [every_s for every_s in (cluster.monitor_interval_s, cluster.deep_monitor_interval_s) if every_s]
    assert sorted((one.name, one.interval_s, one.timeout_s) for one in resource.operations) == sorted(
        [
            ("start", 0, stretched(cluster.start_timeout_s, lab)),
            ("stop", 0, stretched(cluster.stop_timeout_s, lab)),
            *(("monitor", stretched(s, lab), stretched(cluster.monitor_timeout_s, lab)) for s in monitors_s),
            ("migrate_from", 0, stretched(cluster.migrate_timeout_s, lab)),
            ("migrate_to", 0, stretched(cluster.migrate_timeout_s, lab)),
        ]
    )
    assert resource.meta["migration-threshold"] == str(cluster.migration_threshold)


def test_guest_prefers_its_home(lab: Lab, guest: Guest, cib: Cib) -> None:
    found = {one.node: one.score for one in cib.locations.values() if one.resource == guest.resource}
    assert found == {name: INFINITY if name == guest.home else lab.cluster.other_node_score for name in lab.node_names}


def test_guest_needs_the_mount(guest: Guest, cib: Cib) -> None:
    together = [one for one in cib.colocations.values() if one.resource == guest.resource]
    assert [(one.with_resource, one.score) for one in together] == [(MOUNT_CLONE, INFINITY)]
    before = [one for one in cib.orders.values() if one.then == guest.resource and one.kind == "Mandatory"]
    assert [(one.first, one.first_action, one.then_action) for one in before] == [(MOUNT_CLONE, "start", "start")]


def test_guest_waits_for_those_that_start_first(lab: Lab, guest: Guest, cib: Cib) -> None:
    before = [one for one in cib.orders.values() if one.then == guest.resource and one.kind == "Optional"]
    assert [(one.first, one.first_action, one.then_action) for one in before] == [
        (first.resource, "start", "start") for first in lab.start_predecessors(guest)
    ]


def test_mount_needs_promoted_storage(cib: Cib) -> None:
    assert cib.colocations["OCFS_WITH_DRBD"] == Colocation(
        "OCFS_WITH_DRBD", MOUNT_CLONE, STORAGE_CLONE, INFINITY, "Promoted"
    )
    assert cib.orders["OCFS_AFTER_DRBD"] == Order(
        "OCFS_AFTER_DRBD", STORAGE_CLONE, MOUNT_CLONE, "promote", "start", "Mandatory"
    )


def test_no_other_constraints_are_there(lab: Lab, cib: Cib) -> None:
    # Such as those that an agent or a person leaves behind: drbd-fence-by-handler-..., cli-ban-..., cli-prefer-...
    expected = {"OCFS_WITH_DRBD", "OCFS_AFTER_DRBD"}
    for guest in lab.guests:
        expected |= {f"{guest.resource}_WITH_OCFS", f"{guest.resource}_AFTER_OCFS"}
        expected |= {f"{guest.resource}_AFTER_{first.resource}" for first in lab.start_predecessors(guest)}
        expected |= {f"{guest.resource}_ON_{name.upper()}" for name in lab.node_names}
    if lab.fencing.method != "none":
        expected |= {f"{fence_resource(name)}_ELSEWHERE" for name in lab.node_names}
    assert cib.constraint_names == expected


# Fencing


@pytest.mark.fencing(True)
def test_fencing_is_on(cib: Cib, cluster: ClusterStatus) -> None:
    assert cib.properties["stonith-enabled"] == "true"
    assert cluster.fencing_enabled


@pytest.mark.fencing(True)
def test_fence_device_of_the_node_is_started_on_the_other(lab: Lab, node: Node, cluster: ClusterStatus) -> None:
    (device,) = cluster.instances(fence_resource(node.name))
    assert device.agent == "stonith:fence_virt"
    assert device.role == "Started"
    assert device.nodes == tuple(name for name in lab.node_names if name != node.name)


@pytest.mark.fencing(True)
def test_fence_device_means_the_domain_of_its_node(lab: Lab, node: Node, cib: Cib) -> None:
    device = cib.primitives[fence_resource(node.name)]
    assert device.parameters["pcmk_host_map"] == f"{node.name}:{addressing.domain_uuid(lab.name, node.name)}"
    assert device.parameters["ipaddr"] == str(addressing.management_gateway(lab))
    assert device.parameters["ipport"] == str(lab.fencing.port)
    name = f"{device.name}_ELSEWHERE"
    assert cib.locations[name] == Location(name, device.name, node.name, -INFINITY)


@pytest.mark.fencing(True)
def test_fence_device_of_the_peer_is_known_to_the_node(lab: Lab, node: Node, seen: Look) -> None:
    (peer,) = [name for name in lab.node_names if name != node.name]
    assert seen.lines("fence devices")[0] == fence_resource(peer)


@pytest.mark.fencing(True)
def test_fencing_daemon_shows_exactly_the_nodes_of_this_lab(lab: Lab, seen: Look) -> None:
    assert sorted(line.split() for line in seen.lines("fence list")) == sorted(
        [addressing.domain_name(lab.name, name), str(addressing.domain_uuid(lab.name, name)), "on"]
        for name in lab.node_names
    )


@pytest.mark.fencing(True)
def test_fencing_daemon_shows_nothing_to_a_wrong_key(seen: Look) -> None:
    answer = seen.answer("fence list with a wrong key")
    assert answer.code != 0
    assert " on" not in answer.text


@pytest.mark.fencing(False)
def test_fencing_is_off_as_the_topology_says(lab: Lab, cib: Cib, cluster: ClusterStatus) -> None:
    assert cib.properties["stonith-enabled"] == "false"
    assert not cluster.fencing_enabled
    assert [one for one in cluster.resources if one.agent.startswith("stonith:")] == []
