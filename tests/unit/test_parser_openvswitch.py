"""The parsers of what Open vSwitch tells: LACP, bonds and learned stations."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.openvswitch import NO_PARTNER, Learned, parse_bonds, parse_lacp, parse_stations

RECORDED = Path(__file__).parent / "recorded"
NEGOTIATED = (RECORDED / "ovs-lacp-negotiated.txt").read_text()
BOND = (RECORDED / "ovs-bond-negotiated.txt").read_text()
STATIONS = (RECORDED / "ovs-fdb.txt").read_text()


def test_a_negotiated_bond() -> None:
    bond = parse_lacp(NEGOTIATED)["brina"]
    assert (bond.name, bond.negotiated, bond.fast) == ("brina", True, True)
    assert [(member.name, member.carries) for member in bond.members] == [("swx-n1l1", True), ("swx-n1l2", True)]
    assert {member.partner for member in bond.members} == {"5a:64:28:81:a1:4d"}


def test_a_leg_that_is_down_does_not_carry() -> None:
    bond = parse_lacp((RECORDED / "ovs-lacp-leg-down.txt").read_text())["brina"]
    assert bond.negotiated, "the bond itself looks as if nothing had happened"
    assert [(member.state, member.carries) for member in bond.members] == [("expired", False), ("current", True)]


def test_a_partner_that_does_not_speak_lacp_is_none() -> None:
    bond = parse_lacp((RECORDED / "ovs-lacp-no-partner.txt").read_text())["brina"]
    assert not bond.negotiated
    assert {(member.state, member.attached, member.partner) for member in bond.members} == {
        ("defaulted", False, NO_PARTNER)
    }


def test_bonds_tell_which_legs_are_enabled() -> None:
    assert parse_bonds(BOND)["brina"].members == {"swx-n1l1": True, "swx-n1l2": True}
    bond = parse_bonds((RECORDED / "ovs-bond-leg-down.txt").read_text())["brina"]
    assert (bond.mode, bond.members) == ("balance-tcp", {"swx-n1l1": False, "swx-n1l2": True})


def test_several_bonds_are_kept_apart() -> None:
    assert list(parse_lacp(NEGOTIATED + NEGOTIATED.replace("brina", "piova"))) == ["brina", "piova"]


def test_no_bond_is_no_error() -> None:
    assert parse_lacp("") == {}
    assert parse_bonds("") == {}


def test_stations_with_their_vlans() -> None:
    stations = parse_stations(STATIONS)
    assert Learned("LOCAL", 0, "aa:cb:a0:3c:4d:4d") in stations
    assert {station.mac for station in stations if station.vlan == 42} == {"a2:c5:9b:c5:02:bf", "52:54:00:11:22:33"}


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("lacp_time", "time", "no field 'lacp_time'"),
        ("current attached", "current", "a member"),
        ("partner sys_id", "somebody", "no field 'partner sys_id'"),
    ],
)
def test_what_cannot_be_read_is_named(old: str, new: str, fault: str) -> None:
    with pytest.raises(LabError) as caught:
        parse_lacp(NEGOTIATED.replace(old, new))
    assert fault in caught.value.message


@pytest.mark.parametrize(
    "text", ["", "port VLAN MAC", "ovs-appctl: no bridge\n", STATIONS + "1 x 00:00:00:00:00:01 3\n"]
)
def test_another_table_is_refused(text: str) -> None:
    with pytest.raises(LabError):
        parse_stations(text)


@given(st.text(), st.integers(0, len(NEGOTIATED)))
def test_no_text_breaks_a_parser_otherwise_than_with_its_own_error(text: str, place: int) -> None:
    for parse, recorded in ((parse_lacp, NEGOTIATED), (parse_bonds, BOND), (parse_stations, STATIONS)):
        try:
            parse(recorded[:place] + text + recorded[place:])
        except LabError:
            continue
