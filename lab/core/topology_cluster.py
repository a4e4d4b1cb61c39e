"""The section ``cluster`` of the topology document: Corosync and Pacemaker."""

from __future__ import annotations

from typing import Annotated

from lab.core.cluster_model import Cluster, DrbdSet, RingMode, Transport
from lab.core.topology_section import Section, setting
from lab.core.topology_values import CLUSTER_NAME, milliseconds, seconds


class ClusterDocument(Section):
    """Corosync and Pacemaker; times are stretched by the section timing."""

    name: Annotated[str, CLUSTER_NAME] = setting("Name of the cluster.", Cluster.name)
    transport: Transport = setting(
        "Transport of Corosync, knet or udpu; udpu is the study's, and in Corosync 3 it cannot encrypt.",
        Cluster.transport,
    )
    secauth: bool = setting(
        "Encrypt and authenticate Corosync's messages, where its version and transport can.", Cluster.secauth
    )
    rrp_mode: RingMode = setting("Redundant rings; there is one ring, so nothing but none.", Cluster.rrp_mode)
    clear_node_high_bit: bool = setting(
        "Keep node ids that Corosync makes up positive; of no effect, because the lab gives all of them.",
        Cluster.clear_node_high_bit,
    )
    service_stanza: bool = setting(
        "Name Pacemaker in corosync.conf as a service with ver 0, as the study did; Corosync 2 and 3 do not read it.",
        Cluster.service_stanza,
    )
    token: Annotated[int, milliseconds(100, 600_000)] = setting(
        "Time without a token after which Corosync declares a node lost.", Cluster.token_ms, "ms"
    )
    token_retransmits_before_loss_const: int = setting(
        "Retransmits of the token before it counts as lost.",
        Cluster.token_retransmits_before_loss_const,
        ge=1,
        le=1000,
    )
    join: Annotated[int, milliseconds(30, 60_000)] = setting(
        "How long Corosync waits for join messages.", Cluster.join_ms, "ms"
    )
    consensus: Annotated[int, milliseconds(120, 1_200_000)] = setting(
        "How long consensus may take before a new round; at least 1.2 times token.", Cluster.consensus_ms, "ms"
    )
    max_messages: int = setting("Messages a node may send per token.", Cluster.max_messages, ge=1, le=1000)
    drbd_set: DrbdSet = setting(
        "How the set MS_DRBD is written: clone (promotable, today's words) or ms (master and slave, the study's).",
        Cluster.drbd_set,
    )
    monitor_interval: Annotated[int, seconds(1, 3600)] = setting(
        "Pause between two monitor operations of a guest.", Cluster.monitor_interval_s, "s"
    )
    deep_monitor_interval: Annotated[int, seconds(0, 3600)] = setting(
        "Pause between two monitors of a guest that ask libvirt; those in between look whether its QEMU process runs. "
        "0 s for Pacemaker's own agent, which always asks.",
        Cluster.deep_monitor_interval_s,
        "s",
    )
    monitor_timeout: Annotated[int, seconds(1, 3600)] = setting(
        "Time limit of a monitor operation of a guest.", Cluster.monitor_timeout_s, "s"
    )
    start_timeout: Annotated[int, seconds(1, 3600)] = setting(
        "Time limit to start a guest.", Cluster.start_timeout_s, "s"
    )
    stop_timeout: Annotated[int, seconds(1, 3600)] = setting("Time limit to stop a guest.", Cluster.stop_timeout_s, "s")
    migrate_timeout: Annotated[int, seconds(1, 3600)] = setting(
        "Time limit of a live migration.", Cluster.migrate_timeout_s, "s"
    )
    storage_timeout: Annotated[int, seconds(1, 3600)] = setting(
        "Time limit of the operations of DRBD and OCFS2.", Cluster.storage_timeout_s, "s"
    )
    migration_threshold: int = setting(
        "Failures of a guest on a node before it has to leave it.", Cluster.migration_threshold, ge=1, le=1000
    )
    other_node_score: int = setting(
        "Pacemaker's score for a guest on the node that is not its home.",
        Cluster.other_node_score,
        ge=0,
        le=999_999,
    )
