"""Making a fault, and proving that it took effect."""

from __future__ import annotations

from collections.abc import Callable

from lab.core.errors import LabError
from lab.core.faults.fault import FaultPlan, filled
from lab.doors.ssh import RemoteError, Shell
from lab.workflows import fault_on_host, split_brain
from lab.workflows.fault_stage import (
    IMPOSSIBLE,
    SCRIPT_LIMIT_S,
    Stage,
    another_boot,
    note_boot,
    unproven,
    words_of,
)


def make(stage: Stage, plan: FaultPlan) -> None:
    """Make the fault.

    Raises:
        LabError: it cannot be made; with exit code 2 where it cannot be made on this lab at all.
    """
    _MAKERS[plan.fault.means](stage, plan)


def prove(stage: Stage, plan: FaultPlan) -> str:
    """The evidence that the fault took effect.

    Raises:
        LabError: there is none.
    """
    return _PROVERS[plan.fault.means](stage, plan)


# Shells


def _run(stage: Stage, shell: Shell, script: str, limit_s: float = SCRIPT_LIMIT_S) -> str:
    # Guests have no bash.
    result = shell.run("sh -s", stdin=script.encode(), timeout_s=stage.limit_s(limit_s))
    if not result.ok:
        raise RemoteError(shell.host, script.strip().splitlines()[-1], result)
    return result.stdout


def _make_shell(stage: Stage, plan: FaultPlan) -> None:
    assert plan.fault.script is not None
    if plan.fault.detail == "next boot":
        note_boot(stage, plan.node)
    inside = plan.guest if plan.fault.means == "shell-in-guest" else None
    shell = stage.session.shell(inside or plan.node)
    script = filled(plan.fault.script.inject, stage.session.lab, plan, words_of(stage.session))
    try:
        _run(stage, shell, script, 2 * SCRIPT_LIMIT_S)
    except RemoteError as error:
        if error.result.returncode != IMPOSSIBLE:
            raise
        raise LabError(
            f"{plan.fault.name} cannot be made on {plan.where}: what it needs is not there",
            remedy="./inv lab.faults says what it needs",
            details=error.details,
            exit_code=IMPOSSIBLE,
        ) from error


def _prove_shell(stage: Stage, plan: FaultPlan) -> str:
    assert plan.fault.script is not None
    if plan.fault.detail == "next boot":
        return another_boot(stage, plan.node)
    script = filled(plan.fault.script.proof, stage.session.lab, plan, words_of(stage.session))
    try:
        said = _run(stage, stage.session.shell(plan.node), script)
    except RemoteError as error:
        raise unproven(plan, " ".join(error.details) or "its proof fails") from error
    return said.strip().splitlines()[-1] if said.strip() else plan.fault.proof


def _make_everywhere(stage: Stage, plan: FaultPlan) -> None:
    split_brain.make(stage.session, plan)


def _prove_everywhere(stage: Stage, plan: FaultPlan) -> str:
    evidence = split_brain.evidence(stage.session)
    if not evidence:
        raise unproven(plan, "DRBD is connected")
    return evidence


_MAKERS: dict[str, Callable[[Stage, FaultPlan], None]] = {
    "power": fault_on_host.make_power,
    "links": fault_on_host.make_links,
    "throttle": fault_on_host.make_throttle,
    "fence-daemon": fault_on_host.make_daemon,
    "shell": _make_shell,
    "shell-everywhere": _make_everywhere,
    "shell-in-guest": _make_shell,
}
_PROVERS: dict[str, Callable[[Stage, FaultPlan], str]] = {
    "power": fault_on_host.prove_power,
    "links": fault_on_host.prove_links,
    "throttle": fault_on_host.prove_throttle,
    "fence-daemon": fault_on_host.prove_daemon,
    "shell": _prove_shell,
    "shell-everywhere": _prove_everywhere,
    "shell-in-guest": _prove_shell,
}
