"""The parsers of Corosync's tools on recorded outputs (see recorded/README.md) and on changed ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.corosync import parse_links, parse_quorum

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.txt").read_text()


def test_both_nodes_are_there() -> None:
    status = parse_quorum(recorded("quorum-both"))
    assert (status.quorate, status.blocked, status.node_id, status.ring_id) == (True, False, 1, "1.9")
    assert (status.expected_votes, status.total_votes, status.quorum) == (2, 2, 1)
    assert status.flags == ("2Node", "Quorate", "WaitForAll")
    assert status.member_names == ("brina", "piova")
    assert [member.local for member in status.members] == [True, False]


def test_a_running_lab() -> None:
    status = parse_quorum(recorded("lab-quorum"))
    assert (status.quorate, status.blocked, status.member_names) == (True, False, ("brina", "piova"))
    assert status.flags == ("2Node", "Quorate", "WaitForAll")
    links = parse_links(recorded("lab-links"))
    assert (links.node_id, links.transport) == (1, "knet")
    assert [(link.connected, link.states) for link in links.links] == [(True, {1: "localhost", 2: "connected"})]


def test_one_goes_on_alone() -> None:
    status = parse_quorum(recorded("quorum-other-left"))
    assert (status.quorate, status.blocked, status.total_votes) == (True, False, 1)
    assert status.member_names == ("brina",)
    assert status.ring_id != parse_quorum(recorded("quorum-both")).ring_id


def test_one_waits_for_the_other_before_it_begins() -> None:
    status = parse_quorum(recorded("quorum-waiting"))
    assert (status.quorate, status.blocked) == (False, True)
    assert "Quorate" not in status.flags


def test_a_quorum_device_stands_before_the_name() -> None:
    # Written: the column Qdevice appears once a quorum device is configured.
    text = recorded("quorum-both").replace("         2          1 piova", "         2          1    A,V,NMW piova")
    assert parse_quorum(text).member_names == ("brina", "piova")


def test_links() -> None:
    both = parse_links(recorded("links-both"))
    assert (both.node_id, both.transport) == (1, "udpu")
    assert [(link.number, link.connected) for link in both.links] == [(0, True)]
    assert both.links[0].states == {1: "localhost", 2: "connected"}
    alone = parse_links(recorded("links-other-left"))
    assert not alone.links[0].connected
    assert alone.links[0].states[2] == "disconnected"


def test_two_links_of_knet() -> None:
    # Written after the form of the recorded one.
    text = "Local node ID 2, transport knet\n"
    for number, state in ((0, "connected"), (1, "disconnected")):
        text += f"LINK ID {number} udp\n\taddr\t= 10.0.{number}.2\n\tstatus:\n"
        text += f"\t\tnodeid:          1:\t{state}\n\t\tnodeid:          2:\tlocalhost\n"
    assert [link.connected for link in parse_links(text).links] == [True, False]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Quorate:", "Quorat:", "no field 'Quorate'"),
        ("Quorate:          Yes", "Quorate:          Maybe", "Quorate is 'Maybe'"),
        ("Expected votes:   2", "Expected votes:   two", "Expected votes is 'two'"),
        ("         2          1 piova", "         2 piova", "is no member"),
    ],
)
def test_what_cannot_be_read_is_named(old: str, new: str, fault: str) -> None:
    text = recorded("quorum-both")
    assert old in text
    with pytest.raises(LabError) as caught:
        parse_quorum(text.replace(old, new))
    assert fault in caught.value.message


@pytest.mark.parametrize("text", ["", "Cannot initialize CMAP service"])
def test_a_node_without_corosync_is_told(text: str) -> None:
    with pytest.raises(LabError, match="corosync-quorumtool"):
        parse_quorum(text)
    with pytest.raises(LabError, match="corosync-cfgtool"):
        parse_links(text)


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_links_without_nodes_are_refused(lines: int) -> None:
    with pytest.raises(LabError, match="no link"):
        parse_links("\n".join(recorded("links-both").splitlines()[:lines]))


@given(st.text(), st.integers(0, 700))
def test_no_text_breaks_the_parsers_otherwise_than_with_their_own_error(text: str, place: int) -> None:
    for parse, name in ((parse_quorum, "quorum-both"), (parse_links, "links-both")):
        whole = recorded(name)
        try:
            parse(whole[:place] + text + whole[place:])
        except LabError:
            continue


@given(st.lists(st.tuples(st.integers(1, 2**31), st.integers(0, 9)), min_size=1, unique_by=lambda one: one[0]))
def test_every_member_comes_back(nodes: list[tuple[int, int]]) -> None:
    head = recorded("quorum-both").partition("    Nodeid")[0]
    rows = [f"{node:10d} {votes:10d} n{node}{' (local)' if node == nodes[0][0] else ''}" for node, votes in nodes]
    members = parse_quorum("\n".join([head, "    Nodeid      Votes Name", *rows])).members
    assert [(one.node_id, one.votes, one.name) for one in members] == [
        (node, votes, f"n{node}") for node, votes in nodes
    ]
    assert [one.local for one in members] == [True] + [False] * (len(nodes) - 1)
