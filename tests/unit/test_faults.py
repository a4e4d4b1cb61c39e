"""The catalogue of faults, what it leaves and how that is found, and campaigns: all as data."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.faults.campaign import campaign, choices
from lab.core.faults.catalogue import FAULTS, NAMES, fault_named, planned
from lab.core.faults.fault import Fault, FaultOrder, filled
from lab.core.faults.split import discarded, idle_on_both, parted
from lab.core.faults.traces import MARK, TRACES, look_script, remains_of
from lab.core.model import Fencing, Lab
from lab.core.parsers.drbd import UNCONFIGURED, DrbdDevice
from lab.core.topology import parse_topology

ROOT = Path(__file__).resolve().parents[2]
WORDS = {"NOW": "1764043200", "AUTHKEY_SUM": "ab" * 32}
LAB = parse_topology((ROOT / "topologies" / "two-node.yaml").read_text(), source="two-node.yaml")
UNFILLED = re.compile(r"@[A-Z_]+@")


# The catalogue


def test_names_are_unique_and_can_be_typed() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in NAMES)


def test_the_lab_on_which_all_are_tried_keeps_a_ledger_and_has_a_node_without_guests() -> None:
    lab = parse_topology((ROOT / "tests" / "faults" / "lab.yaml").read_text(), source="lab.yaml")
    assert "radius" in {guest.service for guest in lab.guests}
    assert len({guest.home for guest in lab.guests}) == len(lab.nodes) - 1


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_says_everything_about_itself(fault: Fault) -> None:
    one = fault
    for text in (one.summary, one.teaches, one.expected):
        assert text[0].isupper()
        assert text.endswith(".")
    for text in (one.undo, one.proof, one.absence):
        assert text
        assert not text.endswith(".")
    assert (one.script is not None) == (one.means in ("shell", "shell-in-guest"))


@pytest.mark.parametrize("name", NAMES)
def test_every_script_has_all_its_words_filled_in(name: str) -> None:
    plan = planned(LAB, FaultOrder(name))
    if plan.fault.script is None:
        return
    for text in (plan.fault.script.inject, plan.fault.script.proof):
        assert not UNFILLED.search(filled(text, LAB, plan, WORDS))


@pytest.mark.parametrize("name", NAMES)
def test_no_fault_touches_the_management_network(name: str) -> None:
    script = fault_named(name).script
    if script is not None:
        assert "eth2" not in script.inject


def test_a_word_that_nobody_fills_in_is_a_mistake() -> None:
    with pytest.raises(LabError, match="NOBODY"):
        filled("echo @NOBODY@", LAB)


def test_addresses_are_those_of_the_node_and_of_the_other_one() -> None:
    plan = planned(LAB, FaultOrder("partition", node="piova"))
    assert filled("@OWN@ @PEER@ @NODE@", LAB, plan) == "10.81.26.12 10.81.26.11 piova"


def test_a_fault_of_a_guest_is_made_on_its_home() -> None:
    plan = planned(LAB, FaultOrder("kill-guest", guest="SOLDI"))
    assert (plan.where, plan.node.name) == ("Soldi", "brina")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (FaultOrder("freze"), "there is no fault 'freze'"),
        (FaultOrder("freeze", node="briana"), "briana is not a node of lab halab"),
        (FaultOrder("freeze", guest="Soldi"), "freeze is not done to a guest"),
        (FaultOrder("freeze", amount=3), "freeze has no amount"),
        (FaultOrder("freeze", seconds=-1), "--seconds -1 is no time"),
        (FaultOrder("reset", seconds=5), "reset is over as soon as it is made"),
        (FaultOrder("both-off", node="brina"), "both-off is not done to a node"),
        (FaultOrder("stop-guest", guest="Soldo"), "Soldo is not a guest of lab halab"),
        (FaultOrder("packet-loss", amount=90), "--amount 90 is out of bounds for packet-loss"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(order: FaultOrder, message: str) -> None:
    with pytest.raises(LabError) as caught:
        planned(LAB, order)
    assert (caught.value.message, caught.value.exit_code) == (message, 2)
    assert caught.value.remedy


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS if fault.amount])
def test_an_amount_of_its_own_is_within_its_bounds(name: str) -> None:
    amount = fault_named(name).amount
    assert amount is not None
    assert amount.least <= amount.default <= amount.most
    assert planned(LAB, FaultOrder(name)).amount == amount.default
    assert planned(LAB, FaultOrder(name, amount=amount.most)).amount == amount.most


# What faults leave


def test_the_look_finds_its_traces_again_in_the_order_of_undoing() -> None:
    said = "\n".join(
        line
        for trace in reversed(TRACES)
        for line in (f"{MARK}{trace.name}", *(["here"] if trace.name in ("clock", "filter") else []))
    )
    found = remains_of(said, "brina")
    assert [(remain.trace.name, remain.node, remain.detail) for remain in found] == [
        ("filter", "brina", "here"),
        ("clock", "brina", "here"),
    ]


def test_a_node_without_faults_has_no_remains() -> None:
    assert remains_of("\n".join(f"{MARK}{trace.name}" for trace in TRACES), "brina") == ()
    assert remains_of("", "brina") == ()


@given(st.text(max_size=200))
def test_any_output_can_be_read(text: str) -> None:
    for remain in remains_of(text, "brina"):
        assert remain.trace in TRACES


def test_every_trace_has_its_words_filled_in() -> None:
    text = filled(look_script(), LAB, values=WORDS)
    assert not UNFILLED.search(text)
    for trace in TRACES:
        assert not UNFILLED.search(filled(trace.undo, LAB, values=WORDS))
        assert f"{MARK}{trace.name}" in text


# Split brain


def side(out_of_sync_kib: int, connection: str = "StandAlone") -> DrbdDevice:
    return DrbdDevice(0, connection, "Primary", "Unknown", "UpToDate", "DUnknown", out_of_sync_kib=out_of_sync_kib)


def test_the_side_that_wrote_nothing_is_overwritten() -> None:
    assert discarded({"brina": side(0), "piova": side(4)}, "") == "brina"
    assert discarded({"brina": side(12), "piova": side(0, "WFConnection")}, "") == "piova"


@pytest.mark.parametrize(
    "other", [side(8), side(4), None, DrbdDevice(0, UNCONFIGURED)], ids=["more", "as much", "unknown", "down"]
)
def test_nothing_is_thrown_away_when_it_is_not_certain(other: DrbdDevice | None) -> None:
    with pytest.raises(LabError, match="nothing was thrown away") as caught:
        discarded({"brina": side(4), "piova": other}, "")
    assert "--discard" in caught.value.remedy
    assert discarded({"brina": side(4), "piova": other}, "piova") == "piova"


def test_two_sides_that_wrote_nothing_decide_nothing_and_lose_nothing() -> None:
    assert idle_on_both({"brina": side(0), "piova": side(0)})
    assert not idle_on_both({"brina": side(0), "piova": side(4)})
    assert not idle_on_both({"brina": side(0), "piova": None})
    assert not idle_on_both({"brina": side(0), "piova": DrbdDevice(0, UNCONFIGURED)})
    with pytest.raises(LabError):
        discarded({"brina": side(0), "piova": side(0)}, "")
    with pytest.raises(LabError) as caught:
        discarded({"brina": side(0), "piova": side(4)}, "somebody")
    assert caught.value.exit_code == 2


def test_a_node_that_waits_for_the_other_one_is_not_split() -> None:
    assert not parted({"brina": side(4, "WFConnection"), "piova": None})
    assert parted({"brina": side(4, "WFConnection"), "piova": side(4)})


# Campaigns


@given(st.integers(), st.integers(1, 40), st.booleans())
def test_a_campaign_follows_from_its_seed(seed: int, count: int, quick: bool) -> None:
    orders = campaign(LAB, seed, count, quick=quick)
    assert orders == campaign(LAB, seed, count, quick=quick)
    assert len(orders) == count
    assert orders[:-1] == campaign(LAB, seed, count - 1, quick=quick) if count > 1 else True
    names = [order.name for order in orders]
    assert all(first != second for first, second in pairwise(names))
    for order in orders:
        plan = planned(LAB, order)
        assert plan.fault.in_campaigns
        assert plan.fault.quick or not quick


def test_seeds_differ_and_every_fault_comes_up() -> None:
    assert campaign(LAB, 1, 20) != campaign(LAB, 2, 20)
    drawn = {order.name for order in campaign(LAB, 7, 1000)}
    assert drawn == {fault.name for fault in FAULTS if fault.in_campaigns}
    assert {order.node for order in campaign(LAB, 7, 200)} >= {"brina", "piova"}


def test_nothing_is_drawn_that_the_lab_has_not() -> None:
    bare: Lab = replace(LAB, guests=(), fencing=Fencing("none"))
    assert not any(fault.target == "guest" or fault.fences for fault in choices(bare, quick=False))
    assert not any(fault.down in ("target", "both", "one") for fault in choices(LAB, quick=True))


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_a_campaign_has_a_number_of_faults(count: int) -> None:
    with pytest.raises(LabError) as caught:
        campaign(LAB, 1, count)
    assert caught.value.exit_code == 2
