"""What the parts of a topology have to be to one another: names, references, capacity, addresses, timings.

Every check looks at the values it needs only if they were understood, so that one mistake gives one problem and a
document with many mistakes shows them all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from ipaddress import IPv4Network

from lab.core.addressing import slot
from lab.core.errors import Problem
from lab.core.topology_document import BUILT_IN_IMAGES, GuestDocument, ImageDocument, NetworkDocument, TopologyDocument
from lab.core.topology_switch import switch_rule
from lab.core.topology_understood import Understood
from lab.core.units import shortened
from lab.core.yaml_text import Path

NODES = 2
MOST_GUESTS = 8

#: Memory of a node for its own system, cluster and storage daemons, and the page cache they need.
HOST_OS_MIB = 768
#: Memory of a guest's QEMU process beside the guest's own.
GUEST_PROCESS_MIB = 64
#: OCFS2's journals and metadata, DRBD's metadata, LVM's header, and the guests' kernels.
STORAGE_FIXED_MIB = 512
#: Personal archive and qcow2 metadata of one guest.
STORAGE_PER_GUEST_MIB = 16
#: How far the storage disks may differ; DRBD uses the smaller one.
STORAGE_DIFFERENCE = 0.10


def check(understood: Understood) -> list[Problem]:
    """Everything that is wrong between the parts of a document."""
    return [problem for rule in RULES for problem in rule(understood)]


def nearest(word: str, known: Sequence[str]) -> str:
    """``Did you mean 'x'? `` as a start of a remedy, or an empty string when nothing is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(word.lower(), list(by_lower), n=1)
    return f"Did you mean '{by_lower[found[0]]}'? " if found else ""


def image_name(guest: GuestDocument) -> str:
    """Name of a guest's image in the section images."""
    return guest.image or f"guest-{guest.service}"


def images_of(document: TopologyDocument) -> dict[str, ImageDocument]:
    """All images that can be referred to."""
    return {**BUILT_IN_IMAGES, **document.images}


def subnets(network: NetworkDocument, lab_name: str) -> tuple[IPv4Network, IPv4Network]:
    """The service and the management subnet of a lab of this name."""
    service, management = slot(lab_name, network.subnet_pool)
    return network.service_subnet or service, network.management_subnet or management


def _counts(has: Understood) -> Iterator[Problem]:
    nodes, guests = len(has.names["nodes"]), len(has.names["guests"])
    if ("nodes",) not in has.broken and nodes != NODES:
        yield has.problem(
            ("nodes",),
            f"{nodes} node{'s' if nodes != 1 else ''} given, a lab has exactly {NODES}",
            f"Describe exactly {NODES} nodes",
        )
    if guests > MOST_GUESTS:
        yield has.problem(
            ("guests",), f"{guests} guests given, a lab has at most {MOST_GUESTS}", "Remove the guests beyond that"
        )


def _names(has: Understood) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name in has.names["guests"]:
        domain = name.lower()
        if domain in seen:
            yield has.problem(
                ("guests", name),
                f"{shortened(name)} and {shortened(seen[domain])} differ in case only, both are one domain",
                "Rename one of the two guests",
            )
        elif domain in has.names["nodes"]:
            yield has.problem(
                ("guests", name), f"the guest {shortened(name)} has the name of a node", "Rename the guest or the node"
            )
        seen.setdefault(domain, name)


def _homes(has: Understood) -> Iterator[Problem]:
    nodes = has.names["nodes"]
    for name, guest in has.document.guests.items():
        path: Path = ("guests", name, "home")
        if nodes and path not in has.broken and guest.home not in nodes:
            known = ", ".join(has.document.nodes)
            hint = nearest(guest.home, list(has.document.nodes))
            yield has.problem(path, f"there is no node '{guest.home}'", f"{hint}The nodes are: {known}")


def _image_references(has: Understood) -> Iterator[Problem]:
    images = images_of(has.document)
    wanted: list[tuple[Path, str]] = [
        (("nodes", name, "image"), node.image) for name, node in has.document.nodes.items()
    ]
    wanted += [(("guests", name, "image"), image_name(guest)) for name, guest in has.document.guests.items()]
    if has.sound("images"):
        for path, image in wanted:
            if path not in has.broken and image not in images:
                hint = nearest(image, list(images))
                known = ", ".join(sorted(images))
                yield has.problem(path, f"there is no image '{image}'", f"{hint}The images are: {known}")
    if has.sound("nodes", "image") and has.sound("guests", "image", "service"):
        used = {image for _, image in wanted} | set(BUILT_IN_IMAGES)
        for image in has.document.images:
            if image not in used:
                yield has.problem(
                    ("images", image),
                    f"no node and no guest uses the image '{image}'",
                    f"{nearest(image, sorted(used))}Refer to it by a key image, or remove it",
                )


def _image_sources(has: Understood) -> Iterator[Problem]:
    for name, image in has.document.images.items():
        if not all(("images", name, key) not in has.broken for key in ("recipe", "file", "url", "sha256")):
            continue
        given = [key for key in ("recipe", "file", "url") if getattr(image, key) is not None]
        if len(given) != 1:
            what = " and ".join(given) + " are given" if given else "no source is given"
            yield has.problem(("images", name), what, "Give exactly one of recipe, file and url")
        elif given[0] != "recipe" and image.sha256 is None:
            yield has.problem(
                ("images", name, given[0]),
                f"a {given[0]} without sha256 would be used unverified",
                f"Add sha256 as printed by 'sha256sum {image.file or 'IMAGE'}'",
            )
        elif given[0] == "recipe" and image.sha256 is not None:
            yield has.problem(
                ("images", name, "sha256"),
                "a baked image has no SHA-256 beforehand",
                "Remove sha256, or give file or url",
            )


