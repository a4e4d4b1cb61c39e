"""Where guests were heard from: the bridge's table, and what it means beside the guests' processes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.drills.heard import Sighting, addresses, audit_heard, moved
from lab.core.drills.residence import Residence

#: Of a lab's bridge: a guest behind port 1, one behind port 259, and the bridge's own address.
TABLE = bytes.fromhex(
    "525400875f83 01 00 01000000 00 00 0000 525400875f85 03 00 03000000 01 00 0000"
    "fe5400875f21 03 01 00000000 00 00 0000"
)
NODES = {1: "brina", 2: "brina", 3: "piova"}
GUESTS = {"52:54:00:00:00:81": "passata", "52:54:00:00:00:82": "soldi"}
HOME = Residence("passata", "piova", 900.0, None, incoming=False)


def test_learnt_addresses_have_a_port_and_the_bridges_own_are_left_out() -> None:
    assert addresses(TABLE) == {"52:54:00:87:5f:83": 1, "52:54:00:87:5f:85": 259}
    assert addresses(TABLE[:20]) == {"52:54:00:87:5f:83": 1}
    assert addresses(b"") == {}


@given(st.binary(max_size=200))
def test_no_table_is_too_strange(raw: bytes) -> None:
    assert len(addresses(raw)) <= len(raw) // struct.calcsize("<6sBBIBBH")


def test_only_changes_of_node_are_told() -> None:
    first = moved({}, {"52:54:00:00:00:81": 3, "52:54:00:00:00:82": 1, "aa:aa:aa:aa:aa:aa": 1}, NODES, GUESTS)
    assert first == {"passata": "piova", "soldi": "brina"}
    # From one leg of the bond to the other, and out of the table for a while: not to another node.
    assert moved(first, {"52:54:00:00:00:82": 2}, NODES, GUESTS) == {}
    assert moved(first, {"52:54:00:00:00:81": 1, "52:54:00:00:00:82": 7}, NODES, GUESTS) == {"passata": "brina"}


def judged(*sightings: Sighting, found: tuple[Residence, ...], lost_s: float | None = None) -> tuple[str, ...]:
    losses = {} if lost_s is None else {"piova": [lost_s]}
    result = audit_heard(
        sightings,
        found,
        guests=["passata"],
        offsets_s={"piova": 0.5, "brina": 0.0},
        power_lost_s=losses,
        tolerance_s=2.0,
    )
    return () if result.ok else result.findings


def test_a_guest_that_moves_is_heard_where_it_has_gone() -> None:
    there = Residence("passata", "brina", 1010.0, None, incoming=True)
    away = Residence("passata", "piova", 900.0, 1015.0, incoming=False, reason="migrated")
    sightings = (Sighting(1000.0, "passata", "piova"), Sighting(1014.6, "passata", "brina"))
    assert judged(*sightings, found=(away, there)) == ()


def test_a_guest_that_is_taken_over_is_heard_where_it_was_started() -> None:
    there = Residence("passata", "brina", 1040.0, None, incoming=False)
    sightings = (Sighting(1000.0, "passata", "piova"), Sighting(1062.0, "passata", "brina"))
    assert judged(*sightings, found=(HOME, there), lost_s=1020.0) == ()


@pytest.mark.parametrize(
    ("sightings", "finding"),
    [
        ([], "passata was not heard at all"),
        # Planted: somebody else answers with the guest's address.
        ([Sighting(1000.0, "passata", "brina")], "passata was heard from brina, where it had no process"),
        (
            [Sighting(1000.0, "passata", "piova"), Sighting(1030.0, "passata", "brina")],
            "passata was heard from brina, where it had no process",
        ),
        # Planted: a node that was called off still speaks.
        (
            [
                Sighting(1000.0, "passata", "piova"),
                Sighting(1062.0, "passata", "brina"),
                Sighting(1070.0, "passata", "piova"),
            ],
            "passata was heard from piova, where it had no process",
        ),
    ],
)
def test_a_guest_that_is_heard_from_elsewhere_is_found(sightings: list[Sighting], finding: str) -> None:
    there = Residence("passata", "brina", 1040.0, None, incoming=False)
    found = (HOME, there) if len(sightings) == 3 else (HOME,)
    assert finding in judged(*sightings, found=found, lost_s=1020.0 if len(sightings) == 3 else None)
