"""What is told to OCFS2 of a fenced node: the heartbeat that ends its heartbeats, and when none may be written."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.node_programs import node_down

LAYOUT = struct.Struct("<QB3xIQI")
SIZE = 512
ALONE = " 0: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C {} \n    ns:0 nr:0 dw:8 dr:16\n"


def kernel_crc(data: bytes) -> int:
    """crc32_le(0, ...) of Linux bit by bit: the reflected polynomial, neither begun nor ended inverted."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc


def heartbeat(
    number: int = 1, *, sequence: int = 1_764_300_000, generation: int = 0x9D1C_7A33, dead_ms: int = 24_000
) -> bytes:
    """A block as o2hb_prepare_block() makes it."""
    bare = LAYOUT.pack(sequence, number, 0, generation, dead_ms).ljust(SIZE, b"\0")
    return LAYOUT.pack(sequence, number, kernel_crc(bare), generation, dead_ms).ljust(SIZE, b"\0")


@given(st.binary(min_size=LAYOUT.size, max_size=64))
def test_the_checksum_is_that_of_the_kernel(block: bytes) -> None:
    bare = block[:12] + bytes(4) + block[16:]
    assert node_down.checksum(block) == kernel_crc(bare)


@given(
    number=st.integers(0, 254),
    sequence=st.integers(1, 2**63),
    generation=st.integers(1, 2**64 - 1),
    dead_ms=st.integers(0, 2**32 - 1),
)
def test_the_last_heartbeat_differs_in_its_generation_only(
    number: int, sequence: int, generation: int, dead_ms: int
) -> None:
    block = heartbeat(number, sequence=sequence, generation=generation, dead_ms=dead_ms)
    assert node_down.farewell(block, number) == heartbeat(number, sequence=sequence, generation=0, dead_ms=dead_ms)


def test_nothing_is_said_for_a_node_that_left_in_order() -> None:
    assert node_down.farewell(heartbeat(1, generation=0), 1) is None


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (heartbeat(0), "the heartbeat in slot 1 is that of node 0"),
        (heartbeat(1)[:-1] + b"x", "the checksum of its last heartbeat is wrong"),
        (b"\xff" * SIZE, "the checksum of its last heartbeat is wrong"),
        # A slot that was never written has a checksum of 0, which is right, and belongs to node 0.
        (bytes(SIZE), "the heartbeat in slot 1 is that of node 0"),
    ],
)
def test_a_slot_that_is_not_the_node_s_is_left_alone(block: bytes, message: str) -> None:
    with pytest.raises(node_down.Doubt, match=message):
        node_down.farewell(block, 1)


@pytest.mark.parametrize(
    ("flags", "written"), [("r-----", True), ("s-----", False), ("s---F-", False), ("r---F-", True)]
)
def test_writes_wait_while_drbd_stands_still(flags: str, *, written: bool) -> None:
    assert node_down.may_write("version: 8.4.11\n" + ALONE.format(flags), 0) is written


def test_a_node_that_gave_up_connecting_has_no_protocol_in_its_line() -> None:
    assert node_down.may_write(" 0: cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown   r-----\n", 0)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            " 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n",
            r"the storage sees its peer \(cs:Connected, ro:Primary/Primary\)",
        ),
        (" 0: cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----\n", "the storage sees its peer"),
        (" 0: cs:WFConnection ro:Secondary/Unknown ds:UpToDate/DUnknown C r-----\n", "the storage is not primary here"),
        (" 0: cs:Unconfigured\n", "DRBD has no device 0 here"),
        ("10: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C r-----\n", "DRBD has no device 0 here"),
        ("", "DRBD has no device 0 here"),
    ],
)
def test_nothing_is_written_where_the_peer_may_live(state: str, message: str) -> None:
    with pytest.raises(node_down.Doubt, match=message):
        node_down.may_write(state, 0)


@pytest.mark.parametrize("words", [[], ["brina", "piova"], ["../x"], ["*"], [""]])
def test_it_is_told_one_node(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert node_down.main(words) == 2
    assert capsys.readouterr().err == "usage: echo fenced | lab-ocfs2-node-down NODE\n"
