"""A campaign: a row of faults that looks random and follows from its seed alone, so that it can be run again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from lab.core.errors import LabError
from lab.core.faults.catalogue import FAULTS
from lab.core.faults.fault import Fault, FaultOrder
from lab.core.model import Lab

Item = TypeVar("Item")
MOST = 1000


def choices(lab: Lab, *, quick: bool) -> tuple[Fault, ...]:
    """The faults that a campaign draws from on this lab.

    Args:
        lab: without guests nothing is done to guests, without fencing nothing that needs it.
        quick: only those during which no node goes down.
    """
    return tuple(
        fault
        for fault in FAULTS
        if fault.in_campaigns
        and (fault.quick or not quick)
        and (lab.guests or fault.target != "guest")
        and (lab.fencing.method != "none" or not (fault.fences or fault.means == "fence-daemon"))
    )


def campaign(lab: Lab, seed: int, count: int, *, quick: bool = False) -> tuple[FaultOrder, ...]:
    """The faults of a campaign, in order; the same for the same seed, lab and catalogue.

    A longer campaign of the same seed begins with the shorter one, and no fault comes twice in a row.

    Raises:
        LabError: no such number of faults (exit code 2).
    """
    if not 1 <= count <= MOST:
        raise LabError(f"--count {count} is no number of faults", remedy=f"Give 1 to {MOST}", exit_code=2)
    there = choices(lab, quick=quick)
    orders: list[FaultOrder] = []
    last = ""
    for place in range(count):
        fault = _drawn([one for one in there if one.name != last], seed, place, "fault")
        last = fault.name
        node = _drawn(lab.node_names, seed, place, "node") if fault.target == "node" else ""
        guest = _drawn([one.name for one in lab.guests], seed, place, "guest") if fault.target == "guest" else ""
        orders.append(FaultOrder(fault.name, node, guest))
    return tuple(orders)


def _drawn(items: Sequence[Item], seed: int, place: int, what: str) -> Item:
    digest = hashlib.sha256(f"{seed}:{place}:{what}".encode()).digest()
    return items[int.from_bytes(digest[:8], "big") % len(items)]
