"""What a fault is: what is done, to what, by which means, what it teaches, and how it is proven.

The words of a fault's scripts that stand between ``@`` are filled in by :func:`filled`; everything that runs on a node
is text of the shell, because that is what a person can type as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.model import Guest, Lab, Node
from lab.core.topology_checks import nearest

#: What is named by a person: one node, one guest (the fault is made on its home), or nothing.
Target = Literal["node", "guest", "lab"]
#: What makes it: libvirt on the host (power, links, throttle), the fencing daemon there, or a shell: on the node, on
#: all nodes, or in the guest.
Means = Literal["power", "links", "throttle", "fence-daemon", "shell", "shell-everywhere", "shell-in-guest"]
#: Whose boot ids may change: nobody's, the target's for sure, exactly one, both, or nobody says.
Down = Literal["none", "target", "one", "both", "any"]

_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")


@dataclass(frozen=True)
class Amount:
    """The number that a fault can be told with ``--amount``.

    Args:
        unit: its unit, as it is shown.
        default, least, most: what it is when not given, and its bounds.
    """

    unit: str
    default: int
    least: int
    most: int


@dataclass(frozen=True)
class Script:
    """What is typed on a node.

    Args:
        inject: makes the fault; ends with 0 when it could be made, with 2 when it cannot be made here.
        proof: ends with 0 and prints the evidence as long as the fault is in effect, or once it has happened.
    """

    inject: str
    proof: str


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        name: as it is typed.
        group: the chapter of the catalogue it belongs to.
        target: what a person names.
        means: where it is made.
        lasting: whether it stays until it is healed; the others are over as soon as they have been made.
        summary: what is done, in one sentence.
        teaches: what it is there to show.
        expected: what a correct cluster does about it.
        undo: how it is undone.
        proof: how it is proven that it took effect.
        absence: how it is proven that it is gone.
        hold_s: how long a drill keeps it before healing, by the clock of a lab under KVM (stretched by its time scale).
        down: whose boot ids change in a drill of it.
        fences: whether the cluster is expected to fence a node.
        away_s: for how long a client may be without an answer in a drill of it; None where nothing is said of that.
        script: for the means ``shell`` and ``shell-in-guest``; its proof runs on the node in both cases.
        detail: for other means, what exactly is done there.
        amount: the number that it can be told.
        quick: whether a quick campaign takes it: no node goes down and no service is away for long.
        in_campaigns: whether a campaign takes it at all: it heals without a decision of a person.
    """

    name: str
    group: str
    target: Target
    means: Means
    lasting: bool
    summary: str
    teaches: str
    expected: str
    undo: str
    proof: str
    absence: str
    hold_s: float = 20.0
    down: Down = "none"
    fences: bool = False
    away_s: float | None = None
    script: Script | None = None
    detail: str = ""
    amount: Amount | None = None
    quick: bool = False
    in_campaigns: bool = True


@dataclass(frozen=True)
class FaultOrder:
    """What a person wants.

    Args:
        name: of the fault.
        node, guest: to what; the first one of the lab where empty.
        amount: 0 for the fault's own.
        seconds: 0 to leave it until it is healed; otherwise it is healed after so long.
    """

    name: str
    node: str = ""
    guest: str = ""
    amount: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class FaultPlan:
    """A fault on a target of a lab.

    Args:
        fault: which.
        node: where it is made, or the first node for one of the lab as a whole.
        guest: the guest it is done to; None for others.
        amount: its number; 0 where it has none.
    """

    fault: Fault
    node: Node
    guest: Guest | None
    amount: int

    @property
    def where(self) -> str:
        """Name of what it is done to."""
        if self.fault.target == "lab":
            return "the lab"
        return self.guest.name if self.guest else self.node.name


