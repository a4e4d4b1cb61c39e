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


def _reader(connection: Any, handle: Any) -> saved_memory.Read:
    """Reads the disk that QEMU puts the memory into: the first one that can have snapshots."""
    for disk in ElementTree.fromstring(handle.XMLDesc(0)).iterfind("./devices/disk"):
        source, driver = disk.find("source"), disk.find("driver")
        if source is None or driver is None or driver.get("type") != "qcow2" or disk.find("readonly") is not None:
            continue
        path = source.get("file")
        volume = (
            connection.storageVolLookupByPath(path)
            if path
            else connection.storagePoolLookupByName(source.get("pool")).storageVolLookupByName(source.get("volume"))
        )

        def read(offset: int, length: int, volume: Any = volume) -> bytes:
            stream = connection.newStream(0)
            volume.download(stream, offset, length, 0)
            found: list[bytes] = []
            stream.recvAll(lambda _stream, data, _opaque: found.append(data), None)
            stream.finish()
            return b"".join(found)

        return read
    raise ValueError("it has no disk that can have snapshots")
