"""Whether a snapshot caught a CPU inside a nested guest, read from the snapshot itself.

QEMU's emulator saves such a CPU and refuses to load it again: "vCPU set in guest-mode inconsistent with migrated kernel
nested state" (seen with 7.2; target/i386/machine.c: cpu_post_load asks for KVM's nested state, which the emulator never
has). Nothing tells when the snapshot is made, so what was written is read.

The memory is behind the end of the virtual disk, in the snapshot's own table of clusters (``docs/interop/qcow2.txt``,
"Snapshots"); the CPUs are among the devices, which follow the memory (``docs/devel/migration.rst``).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from lab.core.qcow2 import MAGIC

#: Reads so many bytes from an offset of the file; less at its end.
Read = Callable[[int, int], bytes]

#: Where the CPUs are looked for; the devices of a node take a part of it.
DEVICES_BYTES = 4 * 1024 * 1024
_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
#: A full section of the device "cpu": its number, the name with its length, instance, version.
_CPU = re.compile(rb"\x04.{4}\x03cpu.{4}\x00\x00\x00\x0c", re.DOTALL)
#: After 16 general registers, the instruction pointer and the flags: QEMU's hidden flags (CPUX86State.hflags).
_HIDDEN_FLAGS = 18 * 8
#: HF_GUEST_MASK (target/i386/cpu.h).
_GUEST_MODE = 1 << 21


def devices(read: Read, snapshot: str) -> bytes:
    """The end of a snapshot's memory, where the devices are.

    Args:
        read: reads the qcow2 file.
        snapshot: name of the snapshot.

    Raises:
        ValueError: the file has no such snapshot, or is no qcow2 file that can be read here; says which.
    """
    header = read(0, 72)
    if len(header) < 72 or header[:4] != MAGIC:
        raise ValueError("it is no qcow2 file")
    (cluster_bits,) = struct.unpack_from(">I", header, 20)
    (disk_bytes,) = struct.unpack_from(">Q", header, 24)
    count, table = struct.unpack_from(">IQ", header, 60)
    if not 9 <= cluster_bits <= 21:
        raise ValueError(f"its clusters cannot be of 2^{cluster_bits} bytes")
    first_level, size = _entry(read, table, count, snapshot)
    cluster, per_table = 1 << cluster_bits, 1 << (cluster_bits - 3)
    start = -(-disk_bytes // (cluster * per_table)) * per_table
    found = []
    for number in range(max(0, size - DEVICES_BYTES) // cluster, -(-size // cluster)):
        index, slot = divmod(start + number, per_table)
        found.append(_cluster(read, first_level + 8 * index, slot, cluster))
    return b"".join(found)[: size - max(0, size - DEVICES_BYTES) // cluster * cluster]


def in_guest_mode(saved: bytes) -> list[bool]:
    """For each CPU in the devices of a snapshot, whether it was inside a nested guest; empty when there is none."""
    found = []
    for match in _CPU.finditer(saved):
        if match.end() + _HIDDEN_FLAGS + 4 <= len(saved):
            (flags,) = struct.unpack_from(">I", saved, match.end() + _HIDDEN_FLAGS)
            found.append(bool(flags & _GUEST_MODE))
    return found


def _entry(read: Read, table: int, count: int, snapshot: str) -> tuple[int, int]:
    """Offset of a snapshot's first-level table, and the size of its memory in bytes."""
    offset = table
    for _ in range(count):
        head = read(offset, 64)
        if len(head) < 40:
            break
        (first_level,) = struct.unpack_from(">Q", head, 0)
        identifier_bytes, name_bytes = struct.unpack_from(">HH", head, 12)
        size, extra_bytes = struct.unpack_from(">II", head, 32)
        if extra_bytes >= 8 and len(head) >= 48:
            (size,) = struct.unpack_from(">Q", head, 40)
        texts = read(offset + 40 + extra_bytes, identifier_bytes + name_bytes)
        if texts[identifier_bytes:] == snapshot.encode():
            return first_level, size
        offset += -(-(40 + extra_bytes + identifier_bytes + name_bytes) // 8) * 8
    raise ValueError(f"it has no snapshot {snapshot}")


def _cluster(read: Read, first_level_entry: int, slot: int, cluster: int) -> bytes:
    (second_level,) = struct.unpack(">Q", read(first_level_entry, 8).ljust(8, b"\0"))
    if not second_level & _OFFSET_MASK:
        return bytes(cluster)
    (entry,) = struct.unpack(">Q", read((second_level & _OFFSET_MASK) + 8 * slot, 8).ljust(8, b"\0"))
    if entry & _COMPRESSED:
        raise ValueError("its memory is compressed")
    # The lowest bit says that the cluster reads as zeros.
    if not entry & _OFFSET_MASK or entry & 1:
        return bytes(cluster)
    return read(entry & _OFFSET_MASK, cluster).ljust(cluster, b"\0")
