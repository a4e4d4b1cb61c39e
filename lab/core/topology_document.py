"""The topology document as it is written: sections, keys, allowed values, defaults and what each of them means.

These pydantic models hold the form only; what the parts mean together is checked in :mod:`lab.core.topology_checks`,
and :mod:`lab.core.topology` turns the whole into a :class:`lab.core.model.Lab`. Defaults are those of the model, so
they are written down once. The descriptions here are what editors show through :mod:`lab.core.schema`.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from lab.core import model, units
from lab.core.topology_cluster import ClusterDocument
from lab.core.topology_measuring import ObjectivesDocument, ProbesDocument
from lab.core.topology_section import Section, setting
from lab.core.topology_values import (
    DIRECTORY,
    FILE_PATH,
    GUEST_NAME,
    IMAGE_NAME,
    LAB_NAME,
    NODE_NAME,
    OCFS2_NAME,
    PROTOCOL,
    SHA256,
    STORAGE_NAME,
    URL,
    ZONE,
    Rate,
    Subnet,
    milliseconds,
    size,
)

DEFAULT_POOL = IPv4Network("10.64.0.0/10")
Suite = Literal["bullseye", "bookworm", "trixie"]
System = Literal["debian", "ubuntu-14.04", "ubuntu-22.04", "ubuntu-24.04"]
HashPolicy = Literal["layer2", "layer2+3", "layer3+4", "encap2+3", "encap3+4"]


class LabDocument(Section):
    """The lab itself."""

    name: Annotated[str, LAB_NAME] = setting(
        "Name of the lab: at most ten lower-case letters and digits. Everything the lab owns on the host carries it, "
        "and subnets and MAC addresses follow from it."
    )


class NodeDocument(Section):
    """A hypervisor of the cluster."""

    vcpus: int = setting("Virtual CPUs of the node.", 1, ge=1, le=64)
    memory: Annotated[int, size(1024, 1024**2)] = setting(
        "Memory of the node. It has to hold every guest at once, as after a failure of the other node.", 2560, "MiB"
    )
    system_disk: Annotated[int, size(4096, 1024**2)] = setting(
        "Size of the system disk, an overlay on the baked image that grows as it is written.", 8192, "MiB"
    )
    storage_disk: Annotated[int, size(1024, 16 * 1024**2)] = setting(
        "Size of the extra disk that carries LVM, DRBD and OCFS2; the same on both nodes.", 8192, "MiB"
    )
    image: Annotated[str, IMAGE_NAME] = setting("Name of the node's image in the section images.", "node")
    translation_cache: Annotated[int, size(0, 2048)] = setting(
        "Where processors are emulated, the most memory that QEMU keeps the node's translated code in; what is full is "
        "thrown away as a whole. 0 MiB for QEMU's own choice, an eighth of the host's memory and at most 1 GiB.",
        model.Node.translation_cache_mib,
        "MiB",
    )


class StudyDocument(Section):
    """The reference environment's figures of a guest; recorded, never used to build anything."""

    software: str = setting("Software that ran the service there.", "")
    vcpus: int = setting("Virtual CPUs of the guest there.", 0, ge=0, le=1024)
    memory: Annotated[int, size(0, 1024**2)] = setting("Memory of the guest there.", 0, "MiB")
    disk: Annotated[int, size(0, 1024**3)] = setting("Disk of the guest there.", 0, "MiB")
    availability_percent: float = setting("Its availability in 2015, in percent.", 0.0, ge=0, le=100)


class GuestDocument(Section):
    """A guest that Pacemaker keeps running on one of the nodes."""

    service: model.ServiceKind = setting("The service it runs, and is asked for by a client.")
    home: Annotated[str, NODE_NAME] = setting("Name of the node it prefers.")
    vcpus: int = setting("Virtual CPUs of the guest.", 1, ge=1, le=16)
    cpu_weight: int = setting(
        "Its part of the node's processors while they are short, as after a failover; an ordinary guest has 100.",
        model.Guest.cpu_weight,
        ge=1,
        le=10_000,
    )
    starts_first: bool = setting(
        "Where several guests are to start at once, those without this wait until it answers.",
        model.Guest.starts_first,
    )
    memory: Annotated[int, size(64, 256 * 1024)] = setting("Memory of the guest.", 192, "MiB")
    disk: Annotated[int, size(256, 1024**2)] = setting("Size of its disk on the shared storage.", 1024, "MiB")
    image: Annotated[str, IMAGE_NAME] | None = setting(
        "Name of its image in the section images; guest- and the service when left out.", None
    )
    vlan: int | None = setting(
        "Tagged VLAN of its network card, in a /24 of its own; needs network.switch openvswitch.",
        None,
        ge=1,
        le=4094,
    )
    study: StudyDocument = setting("The reference environment's figures of this guest.", StudyDocument())


