"""Faults alone: made and proven, listed, and as a context for programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.core.errors import LabError
from lab.core.faults.catalogue import FAULTS, planned
from lab.core.faults.fault import Fault, FaultOrder, FaultPlan
from lab.core.outcome import Outcome
from lab.doors.clock import now_s, pause
from lab.workflows import heal, observe
from lab.workflows.fault_injection import make, prove
from lab.workflows.fault_stage import Stage
from lab.workflows.opening import opened
from lab.workflows.options import Options, load_lab


def fault(options: Options, order: FaultOrder) -> Outcome:
    """Make a fault and prove that it took effect; with a time, keep it so long and heal the lab.

    Raises:
        LabError: no such fault or target, or it cannot be made here (exit code 2); it does not show; or the lab
            does not become healthy.
    """
    plan = planned(load_lab(options), order)
    started_s = now_s()
    with opened(options, "fault") as (session, hypervisor):
        stage = Stage(session, hypervisor)
        require_sound(stage)
        evidence = carried_out(stage, plan)
        document: dict[str, object] = {
            "lab": session.lab.name,
            "fault": plan.fault.name,
            "target": plan.where,
            "amount": plan.amount or None,
            "evidence": evidence,
        }
        lines = [f"{plan.fault.name} on {plan.where}: {evidence}."]
        if order.seconds:
            with session.reporter.step(f"{plan.fault.name} stays for {order.seconds:g} s"):
                pause(order.seconds)
            done = heal.heal_now(stage)
            document["undone"] = done
            lines += [f"Healed after {order.seconds:g} s; undone:", *(f"  {one}" for one in done)]
        else:
            lines += [f"Expected: {plan.fault.expected}", "./inv lab.heal takes it back."]
        document["duration_s"] = round(now_s() - started_s, 1)
        return Outcome("\n".join(lines), document)


def carried_out(stage: Stage, plan: FaultPlan) -> str:
    """Make a fault and return the evidence that it took effect."""
    with stage.session.reporter.step(f"fault {plan.fault.name} on {plan.where}"):
        make(stage, plan)
    with stage.session.reporter.step("prove it"):
        return prove(stage, plan)


@contextmanager
def broken(stage: Stage, order: FaultOrder, *, discard: str = "") -> Iterator[str]:
    """A lab with a fault, for programs: made and proven on entering, healed on leaving, also after an exception.

    Args:
        stage: the lab; see :func:`lab.workflows.drill.opened` for its parts.
        order: the fault; ``seconds`` has no meaning here.
        discard: as for :func:`lab.workflows.heal.heal`.

    Yields:
        The evidence that the fault took effect.
    """
    try:
        yield carried_out(stage, planned(stage.session.lab, order))
    finally:
        heal.heal_now(stage, discard)


def require_sound(stage: Stage) -> None:
    """Another fault on top of one would prove nothing of either.

    Raises:
        LabError: something of a fault is there, or the lab is not healthy.
    """
    missing = [one.name for one in stage.session.lab.nodes if stage.hypervisor.state(stage.domain(one)) == "missing"]
    if missing:
        raise LabError(f"{' and '.join(missing)} is not there", remedy="./inv lab.up builds what is missing")
    with stage.session.reporter.step("the lab is healthy and without a fault"):
        left = [*heal.host_remains(stage)]
        if not left:
            left += [str(remain) for remain in heal.look_for_remains(stage.session)]
            left += observe.look(stage.session).problems(stage.session.lab)
    if left:
        raise LabError(
            f"the lab {stage.session.lab.name} is not healthy, or has a fault already; nothing was done",
            remedy="./inv lab.heal mends it",
            details=left,
        )


def faults(options: Options) -> Outcome:
    """The catalogue, for reading."""
    lab = load_lab(options)
    lines = [f"Faults for lab {lab.name}; ./inv lab.fault NAME makes one, ./inv lab.heal takes everything back."]
    group = ""
    for one in FAULTS:
        if one.group != group:
            group = one.group
            lines += ["", f"{group.capitalize()}"]
        lines += _described(one)
    return Outcome("\n".join(lines), {"faults": [as_document(one) for one in FAULTS]})


def _described(one: Fault) -> list[str]:
    amount = ""
    if one.amount:
        amount = f", --amount {one.amount.least} to {one.amount.most} {one.amount.unit} ({one.amount.default})"
    return [
        f"  {one.name} ({one.target}{amount})",
        f"    {one.summary}",
        f"    Teaches: {one.teaches}",
        f"    Expected: {one.expected}",
        f"    Proven by: {one.proof}. Undone: {one.undo}.",
    ]


def as_document(one: Fault) -> dict[str, object]:
    """A fault as JSON knows it."""
    return {
        "name": one.name,
        "group": one.group,
        "target": one.target,
        "lasting": one.lasting,
        "summary": one.summary,
        "teaches": one.teaches,
        "expected": one.expected,
        "proof": one.proof,
        "undo": one.undo,
        "absence": one.absence,
        "amount": vars(one.amount) if one.amount else None,
    }
