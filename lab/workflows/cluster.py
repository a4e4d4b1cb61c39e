"""Corosync and Pacemaker inside the nodes: started, joined, and given the resources of the lab."""

from __future__ import annotations

from lab.core.model import Node
from lab.core.parsers.pacemaker import ClusterStatus
from lab.core.software import lab_software
from lab.doors.clock import Deadline, wait_until
from lab.workflows.observe import look_at_node
from lab.workflows.session import Session
from lab.workflows.steps import Step, carry_out

CONFIGURATION = "/etc/lab/cib.crm"
#: Written when the resources are about to be loaded: from then on Pacemaker alone handles the storage.
MANAGED_MARK = "/etc/lab/managed"


def start_cluster_software(session: Session, node: Node) -> None:
    """See to it that Corosync and Pacemaker run on a node; the image starts them at every boot."""
    init = lab_software(session.lab).init
    with session.reporter.step("Corosync, Pacemaker", node=node.name):
        carry_out(
            session,
            session.shell(node),
            [
                Step(
                    "start Corosync and Pacemaker",
                    init.all_running("corosync", "pacemaker"),
                    init.started("corosync", "pacemaker"),
                    timeout_s=60,
                    remedy="Look at `journalctl -u corosync -u pacemaker` on the node",
                )
            ],
        )


def wait_members(session: Session) -> ClusterStatus:
    """Wait until all nodes are online in the cluster.

    Raises:
        WaitError: not so in time; with what is seen of each.
    """
    lab = session.lab
    first = lab.nodes[0]
    seen: list[ClusterStatus] = []

    def joined() -> ClusterStatus | None:
        facts = look_at_node(session, first)
        if facts is None or facts.cluster is None:
            return None
        seen[:] = [facts.cluster]
        return facts.cluster if set(lab.node_names) <= set(facts.cluster.online) and facts.cluster.coordinator else None

    with session.reporter.step("nodes join the cluster"):
        return wait_until(
            joined,
            what="all nodes online in the cluster",
            deadline=Deadline.after(90 * lab.time_scale),
            interval_s=0.5,
            remedy="Look at `journalctl -u corosync -u pacemaker` on both nodes",
            details=lambda: [str(node) for status in seen for node in status.nodes] or ["Pacemaker does not answer"],
        )


def configured(session: Session, status: ClusterStatus) -> bool:
    """Whether the cluster has all resources of the lab already."""
    return all(status.instances(guest.resource) for guest in session.lab.guests) and bool(status.instances("MS_DRBD"))


def allow_resources(session: Session) -> None:
    """Take back what ``lab.halt`` told the cluster; nothing happens when it was not told.

    The cluster has only just come together, and may not take a change at the first attempt.
    """
    shell = session.shell(session.lab.nodes[0])
    said: list[str] = []

    def taken_back() -> bool:
        result = shell.asked("crm_attribute -t crm_config -n stop-all-resources -D 2>&1", timeout_s=60)
        said[:] = ["the node does not answer"] if result is None else result.stdout.splitlines()[-5:]
        return result is not None and result.ok

    wait_until(
        taken_back,
        what="the cluster to allow resources again",
        deadline=Deadline.after(90 * session.lab.time_scale),
        interval_s=2.0,
        remedy=f"Look at `crm_mon -1` and `journalctl -u pacemaker` on {shell.host}",
        details=lambda: said,
    )


def manages_storage(session: Session) -> bool:
    """Whether Pacemaker has been given the storage, so that nobody else may touch it.

    Raises:
        WaitError: the node does not say; no answer is not taken for a "no".
    """
    shell = session.shell(session.lab.nodes[0])

    def answer() -> str | None:
        result = shell.asked("test -e %s && echo yes || echo no", MANAGED_MARK)
        return result.stdout.strip() or None if result is not None else None

    return (
        wait_until(
            answer,
            what=f"{shell.host} to say whether Pacemaker has the storage",
            deadline=Deadline.after(60 * session.lab.time_scale),
            interval_s=1.0,
        )
        == "yes"
    )


def load_resources(session: Session, configuration: bytes) -> None:
    """Load the rendered resources with crm; the whole configuration is replaced, so this can be repeated."""
    node = session.lab.nodes[0]
    shell = session.shell(node)
    with session.reporter.step("load the resources"):
        shell.put(configuration, CONFIGURATION, "0600")
        shell.put(b"", MANAGED_MARK, "0600")
        shell.succeed(
            "crm --force configure load update %s 2>&1",
            CONFIGURATION,
            timeout_s=120 * session.lab.time_scale,
            remedy=f"./inv lab.ssh {node.name} and run `crm configure load update {CONFIGURATION}`",
        )