class ImageDocument(Section):
    """Where an image comes from: a recipe to bake, or a file or an address with its SHA-256."""

    recipe: Annotated[str, IMAGE_NAME] | None = setting("Recipe it is baked from.", None)
    suite: Suite = setting("Debian suite of the image; it also chooses the kernel of a guest.", "bookworm")
    system: System = setting("What a ready image of a node holds: debian, or an Ubuntu by its release.", "debian")
    file: Annotated[str, FILE_PATH] | None = setting("Absolute path of a ready image; needs sha256.", None)
    url: Annotated[str, URL] | None = setting("Address of a ready image; needs sha256.", None)
    sha256: Annotated[str, SHA256] | None = setting("SHA-256 of file or url, 64 hexadecimal digits.", None)


class NetworkDocument(Section):
    """Subnets, switch, and the bond of the nodes."""

    subnet_pool: Annotated[IPv4Network, Subnet(longest_prefix=23)] = setting(
        "Private network from which the lab's two subnets are taken, chosen by the lab's name.", DEFAULT_POOL
    )
    service_subnet: Annotated[IPv4Network, Subnet(only_prefix=24)] | None = setting(
        "Pins the /24 of bond, bridge, guests and clients; two labs with the same one cannot run side by side.", None
    )
    management_subnet: Annotated[IPv4Network, Subnet(only_prefix=24)] | None = setting(
        "Pins the /24 of the management network cards, used by the tool and by fencing only.", None
    )
    switch: model.SwitchKind = setting(
        "What joins the nodes on the host: a Linux bridge, or Open vSwitch, which speaks LACP and knows VLANs.",
        model.Network.switch,
    )
    bond_mode: model.BondMode = setting(
        "Mode of the bond; 802.3ad needs switch openvswitch, because a bridge does not speak LACP.",
        model.Network.bond_mode,
    )
    miimon: Annotated[int, milliseconds(10, 10_000)] = setting(
        "Link monitoring interval of the bond.", model.Network.miimon_ms, "ms"
    )
    xmit_hash_policy: HashPolicy = setting(
        "Transmit hash policy of the bond, used by 802.3ad.", model.Network.xmit_hash_policy
    )
    lacp_rate: Literal[0, 1] = setting("LACP rate of the bond, 1 for fast; used by 802.3ad.", model.Network.lacp_rate)
    zone: Annotated[str, ZONE] = setting("DNS zone that the lab's own server answers for.", model.Network.zone)


class StorageDocument(Section):
    """LVM, DRBD and OCFS2."""

    volume_group: Annotated[str, STORAGE_NAME] = setting("LVM volume group.", model.Storage.volume_group)
    logical_volume: Annotated[str, STORAGE_NAME] = setting("Logical volume under DRBD.", model.Storage.logical_volume)
    resource: Annotated[str, STORAGE_NAME] = setting("Name of the DRBD resource.", model.Storage.resource)
    minor: int = setting("Number of the device, 0 for /dev/drbd0.", model.Storage.minor, ge=0, le=254)
    minor_count: int = setting("DRBD devices the module is prepared for.", model.Storage.minor_count, ge=1, le=255)
    port: int = setting("TCP port of the replication.", model.Storage.port, ge=1024, le=65535)
    protocol: Annotated[str, PROTOCOL] = setting("Replication protocol; dual-primary needs C.", model.Storage.protocol)
    resync_rate: Annotated[str, Rate()] = setting(
        "Rate of a resynchronisation.",
        model.Storage.resync_rate,
        written=units.drbd_rate_text(model.Storage.resync_rate),
    )
    al_extents: int = setting(
        "Areas of 4 MiB that are being written; what a lost primary has of them is resynchronised (drbd.conf(5)).",
        model.Storage.al_extents,
        ge=67,
        le=65534,
    )
    ocfs2_cluster: Annotated[str, OCFS2_NAME] = setting("Name of the OCFS2 cluster.", model.Storage.ocfs2_cluster)
    ocfs2_port: int = setting("TCP port between the OCFS2 nodes.", model.Storage.ocfs2_port, ge=1024, le=65535)
    ocfs2_heartbeat_threshold: int = setting(
        "Disk heartbeats missed before a node counts as dead, two seconds each: (threshold - 1) * 2 s.",
        model.Storage.ocfs2_heartbeat_threshold,
        ge=2,
        le=1801,
    )
    mount_point: Annotated[str, DIRECTORY] = setting("Where OCFS2 is mounted on the nodes.", model.Storage.mount_point)
    pool: Annotated[str, STORAGE_NAME] = setting("Name of the libvirt pool on the mount point.", model.Storage.pool)