def _subnets(has: Understood) -> Iterator[Problem]:
    keys = ("subnet_pool", "service_subnet", "management_subnet")
    if not has.sound("network", *keys) or not has.lab_name:
        return
    network = has.document.network
    service, management = subnets(network, has.lab_name)
    if service.overlaps(management):
        key = "management_subnet" if network.management_subnet else "service_subnet"
        yield has.problem(
            ("network", key),
            f"the service subnet {service} and the management subnet {management} overlap",
            "Give two different /24 subnets, or leave both out",
        )


def _disks(has: Understood) -> Iterator[Problem]:
    if not has.sound("nodes", "storage_disk") or not has.document.nodes:
        return
    sizes = {name: node.storage_disk for name, node in has.document.nodes.items()}
    small = min(sizes, key=lambda name: sizes[name])
    large = max(sizes, key=lambda name: sizes[name])
    if sizes[large] - sizes[small] > sizes[large] * STORAGE_DIFFERENCE:
        yield has.problem(
            ("nodes", small, "storage_disk"),
            f"{sizes[small]} MiB here and {sizes[large]} MiB on '{large}' differ too much, DRBD uses only the smaller",
            "Give both nodes storage disks of the same size",
        )
    if not has.sound("guests", "disk"):
        return
    guests = has.document.guests.values()
    disks = sum(guest.disk for guest in guests)
    overhead = STORAGE_FIXED_MIB + STORAGE_PER_GUEST_MIB * len(guests)
    if disks + overhead > sizes[small]:
        yield has.problem(
            ("nodes", small, "storage_disk"),
            f"{sizes[small]} MiB cannot hold the guests: their disks need {disks} MiB, the file system {overhead} MiB",
            f"Make the storage disks at least {disks + overhead} MiB, or the guests' disks smaller",
        )


def _memory(has: Understood) -> Iterator[Problem]:
    if not has.sound("guests", "memory"):
        return
    guests = has.document.guests.values()
    memory = sum(guest.memory for guest in guests)
    overhead = GUEST_PROCESS_MIB * len(guests)
    needed = memory + overhead + HOST_OS_MIB
    for name, node in has.document.nodes.items():
        if ("nodes", name, "memory") not in has.broken and ("nodes", name) not in has.broken and node.memory < needed:
            yield has.problem(
                ("nodes", name, "memory"),
                f"{node.memory} MiB cannot hold all guests after a failure of the other node: the guests need "
                f"{memory} MiB, their processes {overhead} MiB, the node's own system {HOST_OS_MIB} MiB",
                f"Give the node at least {needed} MiB, or the guests less",
            )


def _storage(has: Understood) -> Iterator[Problem]:
    storage = has.document.storage
    if has.sound("storage", "port", "ocfs2_port") and storage.port == storage.ocfs2_port:
        yield has.problem(
            ("storage", "ocfs2_port"), f"DRBD listens on port {storage.port} too", "Give the two different ports"
        )
    if has.sound("storage", "minor", "minor_count") and storage.minor >= storage.minor_count:
        yield has.problem(
            ("storage", "minor"),
            f"minor {storage.minor} does not exist with minor_count {storage.minor_count}",
            "Make minor smaller than minor_count",
        )


def _monitors(has: Understood) -> Iterator[Problem]:
    cluster = has.document.cluster
    deep_s, often_s = cluster.deep_monitor_interval, cluster.monitor_interval
    if has.sound("cluster", "monitor_interval", "deep_monitor_interval") and 0 < deep_s <= often_s:
        yield has.problem(
            ("cluster", "deep_monitor_interval"),
            f"{deep_s} s is not longer than monitor_interval, {often_s} s",
            "Make it longer, or 0 s to have libvirt asked at every monitor",
        )


def _totem(has: Understood) -> Iterator[Problem]:
    cluster = has.document.cluster
    if has.sound("cluster", "token", "consensus") and cluster.consensus * 10 < cluster.token * 12:
        smallest = -(-cluster.token * 12 // 10)
        yield has.problem(
            ("cluster", "consensus"),
            f"consensus {cluster.consensus} ms is less than 1.2 times the token, {cluster.token} ms",
            f"Make consensus at least {smallest} ms",
        )
    # Corosync refuses to start when the pause between two retransmits, less its own margin, falls under 30 ms.
    between_ms = int(cluster.token / (cluster.token_retransmits_before_loss_const + 0.2))
    if has.sound("cluster", "token", "token_retransmits_before_loss_const") and int(between_ms * 0.8 - 10) < 30:
        yield has.problem(
            ("cluster", "token_retransmits_before_loss_const"),
            f"{cluster.token_retransmits_before_loss_const} retransmits within a token of {cluster.token} ms are too "
            "close to one another for Corosync",
            "Make token longer or the retransmits fewer",
        )


#: All checks, in the order of the document.
RULES: tuple[Callable[[Understood], Iterator[Problem]], ...] = (
    _counts,
    _names,
    _homes,
    _image_references,
    _image_sources,
    _subnets,
    switch_rule,
    _disks,
    _memory,
    _storage,
    _totem,
    _monitors,
)
