"""Snapshots of several domains at one instant: memory and disks, through libvirt's internal checkpoints.

libvirt keeps such a snapshot inside the domain's qcow2 disks; read-only disks are left out (domainsnapshot XML).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import libvirt

from lab.core.errors import LabError
from lab.core.saves import Note, Part, note_text, parse_note, save_name, snapshot_name
from lab.doors.clock import now_s
from lab.doors.process import ProcessError, run
from lab.drivers.hypervisor import Hypervisor, OwnedDomain, explained
from lab.drivers.save_room import make_room
from lab.drivers.saved_memory import caught_in_guests, snapshot_sources, volume_of
from lab.drivers.together import side_by_side
from lab.drivers.wind_back import wind_back

_QEMU_IMG_LIMIT_S = 20.0
#: A node's CPU is at work in a guest for some hundredths of its time, for most of it while guests boot.
ATTEMPTS = 12


def qemu_version(hypervisor: Hypervisor) -> str:
    """Version of the QEMU that libvirt uses, such as ``7.2.17``."""
    with explained("the version of QEMU cannot be told"):
        number = hypervisor.connection.getVersion()
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def suspend_all(hypervisor: Hypervisor, domains: Sequence[OwnedDomain]) -> list[OwnedDomain]:
    """Stop the CPUs of all domains together; returns those that were running."""

    def suspend(domain: OwnedDomain) -> bool:
        with explained(f"node {domain.node} cannot be paused"):
            handle = hypervisor.connection.lookupByName(domain.name)
            if handle.state()[0] not in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED):
                return False
            handle.suspend()
            return True

    return [domain for domain, done in zip(domains, side_by_side(domains, suspend), strict=True) if done]


def resume_all(hypervisor: Hypervisor, domains: Sequence[OwnedDomain]) -> list[OwnedDomain]:
    """Let the CPUs of all paused domains run again, together; returns those that were paused."""

    def resume(domain: OwnedDomain) -> bool:
        with explained(f"node {domain.node} cannot be continued"):
            handle = hypervisor.connection.lookupByName(domain.name)
            if handle.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
                return False
            handle.resume()
            return True

    return [domain for domain, done in zip(domains, side_by_side(domains, resume), strict=True) if done]


def save_all(hypervisor: Hypervisor, domains: Sequence[OwnedDomain], note: Note) -> float:
    """Snapshot all domains at one instant, and let those that ran go on; what fails leaves no snapshot.

    Older snapshots of the same save are deleted when all new ones are complete, not before. A snapshot that QEMU could
    not load is made again (:mod:`lab.core.saved_memory`).

    Args:
        hypervisor: the connection.
        domains: the nodes of one lab; all of them are on.
        note: what is kept in the description of each snapshot.

    Returns:
        Seconds that the domains stood still, the last time if more than once.

    Raises:
        LabError: a domain is off, or cannot be saved; an older save of that name is as it was. Under KVM a domain may
            also refuse its own save, and all are off then (:mod:`lab.drivers.wind_back`).
    """
    name = snapshot_name(note.save, note.token)
    try:
        paused_s = _saved(hypervisor, domains, note, name)
        if note.accelerator == "tcg":
            left = ATTEMPTS
            while nodes := caught_in_guests(hypervisor, domains, name):
                left -= 1
                if not left:
                    raise LabError(
                        f"no moment was found to save at: a CPU of {', '.join(nodes)} was at work in a guest each time",
                        remedy="Try again when the guests have less to do",
                    )
                forget(hypervisor, domains, note.save, only=[name])
                paused_s = _saved(hypervisor, domains, note, name)
    except BaseException:
        with suppress(LabError):
            forget(hypervisor, domains, note.save, only=[name])
        raise
    forget(hypervisor, domains, note.save, but=name)
    return paused_s


def _saved(hypervisor: Hypervisor, domains: Sequence[OwnedDomain], note: Note, name: str) -> float:
    xml = (
        f"<domainsnapshot><name>{escape(name)}</name>"
        f"<description>{escape(note_text(note))}</description></domainsnapshot>"
    )

    def save(domain: OwnedDomain) -> None:
        with explained(f"node {domain.node} cannot be saved", "Look at the free space of the lab's disks"):
            handle = hypervisor.connection.lookupByName(domain.name)
            if not handle.isActive():
                raise LabError(f"node {domain.node} is off", remedy="Start it with ./inv lab.up")
            handle.snapshotCreateXML(xml, 0)

    def prepare(domain: OwnedDomain) -> None:
        with explained(f"node {domain.node} cannot be saved"):
            make_room(hypervisor.connection.lookupByName(domain.name))

    side_by_side(domains, prepare)
    stopped: list[OwnedDomain] = []
    started_s = now_s()
    try:
        stopped = suspend_all(hypervisor, domains)
        side_by_side(domains, save)
        if note.accelerator == "kvm":
            wind_back(hypervisor, domains, name)
    finally:
        # Not only those that suspend_all has told: it may have failed, or been interrupted, after the first.
        resume_all(hypervisor, stopped or [each for each in domains if each.state == "running"])
    return now_s() - started_s


def revert_all(hypervisor: Hypervisor, domains: Sequence[OwnedDomain], snapshot: str) -> None:
    """Put all domains, whatever their state, back to their snapshots of one save; they are paused afterwards.

    Args:
        hypervisor: the connection.
        domains: the nodes of one lab.
        snapshot: name of the snapshots in libvirt.

    Raises:
        LabError: a domain has no such snapshot (nothing is changed), or cannot be put back.
    """
    handles: dict[str, Any] = {}
    for domain in domains:
        with explained(f"node {domain.node} has no snapshot {snapshot}"):
            found = hypervisor.connection.lookupByName(domain.name).snapshotLookupByName(snapshot)
            handles[domain.name] = found
    # None of them may go on while another one is gone already: it would see a dead peer.
    suspend_all(hypervisor, domains)

    def revert(domain: OwnedDomain) -> None:
        with explained(
            f"node {domain.node} cannot be put back to {snapshot}", f"See /var/log/libvirt/qemu/{domain.name}.log"
        ):
            handle = handles[domain.name]
            handle.getDomain().revertToSnapshot(handle, libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED)

    side_by_side(domains, revert)


def forget(
    hypervisor: Hypervisor, domains: Sequence[OwnedDomain], save: str, *, only: Sequence[str] = (), but: str = ""
) -> list[str]:
    """Delete the snapshots of one save, however many there are; returns the nodes that had one.

    Args:
        hypervisor: the connection.
        domains: the nodes of one lab.
        save: name of the save.
        only: names of the snapshots that are meant; empty for all.
        but: name of the snapshots that stay.
    """

    def delete(domain: OwnedDomain) -> bool:
        with explained(f"the snapshot {save} of node {domain.node} cannot be deleted"):
            found = hypervisor.connection.lookupByName(domain.name).listAllSnapshots(0)
            meant = [one for one in found if save_name(one.getName()) == save and one.getName() != but]
            meant = [one for one in meant if not only or one.getName() in only]
            for snapshot in meant:
                snapshot.delete(0)
            return bool(meant)

    return [domain.node for domain, done in zip(domains, side_by_side(domains, delete), strict=True) if done]


def redefine_all(hypervisor: Hypervisor, domains: Sequence[OwnedDomain], note: Note) -> None:
    """Tell libvirt of snapshots that are inside the disks of newly defined domains.

    (virDomainSnapshotCreateXML with the flag REDEFINE.) The snapshot is described by the domain's own definition,
    never by one from elsewhere.

    Args:
        hypervisor: the connection.
        domains: the nodes of one lab; all of them are off.
        note: what the snapshots were made with.
    """

    def redefine(domain: OwnedDomain) -> None:
        with explained(f"the snapshot {note.save} of node {domain.node} cannot be described to libvirt"):
            handle = hypervisor.connection.lookupByName(domain.name)
            definition = handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
            text = snapshot_document(note, definition)
            handle.snapshotCreateXML(text, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)

    side_by_side(domains, redefine)


def snapshot_document(note: Note, definition: str) -> str:
    """The description of an internal snapshot of a running domain, as libvirt takes it for a redefinition.

    Args:
        note: what the snapshot was made with.
        definition: XML of the domain.
    """
    disks = []
    for disk in ElementTree.fromstring(definition).iterfind("./devices/disk"):
        target = disk.find("target")
        kind = "no" if disk.find("readonly") is not None else "internal"
        disks.append(f"<disk name='{escape(target.get('dev', '') if target is not None else '')}' snapshot='{kind}'/>")
    return (
        f"<domainsnapshot><name>{escape(snapshot_name(note.save, note.token))}</name>"
        f"<description>{escape(note_text(note))}</description><state>running</state>"
        f"<creationTime>{note.created_s}</creationTime><memory snapshot='internal'/>"
        f"<disks>{''.join(disks)}</disks>{definition}</domainsnapshot>"
    )


def parts(hypervisor: Hypervisor, domains: Sequence[OwnedDomain], *, sizes: bool = True) -> list[Part]:
    """All snapshots of the domains that belong to saves; those that a person made by hand are left out.

    Args:
        hypervisor: the connection.
        domains: the nodes of one lab.
        sizes: tell the size of the memory too, which asks qemu-img.
    """
    found = []
    for domain in domains:
        with explained(f"the snapshots of node {domain.node} cannot be listed"):
            handle = hypervisor.connection.lookupByName(domain.name)
            snapshots = handle.listAllSnapshots(0)
            known = _sizes(handle) if sizes and snapshots else {}
            for snapshot in snapshots:
                save = save_name(snapshot.getName())
                if save is not None:
                    text = ElementTree.fromstring(snapshot.getXMLDesc(0)).findtext("description") or ""
                    name = snapshot.getName()
                    found.append(Part(domain.node, save, parse_note(text), known.get(name), name))
    return found


def _sizes(handle: Any) -> dict[str, int]:
    """Size of the memory in each snapshot by its name, in bytes; empty where the disks cannot be read."""
    sizes: dict[str, int] = {}
    for source in snapshot_sources(handle):
        with suppress(ProcessError, ValueError, libvirt.libvirtError):
            path = source.get("file") or volume_of(handle.connect(), source).path()
            # -U: QEMU holds the lock of the image, and only its header is read.
            shown = run(["qemu-img", "info", "-U", "--output=json", path], timeout_s=_QEMU_IMG_LIMIT_S).stdout
            for snapshot in json.loads(shown).get("snapshots", []):
                sizes[snapshot["name"]] = max(sizes.get(snapshot["name"], 0), int(snapshot["vm-state-size"]))
    return sizes