class FencingDocument(Section):
    """How a node that does not answer is switched off."""

    method: model.FencingMethod = setting(
        "fence_virt switches the node off through the host; none leaves the storage unprotected and loses data.",
        model.Fencing.method,
    )
    port: int = setting("TCP port of fence_virtd on the management network.", model.Fencing.port, ge=1024, le=65535)
    tells_ocfs2: bool = setting(
        "Whether OCFS2 hears at once that a node was fenced; otherwise it counts the node's missed heartbeats.",
        model.Fencing.tells_ocfs2,
    )


class TimingDocument(Section):
    """Factors for the cluster's times, chosen by the accelerator and always shown."""

    scale_under_tcg: float = setting(
        "Factor of operations' limits where processors are emulated.", model.Timing.scale_under_tcg, ge=1, le=100
    )
    scale_under_kvm: float = setting(
        "The same under hardware virtualisation.", model.Timing.scale_under_kvm, ge=1, le=100
    )
    detection_under_tcg: float = setting(
        "Factor of the times until a silent node counts as dead, where processors are emulated.",
        model.Timing.detection_under_tcg,
        ge=1,
        le=100,
    )
    detection_under_kvm: float = setting(
        "The same under hardware virtualisation.", model.Timing.detection_under_kvm, ge=1, le=100
    )


class TopologyDocument(Section):
    """Topology of a high-availability lab: two hypervisors and the guests they keep running."""

    lab: LabDocument = setting("The lab itself.")
    nodes: dict[Annotated[str, NODE_NAME], NodeDocument] = setting(
        "The two hypervisors, by host name.", names=NODE_NAME
    )
    guests: dict[Annotated[str, GUEST_NAME], GuestDocument] = setting(
        "The service guests by name, at most eight; their order gives the resources VM_1, VM_2 and so on.",
        names=GUEST_NAME,
    )
    images: dict[Annotated[str, IMAGE_NAME], ImageDocument] = setting(
        "Images by name; node, guest-dns, guest-radius, guest-web and guest-telephony are known without an entry.",
        {},
        names=IMAGE_NAME,
    )
    network: NetworkDocument = setting("Subnets, switch and bond.", NetworkDocument())
    storage: StorageDocument = setting("LVM, DRBD and OCFS2.", StorageDocument())
    cluster: ClusterDocument = setting("Corosync and Pacemaker.", ClusterDocument())
    fencing: FencingDocument = setting("Fencing of the nodes.", FencingDocument())
    timing: TimingDocument = setting("Factors for slow machines.", TimingDocument())
    probes: ProbesDocument = setting("Rates of the requests that a lab is measured with.", ProbesDocument())
    objectives: ObjectivesDocument = setting("Longest outages allowed in drills.", ObjectivesDocument())


#: Images that need no entry in the document.
BUILT_IN_IMAGES = {
    "node": ImageDocument(recipe="node"),
    "guest-dns": ImageDocument(recipe="guest-dns"),
    "guest-radius": ImageDocument(recipe="guest-radius"),
    "guest-web": ImageDocument(recipe="guest-web"),
    "guest-telephony": ImageDocument(recipe="guest-telephony", suite="bullseye"),
}
