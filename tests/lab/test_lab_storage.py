"""Storage of the nodes: LVM on the extra disk, DRBD on LVM, OCFS2 on DRBD, seen by both nodes as one."""

from __future__ import annotations

import math
import re
from typing import Any

import direct_writes
import pytest
from conftest import Exchange
from look import Look

from lab.core import addressing
from lab.core.model import Lab, Node
from lab.core.parsers.drbd import DrbdDevice, parse_proc_drbd


def device(lab: Lab, seen: Look) -> DrbdDevice:
    return parse_proc_drbd(seen.text("drbd")).device(lab.storage.minor)


def peer_of(lab: Lab, node: Node) -> Node:
    return next(other for other in lab.nodes if other.name != node.name)


def test_volume_lies_on_the_extra_disk(lab: Lab, seen: Look, node: Node) -> None:
    volumes: list[dict[str, Any]] = seen.json("volume")["report"][0]["lv"]
    (volume,) = [each for each in volumes if each["lv_name"] == lab.storage.logical_volume]
    assert volume["vg_name"] == lab.storage.volume_group
    assert volume["devices"] == f"{seen.text('storage disk')}(0)"
    # Active and open, as the backing device of DRBD is.
    assert volume["lv_attr"][4:6] == "ao"
    assert node.storage_disk_mib - 16 <= float(volume["lv_size"]) <= node.storage_disk_mib


def test_drbd_is_connected_and_primary_on_both_sides(lab: Lab, seen: Look) -> None:
    assert str(device(lab, seen)) == "Connected Primary/Primary UpToDate/UpToDate"


def test_drbd_waits_for_both_disks(lab: Lab, seen: Look) -> None:
    assert device(lab, seen).protocol == lab.storage.protocol == "C"


def test_drbd_has_nothing_left_to_synchronise(lab: Lab, seen: Look) -> None:
    found = device(lab, seen)
    assert (found.out_of_sync_kib, found.progress, found.suspended) == (0, None, False)


def test_drbd_speaks_between_the_service_addresses(lab: Lab, node: Node, seen: Look) -> None:
    here, there = addressing.node_service_ip(lab, node), addressing.node_service_ip(lab, peer_of(lab, node))
    text = seen.text("drbd settings")
    sides = dict(re.findall(r"_(this|remote)_host \{\s*address\s+ipv4 ([\d.:]+);", text))
    assert sides == {"this": f"{here}:{lab.storage.port}", "remote": f"{there}:{lab.storage.port}"}


def settings(seen: Look) -> dict[str, str]:
    return dict(re.findall(r"^\s*([\w-]+)\s+(\S.*?);", seen.text("drbd settings"), flags=re.MULTILINE))


def test_drbd_has_the_studys_settings(lab: Lab, seen: Look) -> None:
    found = settings(seen)
    assert found["disk"] == f'"/dev/{lab.storage.volume_group}/{lab.storage.logical_volume}"'
    assert found["meta-disk"] == "internal"
    assert found["allow-two-primaries"] == "yes"
    assert found["resync-rate"] == "51200k"
    # drbdsetup leaves out what is DRBD's own.
    assert found.get("al-extents", "1237") == str(lab.storage.al_extents)
    assert found["timeout"] == str(math.ceil(18 * lab.detection_scale))
    assert found["ping-int"] == str(math.ceil(2 * lab.detection_scale))
    assert found["ping-timeout"] == str(math.ceil(10 * lab.time_scale))


@pytest.mark.fencing(True)
def test_drbd_freezes_until_the_peer_is_fenced(seen: Look) -> None:
    assert settings(seen)["fencing"] == "resource-and-stonith"


@pytest.mark.fencing(False)
def test_drbd_does_not_wait_for_fencing_that_is_off(seen: Look) -> None:
    assert settings(seen)["fencing"] == "resource-only"


