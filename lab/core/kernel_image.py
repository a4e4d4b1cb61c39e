"""The kernel inside a bzImage, unpacked once at baking instead of at every boot.

An emulated processor needs three seconds to unpack the kernel of a node. QEMU starts an unpacked one as well, if that
says in a note where it is to be entered. Any other bzImage stays as it is; it starts everywhere.

Facts: the kernel's documentation, "The Linux/x86 Boot Protocol" (offsets of the header), and elf(5). The note is that
of Xen's ``include/public/elfnote.h``; QEMU looks for it in ``hw/i386/x86.c``.
"""

from __future__ import annotations

import lzma
import struct

HEADER_MAGIC = b"HdrS"
#: Since this version of the protocol the header says where the packed kernel is.
FIRST_VERSION = 0x0208
SECTOR = 512
XZ_MAGIC = b"\xfd7zXZ\0"
#: More than any kernel has; a damaged one must not fill the memory.
LARGEST = 512 * 2**20

ELF_MAGIC = b"\x7fELF\x02\x01"
NOTES = 4
#: XEN_ELFNOTE_PHYS32_ENTRY: where a loader that has set up nothing enters the kernel.
ENTRY_NOTE = (b"Xen\0", 18)


def unpacked(image: bytes) -> bytes | None:
    """The kernel in a bzImage as an ELF file that QEMU starts by itself; None where there is none such.

    Args:
        image: a kernel as a Debian package brings it.
    """
    packed = _packed(image)
    if not packed.startswith(XZ_MAGIC):
        return None
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    try:
        kernel = unpacker.decompress(packed, LARGEST)
    except lzma.LZMAError:
        return None
    return kernel if unpacker.eof and _has_entry(kernel) else None


def _packed(image: bytes) -> bytes:
    """The packed kernel, without the boot loader's part before it; empty for what is no bzImage."""
    if len(image) < 0x250 or image[0x202:0x206] != HEADER_MAGIC:
        return b""
    (version,) = struct.unpack_from("<H", image, 0x206)
    if version < FIRST_VERSION:
        return b""
    sectors = image[0x1F1] or 4
    offset, size = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * SECTOR + offset
    return image[start : start + size]


def _has_entry(kernel: bytes) -> bool:
    """Whether an ELF file has the note by which QEMU starts it."""
    if len(kernel) < 64 or not kernel.startswith(ELF_MAGIC):
        return False
    (headers,) = struct.unpack_from("<Q", kernel, 32)
    header_size, count = struct.unpack_from("<HH", kernel, 54)
    for number in range(count):
        at = headers + number * header_size
        if at + 56 > len(kernel):
            return False
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", kernel, at)
        if kind == NOTES and ENTRY_NOTE in _notes(kernel[offset : offset + size]):
            return True
    return False


def _notes(section: bytes) -> set[tuple[bytes, int]]:
    """Names and types of notes; each part of a note is padded to four bytes."""
    found: set[tuple[bytes, int]] = set()
    at = 0
    while at + 12 <= len(section):
        name_size, content_size, kind = struct.unpack_from("<III", section, at)
        found.add((section[at + 12 : at + 12 + name_size], kind))
        at += 12 + (name_size + 3) // 4 * 4 + (content_size + 3) // 4 * 4
    return found
