"""A real bridge of this machine: where it hears an address from is noticed while it happens."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run
from lab.drivers.bridge_table import BridgeTable

NAME = f"bt{os.getpid() % 100000}"
MAC = "52:54:00:aa:bb:81"
TAPS = {f"{NAME}-a": "brina", f"{NAME}-b": "piova"}


@pytest.fixture
def bridge() -> Iterator[str]:
    """A bridge with two ports, at the other end of which a frame can be sent."""
    try:
        run(["ip", "link", "add", NAME, "type", "bridge"], timeout_s=10)
        for tap in TAPS:
            run(["ip", "link", "add", tap, "type", "veth", "peer", "name", f"{tap}x"], timeout_s=10)
            run(["ip", "link", "set", tap, "master", NAME, "up"], timeout_s=10)
            run(["ip", "link", "set", f"{tap}x", "up"], timeout_s=10)
        run(["ip", "link", "set", NAME, "up"], timeout_s=10)
        yield NAME
    finally:
        for name in (NAME, *TAPS):
            run(["ip", "link", "del", name], timeout_s=10, check=False)


def speak(tap: str) -> None:
    """A frame with the guest's address, to everybody, of a protocol that nobody listens to."""
    with closing(socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) as sender:
        sender.bind((f"{tap}x", 0))
        sender.send(b"\xff" * 6 + bytes.fromhex(MAC.replace(":", "")) + b"\x88\xb5" + bytes(46))


def heard(table: BridgeTable, tap: str) -> bool:
    """Speak again and again: a port that has just come up forwards nothing yet."""
    speak(tap)
    return bool(table.sightings) and table.sightings[-1].node == TAPS[tap]


def test_a_guest_that_is_heard_from_another_node_is_noticed(bridge: str) -> None:
    with BridgeTable(bridge, TAPS, {MAC: "passata"}) as table:
        assert table.sightings == ()
        for tap in (f"{NAME}-a", f"{NAME}-b", f"{NAME}-b", f"{NAME}-a"):
            wait_until(
                lambda tap=tap: heard(table, tap),  # type: ignore[misc]
                what=f"the bridge to hear {tap}",
                deadline=Deadline.after(60),
                interval_s=0.3,
            )
    assert [(one.guest, one.node) for one in table.sightings] == [
        ("passata", "brina"),
        ("passata", "piova"),
        ("passata", "brina"),
    ]


def test_without_a_bridge_nothing_is_heard(tmp_path: Path) -> None:
    with BridgeTable("none", TAPS, {MAC: "passata"}, root=tmp_path) as table:
        pass
    assert table.sightings == ()
