"""The tasks of faults, for ``tasks.py``: make one, take everything back, read the catalogue."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from lab import surface
from lab.core.faults.fault import FaultOrder
from lab.help_option import task
from lab.practice import COMMON, DEFAULT, JSON, finish


@task(
    positional=["fault"],
    help={
        **COMMON,
        **JSON,
        "fault": "its name; ./inv lab.faults lists them",
        "node": "node it is done to; the first one when not given",
        "guest": "guest it is done to; the first one when not given",
        "amount": "how much of it (percent, milliseconds and so on); its own when not given",
        "seconds": "heal the lab after so long; without it the fault stays until ./inv lab.heal",
    },
)
def fault(  # noqa: PLR0917 (Invoke turns parameters into options)
    _context: Context,
    fault: str,
    topology: str = DEFAULT,
    name: str = "",
    node: str = "",
    guest: str = "",
    amount: int = 0,
    seconds: float = 0.0,
    json: bool = False,
) -> None:
    """Make a fault on a healthy lab, and prove that it took effect.

    Ends with 2 when the fault cannot be made on this lab.

    Examples: ./inv lab.fault freeze --node brina
              ./inv lab.fault packet-loss --amount 20 --seconds 60
    """
    order = FaultOrder(fault, node, guest, amount, seconds)
    finish(surface.carry_out("fault", order, topology=topology, name=name, as_json=json))


@task(
    help={
        **COMMON,
        **JSON,
        "discard": "after a split brain of DRBD: the node whose changes are thrown away",
    }
)
def heal(_context: Context, topology: str = DEFAULT, name: str = "", discard: str = "", json: bool = False) -> None:
    """Take back what faults left, found by looking at host and nodes, and wait until the lab is healthy and served.

    Example: ./inv lab.heal
    """
    finish(surface.carry_out("heal", discard, topology=topology, name=name, as_json=json))


@task(help={**COMMON, **JSON})
def faults(_context: Context, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Show the catalogue of faults: target, what each teaches, what a correct cluster does, how it is undone.

    Example: ./inv lab.faults
    """
    finish(surface.carry_out("faults", topology=topology, name=name, as_json=json))


TASKS: tuple[Any, ...] = (fault, heal, faults)
