from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.qcow2 import MAGIC, Header, fault, parse_header

BASE = "/var/lib/libvirt/images/ha-lab-cache/node.qcow2"


def image(
    *,
    backing: str = "",
    backing_format: str = "",
    features: int = 0,
    crypt: int = 0,
    data_file: str = "",
    version: int = 3,
) -> bytes:
    """The first cluster of a qcow2 file, laid out as in QEMU's docs/interop/qcow2.txt."""
    extensions = b""
    for kind, text in ((0xE2792ACA, backing_format), (0x44415441, data_file)):
        if text:
            extensions += struct.pack(">II", kind, len(text)) + text.encode().ljust((len(text) + 7) // 8 * 8, b"\0")
    extensions += bytes(8)
    start = 112 if version == 3 else 72
    offset = start + len(extensions) if backing else 0
    head = struct.pack(">4sIQIIQIIQQIIQ", MAGIC, version, offset, len(backing), 16, 2**30, crypt, 2, 0, 0, 1, 1, 0)
    if version == 3:
        head += struct.pack(">QQQII", features, 0, 0, 4, 112) + bytes(8)
    return (head + extensions + backing.encode()).ljust(65536, b"\0")


def test_a_header_is_read() -> None:
    assert parse_header(image(backing=BASE, backing_format="qcow2")) == Header(BASE, "qcow2", 0, False, "", 1)
    assert parse_header(image(version=2)) == Header("", "", 0, False, "", 1)


def test_a_disk_of_a_lab_may_be_used() -> None:
    assert fault(image()) == ""
    assert fault(image(features=8)) == ""
    assert fault(image(backing=BASE, backing_format="qcow2"), backing=BASE, backing_format="qcow2") == ""


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"", "it is no qcow2 file"),
        (b"x" * 65536, "it is no qcow2 file"),
        (image(version=4), "it is qcow2 of the unknown version 4"),
        (image(data_file="/etc/shadow"), "its data is in another file"),
        (image(features=4), "its data is in another file"),
        (image(crypt=2), "it is encrypted"),
        (image(features=2), "it has features that are not known or mean damage (bits 0x2)"),
        (image(features=1 << 40), "it has features that are not known or mean damage (bits 0x10000000000)"),
        (image(), f"it is based on 'nothing', not on '{BASE}'"),
        (image(backing="/etc/shadow", backing_format="qcow2"), f"it is based on '/etc/shadow', not on '{BASE}'"),
        (image(backing=f"json:{{{BASE}}}"), f"it is based on 'json:{{{BASE}}}', not on '{BASE}'"),
        (image(backing=BASE, backing_format="raw"), f"it says that {BASE} is 'raw', not qcow2"),
        (image(backing=BASE), f"it says that {BASE} is '', not qcow2"),
        (image(backing="x" * 1024), "its backing file is named outside of its header"),
    ],
)
def test_another_disk_says_why(head: bytes, why: str) -> None:
    assert fault(head, backing=BASE, backing_format="qcow2") == why


def test_a_disk_that_should_have_no_base() -> None:
    assert fault(image(backing=BASE, backing_format="qcow2")) == f"it is based on '{BASE}', not on 'nothing'"


def test_extensions_without_an_end() -> None:
    head = bytearray(image())
    struct.pack_into(">II", head, 112, 7, 2**31)
    assert fault(bytes(head)) == "its header extensions have no end"


@given(st.binary(max_size=400), st.integers(0, 140), st.binary(max_size=40))
def test_no_header_is_an_accident(tail: bytes, place: int, change: bytes) -> None:
    assert isinstance(fault(MAGIC + tail), str)
    head = bytearray(image(backing=BASE, backing_format="qcow2"))
    head[place : place + len(change)] = change
    why = fault(bytes(head), backing=BASE, backing_format="qcow2")
    # Whatever was changed: a disk that passes names its base and nothing else.
    if not why:
        header = parse_header(bytes(head))
        assert (header.backing, header.data_file, header.encrypted) == (BASE, "", False)
