"""The frozen model of one lab: everything that rendering and bringing up need, fully resolved.

A topology document (:mod:`lab.core.topology`) is validated and resolved into a :class:`Lab`. Derived values (MAC and IP
addresses, UUIDs, object names) are computed by :mod:`lab.core.addressing`: one document, the same lab everywhere.

Units are part of the field names: ``_mib``, ``_ms``, ``_s``. Facts come from the study that the lab reproduces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from lab.core.cluster_model import Cluster
from lab.core.vlan import Vlan

Accelerator = Literal["kvm", "tcg"]
#: Who defines the nodes' domains on the host.
Driver = Literal["libvirt", "vagrant"]
ServiceKind = Literal["dns", "radius", "web", "telephony"]
BondMode = Literal["active-backup", "802.3ad"]
SwitchKind = Literal["bridge", "openvswitch"]
FencingMethod = Literal["fence_virt", "none"]
DrillName = Literal["power-off", "reboot", "maintenance", "live-migrate", "guest-crash"]


@dataclass(frozen=True)
class ImageSource:
    """Where an image comes from: ``recipe`` (baked), or a ``file``/``url`` checked against ``sha256``.

    ``system`` and, for Debian, ``suite`` say what is installed in it, see :mod:`lab.core.software`.
    """

    recipe: str = ""
    suite: str = "bookworm"
    system: str = "debian"
    file: str = ""
    url: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Node:
    """A hypervisor of the cluster.

    Args:
        name: host name; equals the ``on NAME`` section of the DRBD resource.
        index: 1-based position; node id in Corosync, ``index - 1`` in OCFS2.
        vcpus: virtual CPUs.
        memory_mib: memory in MiB.
        system_disk_mib: size of the system disk (an overlay on the baked image).
        storage_disk_mib: size of the extra disk that carries DRBD.
        image: what the system disk is based on.
        translation_cache_mib: limit of what QEMU keeps of translated code in, where it emulates; 0 for its own.
    """

    name: str
    index: int
    vcpus: int
    memory_mib: int
    system_disk_mib: int
    storage_disk_mib: int
    image: ImageSource
    translation_cache_mib: int = 2048


@dataclass(frozen=True)
class StudyFigures:
    """The reference environment's figures of a guest, recorded beside the scaled-down ones."""

    software: str = ""
    vcpus: int = 0
    memory_mib: int = 0
    disk_mib: int = 0
    availability_percent: float = 0.0


@dataclass(frozen=True)
class Guest:
    """A service guest that Pacemaker keeps running on one of the nodes.

    Args:
        name: as people write it, such as ``Passata``; the libvirt domain and the disk use :attr:`domain`.
        index: 1-based position; the number in the resource name ``VM_n``.
        home: name of the node it prefers.
        service: which of the services it runs.
        cpu_weight: its part of the node's processors against other guests', while they are short (``cpu.weight`` of
            cgroup v2).
        starts_first: started before the guests without it, where several are to start; they wait until it answers.
        vlan: number of the tagged VLAN that it lives in; 0 for the untagged service network.
    """

    name: str
    index: int
    home: str
    service: ServiceKind
    vcpus: int
    memory_mib: int
    disk_mib: int
    image: ImageSource
    cpu_weight: int = 100
    starts_first: bool = False
    study: StudyFigures = field(default_factory=StudyFigures)
    vlan: int = 0

    @property
    def domain(self) -> str:
        """Name of the libvirt domain inside the nodes, of its disk and of its host."""
        return self.name.lower()

    @property
    def resource(self) -> str:
        """Name of the Pacemaker resource."""
        return f"VM_{self.index}"


