"""What must hold for a lab to be healthy, as a pure judgement of what was seen on its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lab.core.cluster_status import FailedAction
from lab.core.model import Lab
from lab.core.parsers.drbd import DrbdStatus
from lab.core.parsers.pacemaker import ClusterStatus

STORAGE_CLONE = "MS_DRBD"
MOUNT_CLONE = "OCFS_MOUNT_CLONE"

#: How the sentence about an action that failed begins.
FAILED_ACTION = "failed action"
#: How Pacemaker calls the outcome of an action that ran into its time-out (lib/common/results.c).
TIMED_OUT = "Timed Out"


@dataclass(frozen=True)
class NodeFacts:
    """What one look at a node found.

    Args:
        boot_id: random number of this boot of its kernel; another one means that it really went down.
        uptime_s: seconds since that boot.
        drbd: its view of DRBD; None when the driver is not loaded.
        mount: source, kind and options of what is mounted at OCFS2's mount point; empty when nothing is.
        running_guests: domains that run on it, by libvirt.
        cluster: Pacemaker's view of the cluster; None when Pacemaker does not answer there, or was not asked.
    """

    boot_id: str
    uptime_s: float
    drbd: DrbdStatus | None
    mount: str
    running_guests: tuple[str, ...]
    cluster: ClusterStatus | None


def fence_resource(node_name: str) -> str:
    """Name of the fence device that switches a node off."""
    return f"FENCE_{node_name.upper()}"


def only_late(lab: Lab, nodes: Mapping[str, NodeFacts | None]) -> tuple[FailedAction, ...]:
    """The actions that ran into their time-outs, where nothing but these keeps a lab from being healthy.

    Pacemaker has dealt with them; their records stay until somebody cleans them up.

    Args:
        lab: the lab.
        nodes: per node name, what was seen; None for one that could not be asked.
    """
    failed = {
        action: None
        for facts in nodes.values()
        if facts is not None and facts.cluster is not None
        for action in facts.cluster.failed_actions
    }
    others = [problem for problem in problems_of(lab, nodes) if not problem.startswith(FAILED_ACTION)]
    return () if others or any(action.status != TIMED_OUT for action in failed) else tuple(failed)


def problems_of(lab: Lab, nodes: Mapping[str, NodeFacts | None]) -> list[str]:
    """Everything that keeps a lab from being healthy, each as one sentence; empty when it is healthy.

    Args:
        lab: the lab.
        nodes: per node name, what was seen; None for one that could not be asked.
    """
    problems: list[str] = []
    for name, facts in nodes.items():
        if facts is None:
            problems.append(f"{name} cannot be reached")
        else:
            problems += _node_problems(lab, name, facts)
    cluster = next((facts.cluster for facts in nodes.values() if facts and facts.cluster), None)
    if cluster is not None:
        problems += _cluster_problems(lab, cluster)
    return [*problems, *_guest_problems(lab, nodes)]


def unsettled(lab: Lab, nodes: Mapping[str, NodeFacts | None]) -> list[str]:
    """What a glance, which does not ask Pacemaker, sees missing until every guest runs at home on sound storage.

    Empty is not yet healthy; anything else is not worth a look that costs more.

    Args:
        lab: the lab.
        nodes: per node name, what was seen; None for one that could not be asked.
    """
    problems: list[str] = []
    for name, facts in nodes.items():
        problems += _storage_problems(lab, name, facts) if facts else [f"{name} cannot be reached"]
    return [*problems, *_guest_problems(lab, nodes), *away_from_home(lab, nodes)]


def past_waiting(nodes: Mapping[str, NodeFacts | None]) -> str:
    """Why the lab will not become healthy by itself, however long it is waited for; empty when it may.

    OCFS2 puts a file system read-only where it finds it damaged (mount.ocfs2(8), ``errors=remount-ro``). Neither it nor
    Pacemaker, whose agent asks only whether it is mounted, changes that again.

    Args:
        nodes: per node name, what was seen; None for one that could not be asked.
    """
    damaged = [name for name, facts in nodes.items() if facts and _read_only(facts)]
    if not damaged:
        return ""
    return (
        f"OCFS2 is read-only on {' and '.join(damaged)}, as it is where it found the file system damaged. "
        "Waiting does not heal that; ./inv lab.reset loads a save, ./inv lab.down and ./inv lab.up build the lab anew"
    )


def away_from_home(lab: Lab, nodes: Mapping[str, NodeFacts | None]) -> list[str]:
    """Which guests do not run on their homes, each as one sentence."""
    return [
        f"{guest.name} is not at home on {guest.home}"
        for guest in lab.guests
        if not (facts := nodes[guest.home]) or guest.domain not in facts.running_guests
    ]


def _guest_problems(lab: Lab, nodes: Mapping[str, NodeFacts | None]) -> Iterator[str]:
    running = [guest for facts in nodes.values() if facts for guest in facts.running_guests]
    for guest in lab.guests:
        count = running.count(guest.domain)
        if count != 1:
            yield f"{guest.name} runs {count} times" if count else f"{guest.name} does not run"


def _node_problems(lab: Lab, name: str, facts: NodeFacts) -> Iterator[str]:
    yield from _storage_problems(lab, name, facts)
    if facts.cluster is None:
        yield f"{name}: Pacemaker does not answer"


def _storage_problems(lab: Lab, name: str, facts: NodeFacts) -> Iterator[str]:
    device = facts.drbd.device(lab.storage.minor) if facts.drbd else None
    if device is None:
        yield f"{name}: DRBD is not loaded"
    elif not device.dual_primary:
        yield f"{name}: DRBD is {device}"
    elif device.out_of_sync_kib:
        yield f"{name}: {device.out_of_sync_kib} KiB of DRBD are out of sync"
    if "ocfs2" not in facts.mount.split():
        yield f"{name}: OCFS2 is not mounted"
    elif _read_only(facts):
        yield f"{name}: OCFS2 is mounted read-only"


def _read_only(facts: NodeFacts) -> bool:
    words = facts.mount.split()
    return "ocfs2" in words and "ro" in words[-1].split(",")


def _cluster_problems(lab: Lab, cluster: ClusterStatus) -> Iterator[str]:
    online = set(cluster.online)
    for name in lab.node_names:
        if name not in online:
            yield f"{name} is not online in the cluster"
    if not cluster.quorum:
        yield "the cluster has no quorum"
    if cluster.maintenance_mode:
        yield "the cluster is in maintenance mode"
    everywhere = tuple(sorted(lab.node_names))
    if cluster.places(STORAGE_CLONE, "Promoted") != everywhere:
        yield f"{STORAGE_CLONE} is not promoted on both nodes"
    if cluster.places(MOUNT_CLONE) != everywhere:
        yield f"{MOUNT_CLONE} does not run on both nodes"
    expected = [guest.resource for guest in lab.guests]
    if lab.fencing.method != "none":
        expected += [fence_resource(name) for name in lab.node_names]
        if not cluster.fencing_enabled:
            yield "fencing is switched off in the cluster"
    for resource in expected:
        if len(cluster.places(resource, "Started")) != 1:
            yield f"{resource} is not started exactly once"
    for failure in cluster.failed_actions:
        yield f"{FAILED_ACTION} {failure.operation} on {failure.node}: {failure.exit_status} {failure.reason}".rstrip()
