"""What a snapshot holds of the CPUs, from a qcow2 file of this test's own making."""

from __future__ import annotations

import struct

import pytest

from lab.core import saved_memory
from lab.core.qcow2 import MAGIC

CLUSTER = 512
DISK_BYTES = 40_000


def cpu(number: int, hidden_flags: int, version: int = 12) -> bytes:
    """A section of the device "cpu": 16 registers, instruction pointer, flags, hidden flags, and the rest."""
    state = bytes(16 * 8 + 16) + struct.pack(">I", hidden_flags) + b"rest"
    return b"\x04" + struct.pack(">I", 7) + b"\x03cpu" + struct.pack(">II", number, version) + state


def image(memories: dict[str, bytes], *, flags: int = 0) -> bytes:
    """A qcow2 file with a snapshot for each memory; every second cluster of a memory is left out if it is zeros."""
    clusters: list[bytes] = [b""]

    def put(content: bytes) -> int:
        offset = len(clusters) * CLUSTER
        count = max(1, -(-len(content) // CLUSTER))
        padded = content.ljust(count * CLUSTER, b"\0")
        clusters.extend(padded[at : at + CLUSTER] for at in range(0, len(padded), CLUSTER))
        return offset

    per_table = CLUSTER // 8
    first_index = -(-DISK_BYTES // (CLUSTER * per_table))
    entries = b""
    for name, memory in memories.items():
        offsets = [
            0 if not any(part := memory[at : at + CLUSTER]) else put(part) | flags
            for at in range(0, len(memory), CLUSTER)
        ]
        tables = [
            put(struct.pack(f">{len(some)}Q", *some))
            for at in range(0, len(offsets), per_table)
            if (some := offsets[at : at + per_table])
        ]
        first_level = put(bytes(8 * first_index) + struct.pack(f">{len(tables)}Q", *tables))
        entry = struct.pack(">QIHHIIQII", first_level, first_index + len(tables), 1, len(name), 0, 0, 0, 1, 16)
        entry += struct.pack(">QQ", len(memory), DISK_BYTES) + b"1" + name.encode()
        entries += entry.ljust(-(-len(entry) // 8) * 8, b"\0")
    table = put(entries)
    header = MAGIC + struct.pack(">IQIIQIQQIIQ", 3, 0, 0, 9, DISK_BYTES, 0, 0, 0, 0, 0, 0)[:56]
    header = header.ljust(60, b"\0") + struct.pack(">IQ", len(memories), table)
    clusters[0] = header.ljust(CLUSTER, b"\0")
    return b"".join(clusters)


def reader(content: bytes) -> saved_memory.Read:
    return lambda offset, length: content[offset : offset + length]


def test_each_cpu_is_told() -> None:
    memory = bytes(3000) + cpu(0, 0x0040C2B3) + b"other" + cpu(1, 0x0060C2B3) + bytes(700)
    saved = saved_memory.devices(reader(image({"other": b"x" * 900, "wanted": memory})), "wanted")
    assert saved == memory
    assert saved_memory.in_guest_mode(saved) == [False, True]


def test_only_the_end_of_a_large_memory_is_read() -> None:
    memory = b"\xff" * 5_000_000 + cpu(0, 1 << 21)
    asked = 0
    content = image({"large": memory})

    def read(offset: int, length: int) -> bytes:
        nonlocal asked
        asked += length
        return content[offset : offset + length]

    saved = saved_memory.devices(read, "large")
    assert saved == memory[-len(saved) :]
    assert saved_memory.DEVICES_BYTES <= len(saved) < saved_memory.DEVICES_BYTES + CLUSTER
    assert saved_memory.in_guest_mode(saved) == [True]
    assert asked < 1.1 * saved_memory.DEVICES_BYTES


def test_a_section_of_another_version_is_none_of_ours() -> None:
    assert saved_memory.in_guest_mode(cpu(0, 1 << 21, version=13)) == []
    assert saved_memory.in_guest_mode(cpu(0, 1 << 21)[:-10]) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is no qcow2 file"),
        (b"x" * 600, "it is no qcow2 file"),
        (image({"one": b"x"}), "it has no snapshot wanted"),
        (image({"wanted": b"x"})[:600], "it has no snapshot wanted"),
        (image({"wanted": b"x"}, flags=1 << 62), "its memory is compressed"),
        (MAGIC + b"\xff" * 600, r"its clusters cannot be of 2\^4294967295 bytes"),
    ],
)
def test_what_cannot_be_read_is_told(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        saved_memory.devices(reader(content), "wanted")


def test_clusters_of_zeros_read_as_zeros() -> None:
    memory = bytes(2 * CLUSTER) + b"x"
    assert saved_memory.devices(reader(image({"wanted": memory})), "wanted") == memory
    assert saved_memory.devices(reader(image({"wanted": b"x" * 9}, flags=1)), "wanted") == bytes(9)