def planned_fault(lab: Lab, fault: Fault, order: FaultOrder) -> FaultPlan:
    """The fault on what was ordered.

    Raises:
        LabError: node, guest, amount or time do not go with it (exit code 2).
    """
    if order.node and fault.target != "node":
        raise _refused(f"{fault.name} is not done to a node", "Leave --node away; ./inv lab.faults shows targets")
    if order.guest and fault.target != "guest":
        raise _refused(f"{fault.name} is not done to a guest", "Leave --guest away; ./inv lab.faults shows targets")
    if order.seconds < 0:
        raise _refused(f"--seconds {order.seconds:g} is no time", "Give more than 0, or leave it away")
    if order.seconds and not fault.lasting:
        raise _refused(f"{fault.name} is over as soon as it is made", "Leave --seconds away; ./inv lab.heal tidies up")
    guest = _guest(lab, order.guest) if fault.target == "guest" else None
    node = lab.node(guest.home) if guest else _node(lab, order.node)
    return FaultPlan(fault, node, guest, _amount(fault, order.amount))


def filled(text: str, lab: Lab, plan: FaultPlan | None = None, values: Mapping[str, str] | None = None) -> str:
    """A script with its words filled in.

    Args:
        text: of the script.
        lab: gives MOUNT, DRBD_PORT, RESOURCE, MINOR, GROUP, VOLUME.
        plan: gives NODE, OWN, PEER (addresses on the service network), GUEST, GUEST_QUESTION, AMOUNT.
        values: further words, which win.

    Raises:
        LabError: a word is not known.
    """
    storage = lab.storage
    words = {
        "MOUNT": storage.mount_point,
        "DRBD_PORT": str(storage.port),
        "OCFS2_PORT": str(storage.ocfs2_port),
        "RESOURCE": storage.resource,
        "MINOR": str(storage.minor),
        "GROUP": storage.volume_group,
        "VOLUME": storage.logical_volume,
    }
    if plan is not None:
        peer = next(node for node in lab.nodes if node.name != plan.node.name)
        words |= {
            "NODE": plan.node.name,
            "OWN": str(addressing.node_service_ip(lab, plan.node)),
            "PEER": str(addressing.node_service_ip(lab, peer)),
            "AMOUNT": str(plan.amount),
            "GUEST": plan.guest.domain if plan.guest else "",
            "GUEST_QUESTION": _guest_question(lab, plan.guest) if plan.guest else "",
        }
    words |= values or {}
    unknown = sorted(set(_PLACEHOLDER.findall(text)) - words.keys())
    if unknown:
        raise LabError(f"a script of the catalogue has words that nobody fills in: {', '.join(unknown)}")
    return _PLACEHOLDER.sub(lambda match: words[match[1]], text)


def _guest_question(lab: Lab, guest: Guest) -> str:
    """A command of a node that a living guest answers; into a VLAN a node has no other way than the agent."""
    if guest.vlan:
        return f"""virsh -q qemu-agent-command {guest.domain} --timeout 5 '{{"execute": "guest-ping"}}'"""
    return f"ping -q -c 2 -W 2 {addressing.guest_ip(lab, guest)}"


def _amount(fault: Fault, given: int) -> int:
    if fault.amount is None:
        if given:
            raise _refused(f"{fault.name} has no amount", "Leave --amount away")
        return 0
    limits = fault.amount
    if given and not limits.least <= given <= limits.most:
        raise _refused(
            f"--amount {given} is out of bounds for {fault.name}",
            f"Give {limits.least} to {limits.most} {limits.unit}",
        )
    return given or limits.default


def _node(lab: Lab, name: str) -> Node:
    if not name:
        return lab.nodes[0]
    if name not in lab.node_names:
        hint = nearest(name, lab.node_names)
        raise _refused(f"{name} is not a node of lab {lab.name}", f"{hint}The nodes are: {', '.join(lab.node_names)}")
    return lab.node(name)


def _guest(lab: Lab, name: str) -> Guest:
    found = next((guest for guest in lab.guests if not name or guest.domain == name.lower()), None)
    if found is None:
        names = ", ".join(guest.name for guest in lab.guests) or "none, this lab has no guests"
        raise _refused(f"{name or 'a guest'} is not a guest of lab {lab.name}", f"The guests are: {names}")
    return found


def _refused(message: str, remedy: str) -> LabError:
    return LabError(message, remedy=remedy, exit_code=2)