@dataclass(frozen=True)
class Network:
    """Subnets and the bond of the nodes.

    Args:
        service_subnet: the /24 of bond, bridge, guests and clients.
        management_subnet: the /24 of the third NIC; host-only, used by the tool and by fencing.
        bond_mode: ``active-backup`` on a plain Linux bridge, ``802.3ad`` where the switch speaks LACP.
        miimon_ms: link monitoring interval of the bond.
        xmit_hash_policy, lacp_rate: transmit hash policy of the bond, and 1 for fast LACP (both used by 802.3ad).
        zone: DNS zone that the lab's authoritative server answers for.
        switch: what joins the nodes on the host: a Linux bridge, or Open vSwitch with LACP and ``vlans`` (by number).
    """

    service_subnet: IPv4Network
    management_subnet: IPv4Network
    bond_mode: BondMode = "active-backup"
    miimon_ms: int = 100
    xmit_hash_policy: str = "layer3+4"
    lacp_rate: int = 1
    zone: str = "provider.example"
    switch: SwitchKind = "bridge"
    vlans: tuple[Vlan, ...] = ()


@dataclass(frozen=True)
class Storage:
    """LVM, DRBD and OCFS2 (names and ports of the study)."""

    volume_group: str = "vg0"
    logical_volume: str = "lvdrbd"
    resource: str = "vms"
    minor: int = 0
    minor_count: int = 16
    port: int = 7791
    protocol: str = "C"
    resync_rate: str = "50M"
    al_extents: int = 127
    ocfs2_cluster: str = "clusterocfs"
    ocfs2_port: int = 7777
    ocfs2_heartbeat_threshold: int = 8
    mount_point: str = "/var/lib/libvirt/images/ocfs"
    pool: str = "ocfs"


@dataclass(frozen=True)
class Fencing:
    """How a node is switched off by the other one.

    Args:
        method: ``fence_virt`` through fence_virtd on the lab's management gateway, or ``none`` (loses data).
        port: TCP port of fence_virtd on the management gateway.
        tells_ocfs2: whether OCFS2 hears at once that a node was fenced, and does not count its missed heartbeats.
    """

    method: FencingMethod = "fence_virt"
    port: int = 1229
    tells_ocfs2: bool = True


@dataclass(frozen=True)
class Timing:
    """The declared factors of slow machines; the accelerator chooses those of :class:`Lab`.

    Args:
        scale_under_tcg, scale_under_kvm: :attr:`Lab.time_scale` where the nodes' processors are emulated, and under
            hardware virtualisation.
        detection_under_tcg, detection_under_kvm: :attr:`Lab.detection_scale`, likewise.
    """

    scale_under_tcg: float = 3.0
    scale_under_kvm: float = 1.0
    detection_under_tcg: float = 1.5
    detection_under_kvm: float = 1.0


@dataclass(frozen=True)
class Probes:
    """How often a client asks each machine while a lab is measured; a rate of 0 asks nothing of that kind.

    Times and rates are a client's own and are not stretched by :attr:`Lab.time_scale`.

    Args:
        dns_per_s, radius_authentication_per_s, radius_accounting_per_s, http_read_per_s, http_write_per_s,
            sip_options_per_s: requests per second to each guest of that service.
        icmp_per_s: echoes per second to each guest and each node.
        timeout_ms: how long an answer is waited for.
        share_under_tcg: what the rates are multiplied by where the nodes' processors are emulated. A request costs an
            emulated guest so much that the full rates would measure themselves.
    """

    icmp_per_s: float = 10.0
    dns_per_s: float = 10.0
    radius_authentication_per_s: float = 5.0
    radius_accounting_per_s: float = 5.0
    http_read_per_s: float = 5.0
    http_write_per_s: float = 5.0
    sip_options_per_s: float = 2.0
    timeout_ms: int = 1000
    share_under_tcg: float = 0.2


@dataclass(frozen=True)
class Objective:
    """The longest outage that a service may have in a drill; wall-clock time, never stretched.

    Args:
        service: kind of guest service.
        drill: name of the drill.
        limit_ms: longest outage allowed, milliseconds; 0 allows none.
    """

    service: ServiceKind
    drill: DrillName
    limit_ms: int


