"""The drills: what each does, to what, what should follow, and what it is there to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.core.errors import LabError
from lab.core.model import Guest, Lab, Node
from lab.core.topology_checks import nearest

Target = Literal["node", "guest"]


@dataclass(frozen=True)
class Drill:
    """One drill.

    Args:
        name: as it is typed.
        target: what it is done to.
        node_goes_down: whether the node must show another boot id afterwards.
        fences: whether the cluster is expected to fence the node.
        summary: what is done, in one sentence.
        expected: what a correct cluster does about it.
        study: the study's name for it, empty where it has none.
        keeps_guests: whether every guest has to run on all the time, moved live or not at all.
    """

    name: str
    target: Target
    node_goes_down: bool
    fences: bool
    summary: str
    expected: str
    study: str = ""
    keeps_guests: bool = False


@dataclass(frozen=True)
class Order:
    """What a person wants to be done.

    Args:
        name: of the drill.
        node, guest: to what; the first one of the lab where empty.
        repeat: how often.
        seed: of everything random; kept in the record.
    """

    name: str
    node: str = ""
    guest: str = ""
    repeat: int = 1
    seed: int = 1


@dataclass(frozen=True)
class Plan:
    """One drill on one target.

    Args:
        drill: what.
        node: the node it is about: the one that goes down, or the home of the guest.
        guest: the guest it is done to; None for a drill on a node.
        seed: of everything random.
    """

    drill: Drill
    node: Node
    guest: Guest | None
    seed: int

    @property
    def target(self) -> str:
        """Name of what it is done to."""
        return self.guest.name if self.guest else self.node.name


DRILLS = (
    Drill(
        "power-off",
        "node",
        node_goes_down=True,
        fences=True,
        summary="The node's power is cut; it is switched on again when its services have come back elsewhere.",
        expected="The survivor fences it, recovers the storage and starts its guests.",
        study="test 1",
    ),
    Drill(
        "reboot",
        "node",
        node_goes_down=True,
        fences=False,
        summary="The node is told to reboot over ssh.",
        expected="Pacemaker moves the guests away by live migration before the node goes down.",
        study="test 2",
    ),
    Drill(
        "maintenance",
        "node",
        node_goes_down=True,
        fences=False,
        summary="The node's own maintenance script checks the cluster, empties the node and reboots it.",
        expected="Every guest leaves by live migration before the reboot, and comes home after it.",
        study="test 3",
        keeps_guests=True,
    ),
    Drill(
        "live-migrate",
        "guest",
        node_goes_down=False,
        fences=False,
        summary="A guest is moved to the other node by Pacemaker, and home again.",
        expected="The guest pauses for a moment at the end of each migration and loses nothing.",
        keeps_guests=True,
    ),
    Drill(
        "guest-crash",
        "guest",
        node_goes_down=False,
        fences=False,
        summary="The QEMU process of a guest is killed on its node.",
        expected="Pacemaker's next monitor notices it, and the guest is started again.",
    ),
)

NAMES = tuple(drill.name for drill in DRILLS)


def drill_named(name: str) -> Drill:
    """The drill of a name.

    Raises:
        LabError: there is none (exit code 2).
    """
    found = next((drill for drill in DRILLS if drill.name == name), None)
    if found is None:
        hint = nearest(name, NAMES)
        raise LabError(f"there is no drill {name!r}", remedy=f"{hint}The drills are: {', '.join(NAMES)}", exit_code=2)
    return found


def planned(lab: Lab, order: Order) -> tuple[Plan, ...]:
    """The drills that an order comes to.

    Raises:
        LabError: no such drill, node or guest, or they do not go together (exit code 2).
    """
    drill = drill_named(order.name)
    if order.repeat < 1:
        raise LabError(f"--repeat {order.repeat} is no number of times", remedy="Give 1 or more", exit_code=2)
    if drill.target == "guest" and order.node:
        raise LabError(
            f"{drill.name} is done to a guest", remedy="Choose it with --guest instead of --node", exit_code=2
        )
    if drill.target == "node" and order.guest:
        raise LabError(
            f"{drill.name} is done to a node", remedy="Choose it with --node instead of --guest", exit_code=2
        )
    guest = _guest(lab, order.guest) if drill.target == "guest" else None
    node = lab.node(guest.home) if guest else _node(lab, order.node)
    return tuple(Plan(drill, node, guest, order.seed + number) for number in range(order.repeat))


def _node(lab: Lab, name: str) -> Node:
    if not name:
        return lab.nodes[0]
    if name not in lab.node_names:
        raise LabError(
            f"{name} is not a node of lab {lab.name}", remedy=f"Choose one of: {', '.join(lab.node_names)}", exit_code=2
        )
    return lab.node(name)


def _guest(lab: Lab, name: str) -> Guest:
    found = next((guest for guest in lab.guests if not name or guest.domain == name.lower()), None)
    if found is None:
        names = ", ".join(guest.name for guest in lab.guests) or "none, this lab has no guests"
        raise LabError(
            f"{name or 'a guest'} is not a guest of lab {lab.name}", remedy=f"Choose one of: {names}", exit_code=2
        )
    return found
