"""The cluster as Pacemaker sees it: nodes, resources and where they are, failures, fencing.

:func:`lab.core.parsers.pacemaker.parse_cluster_status` makes these from the output of ``crm_mon``.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Pacemaker's number for "failed for good".
INFINITY = 1_000_000


@dataclass(frozen=True)
class ClusterNode:
    """A node as the cluster sees it.

    Args:
        name: its name.
        online, standby, maintenance, pending, unclean, shutting_down: as in ``crm_mon``; an unclean node is one that
            must be fenced before anything of it is started elsewhere.
        coordinator: whether it is the one that decides (DC).
        running: number of resources on it.
    """

    name: str
    online: bool
    standby: bool
    maintenance: bool
    pending: bool
    unclean: bool
    shutting_down: bool
    coordinator: bool
    running: int

    @property
    def ready(self) -> bool:
        """Whether resources may run on it."""
        return self.online and not (self.standby or self.maintenance or self.pending or self.unclean)


@dataclass(frozen=True)
class ResourceInstance:
    """One instance of a resource; a clone has several.

    Args:
        resource: its name, without the number of the instance.
        parents: names of the clone, group or bundle that it is in, outermost first.
        agent: such as ``ocf:heartbeat:VirtualDomain``.
        role: ``Started``, ``Stopped``, ``Promoted``, ``Unpromoted``, ``Starting``, ``Migrating`` and so on.
        target_role: the role it was told to have; empty when nobody did.
        nodes: where it surely runs; more than one means that something went wrong.
        doubtful_nodes: where it ran when the node was last heard of.
        managed, failed, blocked, orphaned: as in ``crm_mon``.
        pending: the action under way, such as ``Starting``; empty when none is.
    """

    resource: str
    parents: tuple[str, ...]
    agent: str
    role: str
    target_role: str
    nodes: tuple[str, ...]
    doubtful_nodes: tuple[str, ...]
    managed: bool
    failed: bool
    blocked: bool
    orphaned: bool
    pending: str


@dataclass(frozen=True)
class FailedAction:
    """An action that failed and has not been cleaned up.

    Args:
        operation: its key, such as ``VM_1_monitor_10000``.
        node: where.
        status: ``complete``, ``Timed Out``, ``error`` and so on.
        exit_status: what the agent's exit code means, such as ``not running``.
        exit_code: the agent's exit code.
        reason: the agent's own words, may be empty.
        when: last change of the exit code, in the words of ``crm_mon``; may be empty.
    """

    operation: str
    node: str
    status: str
    exit_status: str
    exit_code: int
    reason: str
    when: str


@dataclass(frozen=True)
class FailCount:
    """How often a resource failed on a node; :data:`INFINITY` bars it from there until cleaned up."""

    resource: str
    node: str
    count: int
    migration_threshold: int


@dataclass(frozen=True)
class FencingEvent:
    """A node was switched off or on by the cluster, or should have been.

    Args:
        target: which node.
        action: ``reboot``, ``off``, ``on``.
        status: ``success``, ``failed``, ``pending``.
        delegate: which node did it, may be empty.
        client: who wanted it, such as ``pacemaker-controld.1234``.
        completed: when, in the words of ``crm_mon``; may be empty.
        reason: why it failed, may be empty.
    """

    target: str
    action: str
    status: str
    delegate: str
    client: str
    completed: str
    reason: str


@dataclass(frozen=True)
class ClusterStatus:
    """Everything that ``crm_mon`` tells about the cluster.

    Args:
        version: of Pacemaker, empty without a coordinator.
        coordinator: name of the deciding node, empty when there is none.
        quorum: whether this part of the cluster may act.
        fencing_enabled, maintenance_mode: the cluster options ``stonith-enabled`` and ``maintenance-mode``.
        nodes, resources, failed_actions, fail_counts, fencing: see there.
    """

    version: str
    coordinator: str
    quorum: bool
    fencing_enabled: bool
    maintenance_mode: bool
    nodes: tuple[ClusterNode, ...]
    resources: tuple[ResourceInstance, ...]
    failed_actions: tuple[FailedAction, ...]
    fail_counts: tuple[FailCount, ...]
    fencing: tuple[FencingEvent, ...]

    def instances(self, name: str) -> tuple[ResourceInstance, ...]:
        """The instances of a resource, named by itself or by the clone or group that it is in."""
        return tuple(one for one in self.resources if name == one.resource or name in one.parents)

    def places(self, name: str, role: str = "") -> tuple[str, ...]:
        """The nodes where a resource surely runs, sorted, once for each instance there; in one role only, if given."""
        found = (one for one in self.instances(name) if role in {"", one.role})
        return tuple(sorted(node for one in found for node in one.nodes))

    @property
    def online(self) -> tuple[str, ...]:
        """Names of the nodes on which resources may run."""
        return tuple(node.name for node in self.nodes if node.ready)