@dataclass(frozen=True)
class Lab:
    """One lab, fully resolved.

    Args:
        name: ``[a-z][a-z0-9]{0,9}``; carried by everything the lab owns on the host.
        accelerator: what the nodes run under; decided by pre-flight, ``tcg`` in a plain rendering.
        time_scale: the factor by which the limits of operations and the tool's own deadlines are stretched; 1 under
            KVM. They cost nothing as long as everything works.
        detection_scale: the factor of the times after which a silent node counts as dead. Every failover waits for
            these, so they are stretched no further than a busy machine needs.
        topology_file: where the document came from, for messages.
        timing: the factors among which the accelerator chooses, see :func:`lab.core.topology.with_accelerator`.
        probes: how often a client asks while the lab is measured.
        objectives: longest outages allowed, in the order of the document.
    """

    name: str
    nodes: tuple[Node, ...]
    guests: tuple[Guest, ...]
    network: Network
    storage: Storage
    cluster: Cluster
    fencing: Fencing
    accelerator: Accelerator = "tcg"
    time_scale: float = 1.0
    detection_scale: float = 1.0
    topology_file: str = ""
    timing: Timing = field(default_factory=Timing)
    probes: Probes = field(default_factory=Probes)
    objectives: tuple[Objective, ...] = ()

    def node(self, name: str) -> Node:
        """The node of this name; raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the nodes in order."""
        return tuple(node.name for node in self.nodes)

    def start_predecessors(self, guest: Guest) -> tuple[Guest, ...]:
        """The guests that are started before this one, where several are to start."""
        return () if guest.starts_first else tuple(other for other in self.guests if other.starts_first)


@dataclass(frozen=True)
class Secrets:
    """The random values of one lab; an input of rendering, made once, kept apart with mode 0600.

    Args:
        login_private_key, login_public_key: OpenSSH key of the tool and the person at the lab (root and ``lab``).
        cluster_private_key, cluster_public_key: root's key between the nodes (live migration over SSH).
        host_private_keys, host_public_keys: per node name, the ed25519 SSH host key; also ``guests`` for all guests.
        corosync_authkey: 256 random bytes for ``/etc/corosync/authkey``.
        fence_key: 4096 random bytes at most, shared with fence_virtd (``fence_xvm.key``).
        drbd_shared_secret: at most 64 characters (drbd.conf(5), ``shared-secret``).
        radius_secret: shared secret of RADIUS clients.
        radius_password: password of the test subscriber ``subscriber``.
        database_password: MariaDB password of the web system.
        sip_passwords: per extension (``"101"``, ``"102"``), its password.
        console_password: password of root on consoles.
    """

    login_private_key: str
    login_public_key: str
    cluster_private_key: str
    cluster_public_key: str
    host_private_keys: dict[str, str]
    host_public_keys: dict[str, str]
    corosync_authkey: bytes
    fence_key: bytes
    drbd_shared_secret: str
    radius_secret: str
    radius_password: str
    database_password: str
    sip_passwords: dict[str, str]
    console_password: str


@dataclass(frozen=True)
class LabImages:
    """Where the baked images of a lab lie; file names are those of volumes in the cache pool.

    Args:
        node_volume: per node name, the image that its system disk is an overlay of (qcow2, or raw without that ending).
        kernel_volume, initrd_volume: per node name, the kernel and initrd for direct kernel boot.
        guest_store_volume: a plain tar that every node sees as a read-only disk with serial ``gueststore``.
        cache_pool: name of the cache pool.
        cache_pool_path: its directory on the host.
    """

    node_volume: dict[str, str]
    kernel_volume: dict[str, str]
    initrd_volume: dict[str, str]
    guest_store_volume: str
    cache_pool: str = "ha-lab-cache"
    cache_pool_path: str = "/var/lib/libvirt/images/ha-lab-cache"


def host(network: IPv4Network, number: int) -> IPv4Address:
    """The address ``number`` of a subnet, counted from its network address."""
    return network.network_address + number
