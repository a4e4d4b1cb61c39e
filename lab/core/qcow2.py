"""The header of a qcow2 file, and whether a disk from elsewhere may be used.

A qcow2 file can name other files of the host: one that it is based on, and one that its data is in. A disk out of a
bundle may name nothing but the image that the lab's nodes are based on. The format is described in QEMU's
``docs/interop/qcow2.txt``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"QFI\xfb"
#: Header, extensions and name of the backing file are within the first cluster; libvirt and QEMU make it 64 KiB.
HEAD_BYTES = 65536
_BACKING_FORMAT = 0xE2792ACA
_DATA_FILE = 0x44415441
#: Bit 3, the type of compression, is the only incompatible feature that means nothing but how data is stored.
_HARMLESS_FEATURES = 1 << 3
_DATA_ELSEWHERE = 1 << 2


@dataclass(frozen=True)
class Header:
    """What a qcow2 file says about itself.

    Args:
        backing: name of the file that it is based on; empty for none.
        backing_format: format of that file, as far as it is named.
        features: its incompatible features, as bits.
        encrypted: whether its data is encrypted.
        data_file: name of an external file of its data; empty for none.
        snapshots: number of internal snapshots.
    """

    backing: str
    backing_format: str
    features: int
    encrypted: bool
    data_file: str
    snapshots: int


def parse_header(head: bytes) -> Header:
    """The header of a qcow2 file of version 2 or 3.

    Args:
        head: the first :data:`HEAD_BYTES` of it, or all of a shorter file.

    Raises:
        ValueError: it is no such file; says why.
    """
    if len(head) < 112 or head[:4] != MAGIC:
        raise ValueError("it is no qcow2 file")
    (version,) = struct.unpack_from(">I", head, 4)
    if version not in (2, 3):
        raise ValueError(f"it is qcow2 of the unknown version {version}")
    offset, length = struct.unpack_from(">QI", head, 8)
    (encryption,) = struct.unpack_from(">I", head, 32)
    (snapshots,) = struct.unpack_from(">I", head, 60)
    features, start = 0, 72
    if version == 3:
        (features,) = struct.unpack_from(">Q", head, 72)
        (start,) = struct.unpack_from(">I", head, 100)
    if offset and (length > 1023 or offset + length > len(head)):
        raise ValueError("its backing file is named outside of its header")
    extensions = _extensions(head, start)
    return Header(
        backing=_text(head[offset : offset + length]) if offset else "",
        backing_format=_text(extensions.get(_BACKING_FORMAT, b"")),
        features=features,
        encrypted=bool(encryption),
        data_file=_text(extensions.get(_DATA_FILE, b"")),
        snapshots=snapshots,
    )


def fault(head: bytes, *, backing: str = "", backing_format: str = "") -> str:
    """Why a disk from elsewhere must not be used; empty when it may.

    Args:
        head: the first :data:`HEAD_BYTES` of it.
        backing: the only file that it may, and has to, be based on; empty for none.
        backing_format: format of that file.
    """
    try:
        header = parse_header(head)
    except ValueError as error:
        return str(error)
    judged = (
        (bool(header.data_file or header.features & _DATA_ELSEWHERE), "its data is in another file"),
        (header.encrypted, "it is encrypted"),
        (
            bool(header.features & ~_HARMLESS_FEATURES),
            f"it has features that are not known or mean damage (bits {header.features:#x})",
        ),
        (
            header.backing != backing,
            f"it is based on {header.backing or 'nothing'!a}, not on {backing or 'nothing'!a}",
        ),
        (
            bool(backing) and header.backing_format != backing_format,
            f"it says that {backing} is {header.backing_format!a}, not {backing_format}",
        ),
    )
    return next((why for bad, why in judged if bad), "")


def _extensions(head: bytes, start: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while start + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, start)
        if not kind:
            return found
        if start + 8 + length > len(head):
            break
        found[kind] = head[start + 8 : start + 8 + length]
        start += 8 + (length + 7) // 8 * 8
    raise ValueError("its header extensions have no end")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
