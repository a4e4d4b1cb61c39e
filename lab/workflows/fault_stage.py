"""Where faults are made, and what making any of them needs: words for scripts, limits, and the next boot of a node."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.faults.fault import FaultPlan
from lab.core.model import Node
from lab.doors.clock import Deadline, wait_until, wall_s
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import observe
from lab.workflows.session import Session

#: A fault's script says with this exit code that it cannot be made here.
IMPOSSIBLE = 2
SCRIPT_LIMIT_S = 40.0
BOOT_LIMIT_S = 200.0


@dataclass
class Stage:
    """Where faults are made.

    Args:
        session, hypervisor: the lab and its host.
        boot_ids: per node that is to boot again, the boot id from before.
    """

    session: Session
    hypervisor: Hypervisor
    boot_ids: dict[str, str] = field(default_factory=dict)

    def domain(self, node: Node) -> str:
        """The node's domain on the host."""
        return addressing.domain_name(self.session.lab.name, node.name)

    def limit_s(self, seconds: float) -> float:
        """A limit stretched by the lab's time scale."""
        return seconds * self.session.lab.time_scale


def words_of(session: Session) -> dict[str, str]:
    """What scripts need beside the model: this moment, and the sum of the lab's authkey."""
    key = hashlib.sha256(session.secrets.corosync_authkey).hexdigest()
    return {"NOW": str(int(wall_s())), "AUTHKEY_SUM": key}


def unproven(plan: FaultPlan, why: str) -> LabError:
    """A fault was made and does not show."""
    return LabError(
        f"{plan.fault.name} on {plan.where} was made, but it is not proven to be in effect: {why}",
        remedy="./inv lab.heal takes back what there is of it",
    )


def note_boot(stage: Stage, node: Node) -> None:
    """Keep the boot id of a node that is to boot again."""
    facts = observe.look_at_node(stage.session, node)
    if facts is None or not facts.boot_id:
        raise LabError(f"{node.name} cannot be asked for its boot id", remedy="./inv lab.status shows the lab")
    stage.boot_ids[node.name] = facts.boot_id


def another_boot(stage: Stage, node: Node) -> str:
    """Wait for another boot id of a node; returns the evidence in words."""
    shell = stage.session.shell(node)
    before = stage.boot_ids[node.name]

    def after() -> str:
        # A connection that died with the node must not be waited for.
        shell.close()
        if not shell.reachable(5):
            return ""
        result = shell.asked("cat /proc/sys/kernel/random/boot_id")
        found = "" if result is None else result.stdout.strip()
        return "" if found == before else found

    found = wait_until(
        lambda: after() or None,
        what=f"{node.name} to boot again",
        deadline=Deadline.after(stage.limit_s(BOOT_LIMIT_S)),
        interval_s=2.0,
        remedy=f"Look at its console with ./inv lab.console {node.name}; ./inv lab.heal switches it on",
        details=lambda: stage.hypervisor.console_tail(stage.domain(node)),
    )
    return f"boot id of {node.name} was {before[:8]}, is {found[:8]}"
