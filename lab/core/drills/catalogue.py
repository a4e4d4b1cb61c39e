"""The drills: what each does, to what, what should follow, and what it is there to show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lab.core.errors import LabError
from lab.core.faults.catalogue import fault_named
from lab.core.faults.fault import Down, Fault, FaultOrder, FaultPlan, planned_fault
from lab.core.model import Guest, Lab, Node
from lab.core.topology_checks import nearest

Target = Literal["node", "guest"]
#: Drills with a fault of the catalogue are named by it, such as ``fault:freeze``.
FAULT_PREFIX = "fault:"


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
        fault: the fault of the catalogue that it makes; None for the drills with an action of their own.
    """

    name: str
    target: Target
    node_goes_down: bool
    fences: bool
    summary: str
    expected: str
    study: str = ""
    keeps_guests: bool = False
    fault: Fault | None = None

    @property
    def down(self) -> Down:
        """Whose boot ids change."""
        if self.fault is not None:
            return self.fault.down
        return "target" if self.node_goes_down else "none"


@dataclass(frozen=True)
class Order:
    """What a person wants to be done.

    Args:
        name: of the drill.
        node, guest: to what; the first one of the lab where empty.
        repeat: how often.
        seed: of everything random; kept in the record.
        amount, seconds: of a fault, and how long it is kept; 0 for its own.
    """

    name: str
    node: str = ""
    guest: str = ""
    repeat: int = 1
    seed: int = 1
    amount: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """One drill on one target.

    Args:
        drill: what.
        node: the node it is about: the one that goes down, or the home of the guest.
        guest: the guest it is done to; None for a drill on a node.
        seed: of everything random.
        faulty: the fault of the catalogue; None for the drills with an action of their own.
        hold_s: how long it is kept, real seconds; 0 for its own time.
    """

    drill: Drill
    node: Node
    guest: Guest | None
    seed: int
    faulty: FaultPlan | None = None
    hold_s: float = 0.0

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
    if name.startswith(FAULT_PREFIX):
        return drill_of(fault_named(name.removeprefix(FAULT_PREFIX)))
    found = next((drill for drill in DRILLS if drill.name == name), None)
    if found is None:
        hint = nearest(name, NAMES)
        names = f"{', '.join(NAMES)}, {FAULT_PREFIX}NAME with a fault of ./inv lab.faults, campaign, study"
        raise LabError(f"there is no drill {name!r}", remedy=f"{hint}The drills are: {names}", exit_code=2)
    return found


def drill_of(fault: Fault) -> Drill:
    """The drill that a fault makes."""
    return Drill(
        f"{FAULT_PREFIX}{fault.name}",
        "guest" if fault.target == "guest" else "node",
        node_goes_down=fault.down == "target",
        fences=fault.fences,
        summary=fault.summary,
        expected=fault.expected,
        fault=fault,
    )


def planned(lab: Lab, order: Order) -> tuple[Plan, ...]:
    """The drills that an order comes to.

    Raises:
        LabError: no such drill, node or guest, or they do not go together (exit code 2).
    """
    drill = drill_named(order.name)
    if order.repeat < 1:
        raise LabError(f"--repeat {order.repeat} is no number of times", remedy="Give 1 or more", exit_code=2)
    if drill.fault is not None:
        faulty = planned_fault(lab, drill.fault, FaultOrder(drill.fault.name, order.node, order.guest, order.amount))
        plan = Plan(drill, faulty.node, faulty.guest, order.seed, faulty, order.seconds)
        return tuple(replace(plan, seed=order.seed + number) for number in range(order.repeat))
    if order.amount or order.seconds:
        raise LabError(
            f"{drill.name} has neither amount nor time", remedy="Leave --amount and --seconds away", exit_code=2
        )
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
