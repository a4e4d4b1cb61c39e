"""Making a fault, and proving that it took effect."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.faults.fault import FaultPlan, filled
from lab.core.model import Node
from lab.core.parsers.bonding import Bond, parse_bond
from lab.doors import files
from lab.doors.clock import Deadline, wait_until, wall_s
from lab.doors.ssh import RemoteError, Shell
from lab.drivers import fencing, machine_faults
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import host_side, observe, split_brain
from lab.workflows.options import ROOT
from lab.workflows.session import Session

#: A fault's script says with this exit code that it cannot be made here.
IMPOSSIBLE = 2
SCRIPT_LIMIT_S = 40.0
BOOT_LIMIT_S = 200.0
REFUSING = "fence_virt.refusing.conf"
#: The interface of the node by the name that rendering gives to the domain's.
LEGS = {"eth0": "leg1", "eth1": "leg2"}


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


def unproven(plan: FaultPlan, why: str) -> LabError:
    """A fault was made and does not show."""
    return LabError(
        f"{plan.fault.name} on {plan.where} was made, but it is not proven to be in effect: {why}",
        remedy="./inv lab.heal takes back what there is of it",
    )


# Power, by libvirt


def _make_power(stage: Stage, plan: FaultPlan) -> None:
    hypervisor, domain = stage.hypervisor, stage.domain(plan.node)
    if plan.fault.detail == "suspend":
        machine_faults.suspend(hypervisor, domain)
    elif plan.fault.detail == "reset":
        _note_boot(stage, plan.node)
        machine_faults.reset(hypervisor, domain)
    elif plan.fault.detail == "off":
        hypervisor.power_off(domain)
    else:
        for node in stage.session.lab.nodes:
            hypervisor.power_off(stage.domain(node))
            stage.session.shell(node).close()
    stage.session.shell(plan.node).close()


def _prove_power(stage: Stage, plan: FaultPlan) -> str:
    if plan.fault.detail == "reset":
        return _another_boot(stage, plan.node)
    wanted = "paused" if plan.fault.detail == "suspend" else "off"
    nodes = stage.session.lab.nodes if plan.fault.target == "lab" else (plan.node,)
    states = {node.name: stage.hypervisor.state(stage.domain(node)) for node in nodes}
    if set(states.values()) != {wanted}:
        raise unproven(plan, f"libvirt calls it {states}")
    return f"libvirt: {', '.join(f'{name} is {state}' for name, state in states.items())}"


def _note_boot(stage: Stage, node: Node) -> None:
    facts = observe.look_at_node(stage.session, node)
    if facts is None or not facts.boot_id:
        raise LabError(f"{node.name} cannot be asked for its boot id", remedy="./inv lab.status shows the lab")
    stage.boot_ids[node.name] = facts.boot_id


def _another_boot(stage: Stage, node: Node) -> str:
    shell = stage.session.shell(node)
    before = stage.boot_ids[node.name]

    def after() -> str:
        # A connection that died with the node must not be waited for.
        shell.close()
        if not shell.reachable(5):
            return ""
        found = shell.run("cat /proc/sys/kernel/random/boot_id", timeout_s=30).stdout.strip()
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


# Cables, by libvirt


def _make_links(stage: Stage, plan: FaultPlan) -> None:
    nics = list(LEGS.values())
    if plan.fault.detail == "one":
        active = _bond(stage, plan).active
        if active not in LEGS:
            raise LabError(f"the bond of {plan.node.name} has no active leg", remedy="./inv lab.heal", exit_code=2)
        nics = [LEGS[active]]
    for nic in nics:
        machine_faults.set_link(stage.hypervisor, stage.domain(plan.node), nic, up=False)


def _prove_links(stage: Stage, plan: FaultPlan) -> str:
    def seen() -> str | None:
        bond = _bond(stage, plan)
        down = [leg.name for leg in bond.legs if not leg.up]
        if plan.fault.detail == "one" and len(down) == 1 and bond.active not in ("", *down):
            return f"{down[0]} has no link in the bond, {bond.active} is active"
        if plan.fault.detail == "both" and len(down) == len(bond.legs):
            return f"{' and '.join(down)} have no link in the bond"
        return None

    return wait_until(
        seen,
        what="the bond to notice its cables",
        deadline=Deadline.after(stage.limit_s(10)),
        remedy="./inv lab.heal plugs them in again",
    )


def _bond(stage: Stage, plan: FaultPlan) -> Bond:
    shell = stage.session.shell(plan.node)
    return parse_bond(shell.succeed("cat /proc/net/bonding/bond0", timeout_s=stage.limit_s(20)))


# The disk's throttle, by libvirt


def _make_throttle(stage: Stage, plan: FaultPlan) -> None:
    machine_faults.throttle(stage.hypervisor, stage.domain(plan.node), plan.fault.detail, plan.amount)


def _prove_throttle(stage: Stage, plan: FaultPlan) -> str:
    # QEMU lets a tenth of a second's worth through at once, so three seconds' worth is little distorted by it.
    count = 3 * plan.amount
    line = (
        "before=$(cut -d ' ' -f 1 /proc/uptime); dd if=/dev/%s of=/dev/null iflag=direct bs=4k count=%s 2>/dev/null\n"
        'awk "BEGIN {print $(cut -d " " -f 1 /proc/uptime) - $before}"'
    )
    shell = stage.session.shell(plan.node)
    took_s = float(shell.succeed(line, plan.fault.detail, str(count), timeout_s=stage.limit_s(SCRIPT_LIMIT_S)))
    if took_s <= 0 or count / took_s > 1.5 * plan.amount:
        raise unproven(plan, f"{count} reads took {took_s:.1f} s")
    return f"{count} reads past the cache took {took_s:.1f} s: {count / took_s:.0f} operations/s"


# The fencing daemon on the host


def _make_daemon(stage: Stage, plan: FaultPlan) -> None:
    session = stage.session
    if session.lab.fencing.method == "none":
        raise LabError(
            f"{plan.fault.name} cannot be made: this lab has no fencing",
            remedy="Use a topology with fencing.method fence_virt",
            exit_code=IMPOSSIBLE,
        )
    own = host_side.fence_configuration(session.folder)
    fencing.stop(own)
    if plan.fault.detail == "gone":
        return
    refused = str(addressing.node_management_ip(session.lab, plan.node))
    kept = [line for line in own.read_text().splitlines() if f'"{refused}"' not in line]
    refusing = own.with_name(REFUSING)
    files.write_atomically(refusing, ("\n".join(kept) + "\n").encode(), files.SECRET_MODE)
    start_daemon(session, refusing)


def start_daemon(session: Session, configuration: Path) -> None:
    """Start a fencing daemon with a configuration that is not the lab's own."""
    fencing.start(
        configuration,
        address=str(addressing.management_gateway(session.lab)),
        port=session.lab.fencing.port,
        working_folder=ROOT,
        log=session.folder / "logs" / "fence_virtd.log",
    )


