"""Looking at a running lab: one look per node that costs one command, and what must hold for it to be healthy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.core.cluster_status import FailedAction
from lab.core.errors import LabError
from lab.core.health import NodeFacts, only_late, past_waiting, problems_of
from lab.core.model import Lab, Node
from lab.core.parsers.drbd import DrbdStatus, parse_proc_drbd
from lab.core.parsers.pacemaker import ClusterStatus, parse_cluster_status
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import ProcessError
from lab.workflows.session import Session

MARK = "==== "
CLEAN_UP_LIMIT_S = 120.0
#: Of the pause after a look, in lengths of the look: what is waited for needs the nodes' processors, too.
LOOK_REST = 1.0

#: Sections of one look at a node; each is a shell line whose output is parsed.
SECTIONS = {
    "boot_id": "cat /proc/sys/kernel/random/boot_id",
    "uptime": "cut -d ' ' -f 1 /proc/uptime",
    "drbd": "cat /proc/drbd",
    "mount": "findmnt -n -o SOURCE,FSTYPE,OPTIONS %(mount_point)s",
    "guests": "virsh -c qemu:///system list --name",
    "cluster": "crm_mon --output-as=xml -r -f 2>&1",
}

#: A glance starts no client of libvirt and of Pacemaker, each of which is a second of work for an emulated node:
#: repeated all the time while guests migrate, looks took a sixth of both nodes from them. Guests are those for which
#: libvirt noted a state, and the number of a process that is there (its own number is in that folder, too).
GLANCE_SECTIONS = {
    "drbd": "cat /proc/drbd",
    "mount": 'while read -r source place kind options rest; do [ "$place" = %(mount_point)s ] && '
    "echo $source $kind $options; done </proc/mounts",
    "guests": "for file in /run/libvirt/qemu/*.xml; do name=${file##*/}; name=${name%%.xml}; pid=; "
    'read -r pid </run/libvirt/qemu/$name.pid; [ -n "$pid" ] && [ -d /proc/$pid ] && echo $name; done 2>/dev/null',
}


@dataclass(frozen=True)
class Look:
    """What was seen of all nodes at about the same time.

    Args:
        nodes: per node name, its facts; None for one that could not be asked.
    """

    nodes: dict[str, NodeFacts | None]

    def problems(self, lab: Lab) -> list[str]:
        """Everything that keeps the lab from being healthy; empty when it is."""
        return problems_of(lab, self.nodes)

    @property
    def cluster(self) -> ClusterStatus | None:
        """The cluster in the eyes of the first node that could tell."""
        return next((facts.cluster for facts in self.nodes.values() if facts and facts.cluster), None)


def look_at_node(
    session: Session, node: Node, *, limit_s: float = 30.0, sections: Mapping[str, str] = SECTIONS
) -> NodeFacts | None:
    """One look at a node, or None when it cannot be asked.

    Args:
        session: the lab.
        node: which one.
        limit_s: for how long it is waited for, before the time scale.
        sections: what is asked; what is left out counts as not there.
    """
    values = {"mount_point": session.lab.storage.mount_point}
    lines = [f"echo '{MARK}{name}'; {line % values}" for name, line in sections.items()]
    try:
        result = session.shell(node).run("; ".join(lines), timeout_s=limit_s * session.lab.time_scale)
    except ProcessError:
        return None
    if MARK not in result.stdout:
        return None
    return node_facts(result.stdout)


def node_facts(text: str) -> NodeFacts:
    """The output of one look, taken apart."""
    sections: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith(MARK):
            name = line.removeprefix(MARK)
            sections[name] = ""
        elif name:
            sections[name] += line + "\n"
    return NodeFacts(
        boot_id=sections.get("boot_id", "").strip(),
        uptime_s=_seconds(sections.get("uptime", "")),
        drbd=_drbd(sections.get("drbd", "")),
        mount=sections.get("mount", "").strip(),
        running_guests=tuple(sorted(sections.get("guests", "").split())),
        cluster=_cluster(sections.get("cluster", "")),
    )


def _seconds(text: str) -> float:
    return float(text) if re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", text) else 0.0


def _drbd(text: str) -> DrbdStatus | None:
    try:
        return parse_proc_drbd(text)
    except LabError:
        return None


def _cluster(text: str) -> ClusterStatus | None:
    try:
        return parse_cluster_status(text)
    except LabError:
        return None


def look(session: Session, *, sections: Mapping[str, str] = SECTIONS) -> Look:
    """One look at all nodes, side by side."""
    seen = session.on_each(session.lab.nodes, lambda node: look_at_node(session, node, sections=sections))
    return Look(dict(zip(session.lab.node_names, seen, strict=True)))


def glance(session: Session) -> Look:
    """One look at all nodes that costs them next to nothing, and does not tell what Pacemaker thinks."""
    return look(session, sections=GLANCE_SECTIONS)


def wait_healthy(session: Session, *, limit_s: float = 240.0) -> Look:
    """Wait until nothing keeps the lab from being healthy.

    Where nothing is left but records of actions that were too slow for their time-outs, they are cleaned up and told:
    on a busy machine Pacemaker has done it again meanwhile.

    Raises:
        WaitError: it is not so in time; with what is still wrong.
    """
    seen: list[Look] = []

    def healthy() -> bool:
        seen.append(look(session))
        del seen[:-1]
        late = only_late(session.lab, seen[-1].nodes)
        if late:
            _tell_of_late(session, late)
            clean_up(session, seen[-1])
        return not seen[-1].problems(session.lab)

    wait_until(
        healthy,
        what="a healthy cluster",
        deadline=Deadline.after(limit_s * session.lab.time_scale),
        interval_s=1.0,
        rest=LOOK_REST,
        hopeless=lambda: past_waiting(seen[-1].nodes),
        remedy="./inv lab.status shows everything; `crm_mon -1rf` on a node says what Pacemaker is doing",
        details=lambda: seen[-1].problems(session.lab),
    )
    return seen[-1]


def clean_up(session: Session, seen: Look) -> None:
    """Have Pacemaker forget failed actions; if that fails, it can be said again.

    They count towards a guest's limit, and bar a resource from a node, until somebody does so.

    Args:
        session: the lab.
        seen: the last look; the first node that could be asked is told.
    """
    first = next((node for node in session.lab.nodes if seen.nodes[node.name]), None)
    if first is not None:
        session.shell(first).asked("crm_resource --cleanup", timeout_s=CLEAN_UP_LIMIT_S * session.lab.time_scale)


def _tell_of_late(session: Session, late: Sequence[FailedAction]) -> None:
    which = ", ".join(sorted({f"{action.operation} on {action.node}" for action in late}))
    session.reporter.warn(
        f"Pacemaker's time-out was too short for {which} on this slow or busy machine. All runs now: cleaned up. "
        f"If that happens often, try a factor of more than {session.lab.time_scale:g} in the topology's section timing"
    )
