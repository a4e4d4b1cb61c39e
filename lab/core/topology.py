"""A topology document, YAML text, into the frozen :class:`lab.core.model.Lab`, with all its problems at once."""

from __future__ import annotations

from dataclasses import replace

from lab.core import model
from lab.core.cluster_model import Cluster
from lab.core.errors import InputError, Problem
from lab.core.topology_checks import check, image_name, images_of, subnets
from lab.core.topology_cluster import ClusterDocument
from lab.core.topology_document import (
    GuestDocument,
    ImageDocument,
    NodeDocument,
    StorageDocument,
    TopologyDocument,
)
from lab.core.topology_errors import understand
from lab.core.topology_measuring import ObjectivesDocument, ProbesDocument
from lab.core.topology_software import check_software
from lab.core.topology_switch import vlans_of
from lab.core.topology_understood import NAMED_SECTIONS, Understood
from lab.core.topology_values import LAB_NAME
from lab.core.yaml_text import Path, Reading, read_yaml

#: Memory of a node's QEMU process on the host beside the node's own; under TCG mostly the buffer of translated code.
NODE_PROCESS_MIB = 512
#: What a node writes to its system disk until the lab is up, and beyond in ordinary use.
SYSTEM_OVERLAY_MIB = 1024
#: What a guest's disk takes on each of the two storage disks in ordinary use (the disks grow as they are written).
GUEST_OVERLAY_MIB = 512


def parse_topology(text: str, *, source: str, name: str | None = None) -> model.Lab:
    """The lab that a topology document describes, for the TCG accelerator until :func:`with_accelerator` says else.

    Args:
        text: the YAML document.
        source: the file it came from, for messages.
        name: name of the lab instead of the document's; the subnets follow it unless the document pins them.

    Raises:
        InputError: with every problem of the document, in the order of its lines.
    """
    reading = read_yaml(text)
    problems = list(reading.problems)
    document: TopologyDocument | None = None
    broken: frozenset[Path] = frozenset()
    override = _name_problems(name)
    if reading.readable:
        if name is not None:
            _supply_name(reading, "lab" if override else name)
        document, faults, broken = understand(reading)
        problems += faults
    problems += override
    if document is not None:
        understood = not override and ("lab",) not in broken and ("lab", "name") not in broken
        lab_name = name or document.lab.name if understood else ""
        seen = Understood(document, reading, broken, lab_name, _names(reading))
        problems += [*check(seen), *check_software(seen)]
    if problems or document is None:
        raise InputError(source, sorted(problems, key=lambda problem: problem.line))
    return _resolved(document, name or document.lab.name, source)


def with_accelerator(lab: model.Lab, accelerator: model.Accelerator) -> model.Lab:
    """The lab under an accelerator: its factors are those the topology declares for it."""
    timing = lab.timing
    if accelerator == "kvm":
        scale, detection = timing.scale_under_kvm, timing.detection_under_kvm
    else:
        scale, detection = timing.scale_under_tcg, timing.detection_under_tcg
    return replace(lab, accelerator=accelerator, time_scale=scale, detection_scale=detection)


def check_against_host(lab: model.Lab, *, host_memory_mib: int, host_disk_mib: int | None) -> list[Problem]:
    """What the lab needs and the host does not have.

    Args:
        lab: the lab.
        host_memory_mib: memory the host can give to it, MiB.
        host_disk_mib: free disk space where its volumes go, MiB; None when unknown. Volumes are thin, so what counts
            is what a lab writes, not the size of its disks.

    Returns:
        Problems, empty when it fits.
    """
    problems = []
    memory_mib = sum(node.memory_mib + NODE_PROCESS_MIB for node in lab.nodes)
    if memory_mib > host_memory_mib:
        problems.append(
            Problem(
                "nodes",
                f"the nodes need {memory_mib} MiB of memory (their processes included), "
                f"the host has {host_memory_mib} MiB",
                "Give the nodes less memory, or end something else on the host",
            )
        )
    disk_mib = len(lab.nodes) * (
        SYSTEM_OVERLAY_MIB + sum(min(guest.disk_mib, GUEST_OVERLAY_MIB) for guest in lab.guests)
    )
    if host_disk_mib is not None and disk_mib > host_disk_mib:
        problems.append(
            Problem(
                "nodes",
                f"the nodes will write about {disk_mib} MiB, the host has {host_disk_mib} MiB of free disk space",
                "Free disk space for libvirt's images, or empty the image cache",
            )
        )
    return problems


def _name_problems(name: str | None) -> list[Problem]:
    if name is None:
        return []
    try:
        LAB_NAME.parse(name)
    except ValueError as error:
        context = getattr(error, "context", None) or {}
        return [Problem("--name", context["message"], context["remedy"])]
    return []


def _supply_name(reading: Reading, name: str) -> None:
    """Let a name from outside stand in for a missing one; one that is in the document stays, and is still checked."""
    data = reading.data
    if isinstance(data, dict):
        section = data.get("lab")
        if section is None or isinstance(section, dict):
            data["lab"] = {"name": name, **(section or {})}


