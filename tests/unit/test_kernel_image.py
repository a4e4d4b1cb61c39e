"""The kernel inside a bzImage: unpacked where QEMU can start it, and left alone where it cannot."""

from __future__ import annotations

import lzma
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.kernel_image import unpacked


def note(name: bytes, kind: int, content: bytes) -> bytes:
    def padded(part: bytes) -> bytes:
        return part + bytes(-len(part) % 4)

    return struct.pack("<III", len(name), len(content), kind) + padded(name) + padded(content)


def elf(notes: bytes, body: bytes = b"code") -> bytes:
    """An ELF file with a loaded part and one of notes, in the order of elf(5)."""
    at = 64 + 2 * 56
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, at + len(notes), 0, 0, len(body), len(body), 4096)
    of_notes = struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(notes), len(notes), 4)
    return head + load + of_notes + notes + body


def bzimage(packed: bytes, *, sectors: int = 3, version: int = 0x020F, offset: int = 32) -> bytes:
    """Boot sector, set-up, unpacker and packed kernel, as the boot protocol has them."""
    head = bytearray((sectors or 4) * 512 + 512)
    head[0x1F1] = sectors
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, version)
    struct.pack_into("<II", head, 0x248, offset, len(packed))
    return bytes(head) + bytes(offset) + packed + b"the end of the unpacker"


STARTABLE = elf(note(b"GNU\0", 3, b"identity") + note(b"Xen\0", 6, b"linux\0") + note(b"Xen\0", 18, bytes(8)))
#: Debian's kernels are packed with a filter for x86 code, and have their size in four bytes behind the stream.
PACKED = (
    lzma.compress(
        STARTABLE,
        check=lzma.CHECK_CRC32,
        filters=[{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}],
    )
    + b"size"
)


@pytest.mark.parametrize("sectors", [0, 1, 3, 27])
def test_the_kernel_inside_is_found(sectors: int) -> None:
    assert unpacked(bzimage(PACKED, sectors=sectors)) == STARTABLE


@pytest.mark.parametrize(
    "image",
    [
        bzimage(PACKED, version=0x0207),
        bzimage(PACKED).replace(b"HdrS", b"____"),
        bzimage(b"\x02\x21\x4c\x18 packed by lz4"),
        bzimage(PACKED[: len(PACKED) // 2]),
        bzimage(PACKED[:-12]),
        bzimage(PACKED[:40] + b"damaged" + PACKED[47:]),
        bzimage(PACKED)[:900],
        bzimage(lzma.compress(elf(note(b"Xen\0", 17, bytes(8)) + note(b"GNU\0", 18, bytes(8))))),
        bzimage(lzma.compress(b"no program")),
        bzimage(lzma.compress(STARTABLE[:100])),
        b"",
        STARTABLE,
    ],
    ids=[
        "old",
        "no header",
        "lz4",
        "cut",
        "end cut",
        "damaged",
        "short",
        "no entry",
        "no ELF",
        "cut ELF",
        "empty",
        "ELF",
    ],
)
def test_what_qemu_could_not_start_stays_packed(image: bytes) -> None:
    assert unpacked(image) is None


@given(st.binary(max_size=3000), st.integers(0, 2500), st.binary(min_size=1, max_size=30))
def test_damaged_kernels_are_no_kernels_and_no_crash(noise: bytes, at: int, written: bytes) -> None:
    assert unpacked(noise) is None
    image = bzimage(PACKED)
    unpacked(image[:at] + written + image[at + len(written) :])
    unpacked(bzimage(lzma.compress(STARTABLE[:at] + written + STARTABLE[at + len(written) :])))
