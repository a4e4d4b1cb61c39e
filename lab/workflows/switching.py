"""The lab's Open vSwitch, where the topology wants one: started, judged and removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.core.errors import LabError
from lab.core.parsers.openvswitch import LacpBond, parse_lacp
from lab.core.switch_plan import SwitchPlan, plan_of
from lab.core.switch_state import carrying_text, lacp_problems
from lab.doors.clock import Deadline, wait_until
from lab.drivers import openvswitch
from lab.workflows.session import Session

FOLDER = "switch"
#: LACP is settled within seconds; a busy emulated node takes longer to say its part.
LACP_LIMIT_S = 60.0


@dataclass(frozen=True)
class SwitchLook:
    """What the switch says.

    Args:
        plan: what it is to be.
        bonds: LACP's word on each node's bond.
        failure: why it could not be asked; empty when it could.
    """

    plan: SwitchPlan
    bonds: Mapping[str, LacpBond]
    failure: str = ""

    @property
    def problems(self) -> list[str]:
        """What is wrong, each as one sentence."""
        return [self.failure] if self.failure else lacp_problems(self.plan, self.bonds)

    @property
    def text(self) -> str:
        """One line for a person."""
        if self.failure:
            return self.failure
        bonds = f"LACP with {carrying_text(self.plan, self.bonds)}" if self.plan.lacp else "no LACP (active-backup)"
        vlans = [f"VLAN {port.vlan} with {port.address.ip} on this host" for port in self.plan.host_ports]
        return "; ".join([f"Open vSwitch, {bonds}", *vlans])


def place(folder: Path) -> Path:
    """The folder that identifies a lab's switch; ``folder`` is ``build/<lab>``."""
    return folder.absolute() / FOLDER


def ensure(session: Session) -> bool:
    """The switch, if the topology wants one and it does not run; returns whether it was started now.

    The service network has to be there, and the nodes cannot start without the switch.
    """
    plan = plan_of(session.lab)
    if plan is None:
        return False
    return openvswitch.ensure(plan, place(session.folder), session.folder / "logs")


def remove(lab_name: str, folder: Path) -> bool:
    """End and remove the switch of a lab whose nodes are gone, whatever its topology says; whether there was one."""
    return openvswitch.stop(lab_name, place(folder))


def look(session: Session) -> SwitchLook | None:
    """What the switch says; None for a lab that has none."""
    plan = plan_of(session.lab)
    if plan is None:
        return None
    try:
        return SwitchLook(plan, parse_lacp(openvswitch.ask(place(session.folder), "lacp/show")))
    except LabError as error:
        return SwitchLook(plan, {}, error.message)


def wait_negotiated(session: Session) -> None:
    """Wait until every leg of every node carries, where LACP is spoken.

    Raises:
        WaitError: it is not so in time; with what is wrong.
    """
    if plan_of(session.lab) is None:
        return

    def negotiated() -> bool:
        seen = look(session)
        return seen is not None and not seen.problems

    def details() -> list[str]:
        seen = look(session)
        return seen.problems if seen is not None else []

    wait_until(
        negotiated,
        what="LACP between the nodes and the switch",
        deadline=Deadline.after(LACP_LIMIT_S * session.lab.time_scale),
        interval_s=0.5,
        remedy="`cat /proc/net/bonding/bond0` on a node says what it hears; ./inv lab.heal plugs pulled cables in",
        details=details,
    )