def _prove_daemon(stage: Stage, plan: FaultPlan) -> str:
    session = stage.session
    address = str(addressing.management_gateway(session.lab))
    if plan.fault.detail == "gone":
        left = fencing.processes(host_side.fence_configuration(session.folder))
        if left or fencing.answers(address, session.lab.fencing.port):
            raise unproven(plan, "something answers where the daemon was")
        return f"no daemon of this lab runs, nothing answers at {address} port {session.lab.fencing.port}"
    result = session.shell(plan.node).run(
        "timeout 60 fence_virt -T %s -p %s -o list", address, str(session.lab.fencing.port), timeout_s=90
    )
    listed = [
        node.name for node in session.lab.nodes if addressing.domain_name(session.lab.name, node.name) in result.stdout
    ]
    if listed:
        raise unproven(plan, f"{plan.node.name} still sees {', '.join(listed)}")
    return f"{plan.node.name} asks for the list of domains and sees none of the lab's"


# Shells


def _run(stage: Stage, shell: Shell, script: str, limit_s: float = SCRIPT_LIMIT_S) -> str:
    result = shell.run("bash -s", stdin=script.encode(), timeout_s=stage.limit_s(limit_s))
    if not result.ok:
        raise RemoteError(shell.host, script.strip().splitlines()[-1], result)
    return result.stdout


def _make_shell(stage: Stage, plan: FaultPlan) -> None:
    assert plan.fault.script is not None
    if plan.fault.detail == "next boot":
        _note_boot(stage, plan.node)
    shell = stage.session.shell(plan.node)
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
        return _another_boot(stage, plan.node)
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
    "power": _make_power,
    "links": _make_links,
    "throttle": _make_throttle,
    "fence-daemon": _make_daemon,
    "shell": _make_shell,
    "shell-everywhere": _make_everywhere,
}
_PROVERS: dict[str, Callable[[Stage, FaultPlan], str]] = {
    "power": _prove_power,
    "links": _prove_links,
    "throttle": _prove_throttle,
    "fence-daemon": _prove_daemon,
    "shell": _prove_shell,
    "shell-everywhere": _prove_everywhere,
}
