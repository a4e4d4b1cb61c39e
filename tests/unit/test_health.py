"""The judgement of a lab's health: a healthy one is left alone, and every way of being ill has its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.cluster_status import ClusterNode, ClusterStatus, FailedAction, ResourceInstance
from lab.core.health import NodeFacts, away_from_home, fence_resource, only_late, past_waiting, problems_of, unsettled
from lab.core.model import Fencing, Lab
from lab.core.parsers.drbd import DrbdDevice, DrbdStatus
from lab.core.topology import parse_topology

ROOT = Path(__file__).resolve().parent.parent.parent
LAB = parse_topology((ROOT / "topologies/smoke.yaml").read_text(), source="smoke.yaml")
BOTH = ("brina", "piova")
DUAL = DrbdDevice(0, "Connected", "Primary", "Primary", "UpToDate", "UpToDate", "C")
MOUNT = "/dev/drbd0 ocfs2 rw,noatime,heartbeat=local"


def resource(name: str, node: str, role: str = "Started", *parents: str) -> ResourceInstance:
    return ResourceInstance(
        resource=name,
        parents=parents,
        agent="",
        role=role,
        target_role="",
        nodes=(node,) if node else (),
        doubtful_nodes=(),
        managed=True,
        failed=False,
        blocked=False,
        orphaned=False,
        pending="",
    )


def member(name: str, *, online: bool = True, standby: bool = False) -> ClusterNode:
    return ClusterNode(
        name=name,
        online=online,
        standby=standby,
        maintenance=False,
        pending=False,
        unclean=False,
        shutting_down=False,
        coordinator=name == "brina",
        running=3,
    )


RESOURCES = (
    *(resource("DRBD", name, "Promoted", "MS_DRBD") for name in BOTH),
    *(resource("OCFS_MOUNT", name, "Started", "OCFS_MOUNT_CLONE") for name in BOTH),
    resource("VM_1", "brina"),
    resource("FENCE_BRINA", "piova"),
    resource("FENCE_PIOVA", "brina"),
)
CLUSTER = ClusterStatus(
    version="2.1.5",
    coordinator="brina",
    quorum=True,
    fencing_enabled=True,
    maintenance_mode=False,
    nodes=(member("brina"), member("piova")),
    resources=RESOURCES,
    failed_actions=(),
    fail_counts=(),
    fencing=(),
)


def facts(
    cluster: ClusterStatus | None = CLUSTER,
    *,
    device: DrbdDevice | None = DUAL,
    mount: str = MOUNT,
    guests: tuple[str, ...] = (),
) -> NodeFacts:
    drbd = DrbdStatus("8.4.11", (device,)) if device else None
    return NodeFacts("boot", 60.0, drbd, mount, guests, cluster)


def with_cluster(cluster: ClusterStatus | None) -> dict[str, NodeFacts | None]:
    return {"brina": facts(cluster, guests=("passata",)), "piova": facts(cluster)}


def without(*names: str) -> ClusterStatus:
    left = [each for each in RESOURCES if not {each.resource, *each.parents} & set(names)]
    return replace(CLUSTER, resources=tuple(left))


def on_piova(device: DrbdDevice | None = DUAL, mount: str = MOUNT) -> dict[str, NodeFacts | None]:
    return {"brina": facts(guests=("passata",)), "piova": facts(device=device, mount=mount)}


def test_a_healthy_lab_has_no_problem() -> None:
    assert problems_of(LAB, with_cluster(CLUSTER)) == []


FAILURE = FailedAction("VM_1_monitor_10000", "brina", "complete", "not running", 7, "", "")
CASES: dict[str, tuple[Mapping[str, NodeFacts | None], list[str]]] = {
    "unreachable": (
        {"brina": facts(guests=("passata",)), "piova": None},
        ["piova cannot be reached"],
    ),
    "nobody": (
        {"brina": None, "piova": None},
        ["brina cannot be reached", "piova cannot be reached", "Passata does not run"],
    ),
    "no DRBD": (on_piova(device=None), ["piova: DRBD is not loaded"]),
    "DRBD down": (on_piova(DrbdDevice(0, "Unconfigured")), ["piova: DRBD is Unconfigured"]),
    "another minor": (on_piova(replace(DUAL, minor=3)), ["piova: DRBD is Unconfigured"]),
    "alone": (
        on_piova(replace(DUAL, connection="WFConnection", peer_role="Unknown", peer_disk="DUnknown")),
        ["piova: DRBD is WFConnection Primary/Unknown UpToDate/DUnknown"],
    ),
    "frozen": (
        on_piova(replace(DUAL, suspended=True)),
        ["piova: DRBD is Connected Primary/Primary UpToDate/UpToDate, suspended"],
    ),
    "out of sync": (on_piova(replace(DUAL, out_of_sync_kib=12)), ["piova: 12 KiB of DRBD are out of sync"]),
    "not mounted": (on_piova(mount=""), ["piova: OCFS2 is not mounted"]),
    "other file system": (on_piova(mount="/dev/vda1 ext4 rw"), ["piova: OCFS2 is not mounted"]),
    "read-only": (on_piova(mount=MOUNT.replace("rw,", "ro,")), ["piova: OCFS2 is mounted read-only"]),
    "no Pacemaker on one": (
        {"brina": facts(None, guests=("passata",)), "piova": facts()},
        ["brina: Pacemaker does not answer"],
    ),
    "no Pacemaker at all": (
        with_cluster(None),
        ["brina: Pacemaker does not answer", "piova: Pacemaker does not answer"],
    ),
    "offline": (
        with_cluster(replace(CLUSTER, nodes=(member("brina"), member("piova", online=False)))),
        ["piova is not online in the cluster"],
    ),
    "standby": (
        with_cluster(replace(CLUSTER, nodes=(member("brina", standby=True), member("piova")))),
        ["brina is not online in the cluster"],
    ),
    "no quorum": (with_cluster(replace(CLUSTER, quorum=False)), ["the cluster has no quorum"]),
    "maintenance": (with_cluster(replace(CLUSTER, maintenance_mode=True)), ["the cluster is in maintenance mode"]),
    "not promoted": (with_cluster(without("MS_DRBD")), ["MS_DRBD is not promoted on both nodes"]),
    "one promoted": (
        with_cluster(
            replace(
                without("MS_DRBD"),
                resources=(
                    *without("MS_DRBD").resources,
                    resource("DRBD", "brina", "Promoted", "MS_DRBD"),
                    resource("DRBD", "piova", "Unpromoted", "MS_DRBD"),
                ),
            )
        ),
        ["MS_DRBD is not promoted on both nodes"],
    ),
    "no mounts": (with_cluster(without("OCFS_MOUNT_CLONE")), ["OCFS_MOUNT_CLONE does not run on both nodes"]),
    "guest stopped": (with_cluster(without("VM_1")), ["VM_1 is not started exactly once"]),
    "guest twice in the cluster": (
        with_cluster(replace(CLUSTER, resources=(*RESOURCES, resource("VM_1", "piova")))),
        ["VM_1 is not started exactly once"],
    ),
    "no fence device": (with_cluster(without("FENCE_PIOVA")), ["FENCE_PIOVA is not started exactly once"]),
    "fencing off": (
        with_cluster(replace(CLUSTER, fencing_enabled=False)),
        ["fencing is switched off in the cluster"],
    ),
    "failure": (
        with_cluster(replace(CLUSTER, failed_actions=(FAILURE,))),
        ["failed action VM_1_monitor_10000 on brina: not running"],
    ),
    "failure with a reason": (
        with_cluster(replace(CLUSTER, failed_actions=(replace(FAILURE, reason="no domain"),))),
        ["failed action VM_1_monitor_10000 on brina: not running no domain"],
    ),
    "guest not running": ({"brina": facts(), "piova": facts()}, ["Passata does not run"]),
    "guest twice": (
        {"brina": facts(guests=("passata",)), "piova": facts(guests=("passata", "other"))},
        ["Passata runs 2 times"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_illness_has_its_sentence(case: str) -> None:
    nodes, expected = CASES[case]
    assert problems_of(LAB, nodes) == expected


@pytest.mark.parametrize("case", sorted(CASES))
def test_only_a_damaged_file_system_is_past_waiting(case: str) -> None:
    why = past_waiting(CASES[case][0])
    assert (why != "") == (case == "read-only")
    if why:
        assert why.startswith("OCFS2 is read-only on piova, as it is where it found the file system damaged. ")


def test_without_fencing_no_fence_device_is_missed() -> None:
    unfenced: Lab = replace(LAB, fencing=Fencing(method="none"))
    cluster = replace(without("FENCE_BRINA", "FENCE_PIOVA"), fencing_enabled=False)
    assert problems_of(unfenced, with_cluster(cluster)) == []
    assert len(problems_of(LAB, with_cluster(cluster))) == 3


def test_fence_devices_are_named_as_rendering_names_them() -> None:
    configuration = (ROOT / "tests/golden/two-node/cluster/cib.crm").read_text()
    for name in BOTH:
        assert f"primitive {fence_resource(name)} " in configuration


def test_the_cluster_is_judged_by_the_first_node_that_can_tell() -> None:
    nodes = {"brina": facts(None, guests=("passata",)), "piova": facts(replace(CLUSTER, quorum=False))}
    assert problems_of(LAB, nodes) == ["brina: Pacemaker does not answer", "the cluster has no quorum"]


LATE = FailedAction("VM_1_monitor_30000", "piova", "Timed Out", "error", 1, "did not complete within 1m30s", "")


def test_records_of_late_actions_alone_are_told_apart() -> None:
    late = with_cluster(replace(CLUSTER, failed_actions=(LATE, LATE)))
    assert only_late(LAB, late) == (LATE,)
    assert len(problems_of(LAB, late)) > 0


def test_nothing_is_merely_late_where_something_else_is_wrong() -> None:
    both = with_cluster(replace(CLUSTER, failed_actions=(LATE, FAILURE)))
    assert only_late(LAB, both) == ()
    late = with_cluster(replace(CLUSTER, failed_actions=(LATE,)))
    assert only_late(LAB, {**late, "piova": None}) == ()
    assert only_late(LAB, with_cluster(CLUSTER)) == ()


def test_a_glance_finds_nothing_missing_though_it_did_not_ask_pacemaker() -> None:
    seen = {"brina": facts(None), "piova": facts(None, guests=("passata",))}
    home = LAB.guests[0].home
    assert home == "piova"
    assert unsettled(LAB, seen) == []
    assert away_from_home(LAB, seen) == []


@pytest.mark.parametrize(
    ("seen", "missing"),
    [
        ({"brina": facts(None, guests=("passata",)), "piova": facts(None)}, ["Passata is not at home on piova"]),
        ({"brina": None, "piova": facts(None, guests=("passata",))}, ["brina cannot be reached"]),
        (
            {"brina": facts(None, guests=("passata",)), "piova": None},
            ["piova cannot be reached", "Passata is not at home on piova"],
        ),
        (
            {"brina": facts(None, guests=("passata",)), "piova": facts(None, guests=("passata",))},
            ["Passata runs 2 times"],
        ),
        (
            {"brina": facts(None, mount=""), "piova": facts(None, device=None)},
            [
                "brina: OCFS2 is not mounted",
                "piova: DRBD is not loaded",
                "Passata does not run",
                "Passata is not at home on piova",
            ],
        ),
    ],
)
def test_what_a_glance_misses(seen: Mapping[str, NodeFacts | None], missing: list[str]) -> None:
    assert unsettled(LAB, seen) == missing
