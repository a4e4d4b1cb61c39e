"""The parser of /proc/net/bonding."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.bonding import Leg, parse_bond

RECORDED = Path(__file__).parent / "recorded"


def recorded() -> str:
    return (RECORDED / "lab-bonding.txt").read_text()


def test_a_bond_with_two_legs() -> None:
    bond = parse_bond(recorded())
    assert (bond.mode, bond.up, bond.miimon_ms, bond.partner_mac) == ("active-backup", True, 100, "")
    assert bond.active in ("eth0", "eth1")
    assert [(leg.name, leg.up, leg.failures) for leg in bond.legs] == [("eth0", True, 0), ("eth1", True, 0)]
    assert {leg.mac[:9] for leg in bond.legs} == {"52:54:00:"}


def test_a_leg_without_a_link_is_seen() -> None:
    head, first, second = recorded().partition("Slave Interface: eth0")
    text = head + first + second.replace("MII Status: up", "MII Status: down", 1).replace("Count: 0", "Count: 3", 1)
    bond = parse_bond(text)
    assert bond.up
    assert (bond.legs[0].up, bond.legs[0].failures, bond.legs[1].up) == (False, 3, True)


def test_lacp_with_a_partner_is_one_aggregate_that_carries_on_both_legs() -> None:
    bond = parse_bond((RECORDED / "lab-bonding-lacp.txt").read_text())
    assert (bond.mode, bond.active, bond.partner_mac) == ("802.3ad", "", "22:ea:d1:13:8b:4e")
    assert (bond.aggregator, bond.fast, bond.carrying) == (1, True, ("eth0", "eth1"))
    assert [leg.aggregator for leg in bond.legs] == [1, 1]


def test_a_leg_in_an_aggregate_of_its_own_does_not_carry() -> None:
    """As on a Linux bridge: both links are up, and only one of them is used."""
    head, second, rest = (RECORDED / "lab-bonding-lacp.txt").read_text().partition("Slave Interface: eth1")
    alone = parse_bond(head + second + rest.replace("Aggregator ID: 1", "Aggregator ID: 2"))
    assert [leg.up for leg in alone.legs] == [True, True]
    assert alone.carrying == ("eth0",)
    down = parse_bond(head + second + rest.replace("MII Status: up", "MII Status: down"))
    assert down.carrying == ("eth0",)


def test_the_active_leg_carries_alone_where_there_is_no_lacp() -> None:
    bond = parse_bond(recorded())
    assert bond.carrying == (bond.active,)
    assert parse_bond(recorded().replace(f"Slave: {bond.active}", "Slave: None")).carrying == ()


# Written after drivers/net/bonding/bond_procfs.c of the kernel; not recorded.
LACP = """Ethernet Channel Bonding Driver: v6.1.0

Bonding Mode: IEEE 802.3ad Dynamic link aggregation
Transmit Hash Policy: layer3+4 (1)
MII Status: up
MII Polling Interval (ms): 100

802.3ad info
LACP active: on
Active Aggregator Info:
\tAggregator ID: 1
\tPartner Mac Address: 00:00:00:00:00:00

Slave Interface: eth0
MII Status: up
Link Failure Count: 0
Permanent HW addr: 52:54:00:aa:bb:10
details partner lacp pdu:
    system mac address: 00:00:00:00:00:01
"""


def test_a_switch_that_does_not_speak_lacp_is_seen() -> None:
    bond = parse_bond(LACP)
    assert (bond.mode, bond.partner_mac, bond.active) == ("802.3ad", "00:00:00:00:00:00", "")
    assert bond.legs == (Leg("eth0", True, "52:54:00:aa:bb:10", 0),)


def test_other_modes_keep_the_drivers_words() -> None:
    assert parse_bond(LACP.replace("IEEE 802.3ad Dynamic link aggregation", "load balancing (xor)")).mode == (
        "load balancing (xor)"
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Bonding Mode", "Mode", "no field 'Bonding Mode'"),
        ("Interval (ms): 100", "Interval (ms): often", "Interval (ms) is 'often'"),
        ("Permanent HW addr", "HW addr", "no field 'Permanent HW addr'"),
        ("Failure Count: 0", "Failure Count: -1", "Link Failure Count is '-1'"),
    ],
)
def test_what_cannot_be_read_is_named(old: str, new: str, fault: str) -> None:
    with pytest.raises(LabError) as caught:
        parse_bond(LACP.replace(old, new))
    assert fault in caught.value.message


@given(st.text(), st.integers(0, len(LACP)))
def test_no_text_breaks_the_parser_otherwise_than_with_its_own_error(text: str, place: int) -> None:
    try:
        parse_bond(LACP[:place] + text + LACP[place:])
    except LabError:
        return
