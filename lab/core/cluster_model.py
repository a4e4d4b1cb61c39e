"""The part of the model that is Corosync's and Pacemaker's; :mod:`lab.core.model` shows it as its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Transport = Literal["knet", "udpu"]
RingMode = Literal["none"]
DrbdSet = Literal["clone", "ms"]


@dataclass(frozen=True)
class Cluster:
    """Corosync and Pacemaker; times are the unscaled ones, see :attr:`lab.core.model.Lab.time_scale`.

    Args:
        transport: of Corosync; the study's is ``udpu``.
        secauth: encrypt and authenticate Corosync's messages, where version and transport can.
        rrp_mode: redundant rings; ``none`` is the only mode for one ring.
        clear_node_high_bit: of use only where node ids are not given.
        service_stanza: the study's stanza that hands Pacemaker to Corosync as a service, ``ver: 0``.
        drbd_set: how the set ``MS_DRBD`` and its roles are written, as a promotable ``clone`` or as the study's ``ms``.
        deep_monitor_interval_s: pause between two monitors of a guest that ask libvirt; 0 where all of them do.
        other_node_score: preference for the node that is not a guest's home.
    """

    name: str = "halab"
    transport: Transport = "knet"
    secauth: bool = True
    rrp_mode: RingMode = "none"
    clear_node_high_bit: bool = True
    service_stanza: bool = False
    token_ms: int = 3000
    token_retransmits_before_loss_const: int = 10
    join_ms: int = 60
    consensus_ms: int = 3600
    max_messages: int = 20
    drbd_set: DrbdSet = "clone"
    monitor_interval_s: int = 10
    deep_monitor_interval_s: int = 60
    monitor_timeout_s: int = 30
    start_timeout_s: int = 90
    stop_timeout_s: int = 90
    migrate_timeout_s: int = 240
    storage_timeout_s: int = 240
    migration_threshold: int = 5
    other_node_score: int = 100
