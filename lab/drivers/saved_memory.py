"""Reads what snapshots hold of the CPUs, through libvirt: the files belong to QEMU's user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import libvirt

from lab.core import saved_memory
from lab.core.errors import LabError
from lab.drivers.hypervisor import Hypervisor, OwnedDomain


def caught_in_guests(hypervisor: Hypervisor, domains: Sequence[OwnedDomain], snapshot: str) -> list[str]:
    """The nodes of which a snapshot holds a CPU inside a nested guest, so that QEMU's emulator cannot load it.

    Args:
        hypervisor: the connection.
        domains: the nodes of one lab.
        snapshot: name of the snapshots in libvirt.

    Raises:
        LabError: a disk cannot be read.
    """
    return [
        domain.node for domain in domains if any(saved_memory.in_guest_mode(devices_of(hypervisor, domain, snapshot)))
    ]


def devices_of(hypervisor: Hypervisor, domain: OwnedDomain, snapshot: str) -> bytes:
    """The devices in a domain's snapshot (:func:`lab.core.saved_memory.devices`)."""
    try:
        handle = hypervisor.connection.lookupByName(domain.name)
        return saved_memory.devices(_reader(hypervisor.connection, handle), snapshot)
    except (libvirt.libvirtError, ValueError) as error:
        raise LabError(f"the snapshot {snapshot} of node {domain.node} cannot be read: {error}") from error


def snapshot_sources(handle: Any) -> list[ElementTree.Element]:
    """``<source>`` of a domain's disks that can have snapshots, in its order; QEMU puts the memory into the first."""
    return [
        source
        for disk in ElementTree.fromstring(handle.XMLDesc(0)).iterfind("./devices/disk")
        if (source := disk.find("source")) is not None
        and (driver := disk.find("driver")) is not None
        and driver.get("type") == "qcow2"
        and disk.find("readonly") is None
    ]


def volume_of(connection: Any, source: ElementTree.Element) -> Any:
    """The volume that a disk's ``<source>`` names, by its path or within a pool."""
    if path := source.get("file"):
        return connection.storageVolLookupByPath(path)
    pool = connection.storagePoolLookupByName(source.get("pool", ""))
    return pool.storageVolLookupByName(source.get("volume", ""))


def _reader(connection: Any, handle: Any) -> saved_memory.Read:
    sources = snapshot_sources(handle)
    if not sources:
        raise ValueError("it has no disk that can have snapshots")
    volume = volume_of(connection, sources[0])

    def read(offset: int, length: int) -> bytes:
        stream = connection.newStream(0)
        volume.download(stream, offset, length, 0)
        found: list[bytes] = []
        stream.recvAll(lambda _stream, data, _opaque: found.append(data), None)
        stream.finish()
        return b"".join(found)

    return read