def test_drbd_device_has_the_studys_name(lab: Lab, seen: Look) -> None:
    assert seen.text("drbd link") == f"/dev/drbd{lab.storage.minor}"


def test_file_system_is_ocfs2_with_the_label_of_the_pool(lab: Lab, seen: Look) -> None:
    found = dict(line.split("=", 1) for line in seen.lines("file system"))
    assert (found["TYPE"], found["LABEL"]) == ("ocfs2", lab.storage.pool)


def test_ocfs2_hands_out_space_by_the_block(seen: Look) -> None:
    """In larger clusters written blocks were lost, see lab/workflows/storage.py."""
    bits = dict(re.findall(r"(\w+) Size Bits: (\d+)", seen.text("ocfs2 layout")))
    assert bits == {"Block": "12", "Cluster": "12"}


def test_what_is_written_directly_reaches_the_disk(seen: Look) -> None:
    assert seen.text("direct writes") == f"0 of {2 * direct_writes.PAIRS} lost"


def test_guests_disks_are_written_through(lab: Lab, seen: Look) -> None:
    """Without this a flush of a guest promises what a loss of power then takes, see lab/workflows/guests.py."""
    rows = [line.split(maxsplit=1) for line in seen.lines("attributes")]
    assert {path.rpartition("/")[2] for flags, path in rows if "S" in flags} == {
        f"{guest.domain}.qcow2" for guest in lab.guests
    }


def test_ocfs2_is_mounted_where_the_guests_are(lab: Lab, seen: Look) -> None:
    source, kind, options = seen.text("mount").split()
    assert (source, kind) == (f"/dev/drbd{lab.storage.minor}", "ocfs2")
    assert "rw" in options.split(",")


def test_ocfs2_is_mounted_by_both_nodes(lab: Lab, seen: Look) -> None:
    rows = [line.split(maxsplit=3) for line in seen.lines("ocfs2 mounted by")]
    (row,) = [row for row in rows if row[0] == f"/dev/drbd{lab.storage.minor}"]
    assert sorted(re.split(r",\s*", row[-1])) == sorted(lab.node_names)


def test_lock_managers_of_ocfs2_know_each_other(lab: Lab, seen: Look) -> None:
    """Without it each node has the file system to itself, and both write to it."""
    assert sorted(seen.text("ocfs2 lock manager").split()) == sorted(str(node.index - 1) for node in lab.nodes)


def test_ocfs2_is_mounted_beside_nodes_seen_alive_only(seen: Look) -> None:
    assert seen.text("ocfs2 mount program") == "/usr/local/lib/lab/mount.ocfs2"


def test_ocfs2_cluster_is_the_studys(lab: Lab, seen: Look) -> None:
    assert seen.text("ocfs2 stack") == "o2cb"
    expected: dict[str, str] = {}
    for node in lab.nodes:
        expected[f"{node.name}/num"] = str(node.index - 1)
        expected[f"{node.name}/ipv4_address"] = str(addressing.node_service_ip(lab, node))
        expected[f"{node.name}/ipv4_port"] = str(lab.storage.ocfs2_port)
    assert dict(line.split(":", 1) for line in seen.lines("ocfs2 nodes")) == expected


def test_ocfs2_times_are_stretched_as_the_lab_says(lab: Lab, seen: Look) -> None:
    heartbeats = math.ceil((lab.storage.ocfs2_heartbeat_threshold - 1) * lab.detection_scale) + 1
    assert int(seen.text("ocfs2 heartbeat")) == heartbeats
    assert int(seen.text("ocfs2 timeout")) == math.ceil(30000 * lab.time_scale)


def test_node_reads_what_the_nodes_have_written(lab: Lab, node: Node, exchange: Exchange) -> None:
    assert exchange.read[node.name] == dict.fromkeys(lab.node_names, exchange.token)


def test_node_sees_that_files_are_gone(node: Node, exchange: Exchange) -> None:
    assert exchange.left[node.name] == []