def _names(reading: Reading) -> dict[str, tuple[str, ...]]:
    sections = reading.data if isinstance(reading.data, dict) else {}
    members = {section: sections.get(section) for section in NAMED_SECTIONS}
    return {section: tuple(names) if isinstance(names, dict) else () for section, names in members.items()}


def _resolved(document: TopologyDocument, name: str, source: str) -> model.Lab:
    images = images_of(document)
    network = document.network
    service_subnet, management_subnet = subnets(network, name)
    lab = model.Lab(
        name=name,
        nodes=tuple(
            _node(node_name, index, node, images[node.image])
            for index, (node_name, node) in enumerate(document.nodes.items(), start=1)
        ),
        guests=tuple(
            _guest(guest_name, index, guest, images[image_name(guest)])
            for index, (guest_name, guest) in enumerate(document.guests.items(), start=1)
        ),
        network=model.Network(
            service_subnet=service_subnet,
            management_subnet=management_subnet,
            bond_mode=network.bond_mode,
            miimon_ms=network.miimon,
            xmit_hash_policy=network.xmit_hash_policy,
            lacp_rate=network.lacp_rate,
            zone=network.zone,
            switch=network.switch,
            vlans=vlans_of(document, name, service_subnet, management_subnet),
        ),
        storage=_storage(document.storage),
        cluster=_cluster(document.cluster),
        fencing=model.Fencing(**document.fencing.model_dump()),
        topology_file=source,
        timing=model.Timing(
            document.timing.scale_under_tcg,
            document.timing.scale_under_kvm,
            document.timing.detection_under_tcg,
            document.timing.detection_under_kvm,
        ),
        probes=_probes(document.probes),
        objectives=_objectives(document.objectives),
    )
    return with_accelerator(lab, "tcg")


def _image(image: ImageDocument) -> model.ImageSource:
    return model.ImageSource(
        recipe=image.recipe or "",
        suite=image.suite,
        system=image.system,
        file=image.file or "",
        url=image.url or "",
        sha256=image.sha256 or "",
    )


def _node(name: str, index: int, node: NodeDocument, image: ImageDocument) -> model.Node:
    return model.Node(
        name=name,
        index=index,
        vcpus=node.vcpus,
        memory_mib=node.memory,
        system_disk_mib=node.system_disk,
        storage_disk_mib=node.storage_disk,
        image=_image(image),
        translation_cache_mib=node.translation_cache,
    )


def _guest(name: str, index: int, guest: GuestDocument, image: ImageDocument) -> model.Guest:
    study = guest.study
    return model.Guest(
        name=name,
        index=index,
        home=guest.home,
        service=guest.service,
        vcpus=guest.vcpus,
        cpu_weight=guest.cpu_weight,
        starts_first=guest.starts_first,
        memory_mib=guest.memory,
        disk_mib=guest.disk,
        image=_image(image),
        study=model.StudyFigures(
            software=study.software,
            vcpus=study.vcpus,
            memory_mib=study.memory,
            disk_mib=study.disk,
            availability_percent=study.availability_percent,
        ),
        vlan=guest.vlan or 0,
    )


def _storage(storage: StorageDocument) -> model.Storage:
    return model.Storage(**storage.model_dump())


def _cluster(cluster: ClusterDocument) -> Cluster:
    return Cluster(
        name=cluster.name,
        transport=cluster.transport,
        secauth=cluster.secauth,
        rrp_mode=cluster.rrp_mode,
        clear_node_high_bit=cluster.clear_node_high_bit,
        service_stanza=cluster.service_stanza,
        drbd_set=cluster.drbd_set,
        token_ms=cluster.token,
        token_retransmits_before_loss_const=cluster.token_retransmits_before_loss_const,
        join_ms=cluster.join,
        consensus_ms=cluster.consensus,
        max_messages=cluster.max_messages,
        monitor_interval_s=cluster.monitor_interval,
        deep_monitor_interval_s=cluster.deep_monitor_interval,
        monitor_timeout_s=cluster.monitor_timeout,
        start_timeout_s=cluster.start_timeout,
        stop_timeout_s=cluster.stop_timeout,
        migrate_timeout_s=cluster.migrate_timeout,
        storage_timeout_s=cluster.storage_timeout,
        migration_threshold=cluster.migration_threshold,
        other_node_score=cluster.other_node_score,
    )


def _probes(probes: ProbesDocument) -> model.Probes:
    kinds = probes.model_dump(exclude={"timeout", "share_under_tcg"})
    rates = {f"{kind}_per_s": per_hour / 3600 for kind, per_hour in kinds.items()}
    return model.Probes(**rates, timeout_ms=probes.timeout, share_under_tcg=probes.share_under_tcg)


def _objectives(objectives: ObjectivesDocument) -> tuple[model.Objective, ...]:
    written: dict[model.ServiceKind, dict[model.DrillName, int]] = {
        "dns": objectives.dns,
        "radius": objectives.radius,
        "web": objectives.web,
        "telephony": objectives.telephony,
    }
    return tuple(
        model.Objective(service, drill, limit_ms)
        for service, limits in written.items()
        for drill, limit_ms in limits.items()
    )
