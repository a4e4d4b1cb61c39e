"""A drill with a fault of the catalogue: made and proven while clients ask, kept for a while, healed."""

from __future__ import annotations

from lab.core.errors import LabError
from lab.doors.clock import pause
from lab.workflows import heal
from lab.workflows.drill_actions import Scene
from lab.workflows.fault_injection import make, prove
from lab.workflows.fault_stage import Stage


def fault_drill(scene: Scene) -> None:
    """Make the drill's fault, prove it, keep it, and heal the lab.

    Raises:
        LabError: it cannot be made, does not show, or the lab does not become healthy.
    """
    plan = scene.faulty
    if plan is None:
        raise LabError(f"{scene.drill.name} names no fault", remedy="./inv lab.faults lists them", exit_code=2)
    stage = Stage(scene.session, scene.hypervisor)
    reporter = scene.session.reporter
    with reporter.step(f"fault {plan.fault.name} on {plan.where}"):
        scene.fault(plan.fault.summary)
        make(stage, plan)
        scene.note("fault proven", plan.where, prove(stage, plan), 1.0)
    hold_s = scene.hold_s or plan.fault.hold_s * scene.session.lab.time_scale
    with reporter.step(f"the fault stays for {hold_s:g} s"):
        pause(hold_s)
    with reporter.step("heal"):
        scene.note("healing", plan.where, plan.fault.undo)
        for one in heal.heal_now(stage):
            reporter.note(one)
        scene.note("healed", plan.where, plan.fault.absence, 1.0)
