"""Faults that are made on the host: power, cables and throttles by libvirt, and the fencing daemon."""

from __future__ import annotations

from pathlib import Path

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.faults.fault import FaultPlan
from lab.core.parsers.bonding import Bond, parse_bond
from lab.doors import files
from lab.doors.clock import Deadline, wait_until
from lab.drivers import fencing, machine_faults
from lab.workflows import host_side
from lab.workflows.fault_stage import IMPOSSIBLE, SCRIPT_LIMIT_S, Stage, another_boot, note_boot, unproven
from lab.workflows.options import ROOT
from lab.workflows.session import Session

REFUSING = "fence_virt.refusing.conf"
#: The interface of the node by the name that rendering gives to the domain's.
LEGS = {"eth0": "leg1", "eth1": "leg2"}


# Power, by libvirt


def make_power(stage: Stage, plan: FaultPlan) -> None:
    """Stop, reset or switch off the machine of a node, or of all nodes."""
    hypervisor, domain = stage.hypervisor, stage.domain(plan.node)
    if plan.fault.detail == "suspend":
        machine_faults.suspend(hypervisor, domain)
    elif plan.fault.detail == "reset":
        note_boot(stage, plan.node)
        machine_faults.reset(hypervisor, domain)
    elif plan.fault.detail == "off":
        hypervisor.power_off(domain)
    else:
        for node in stage.session.lab.nodes:
            hypervisor.power_off(stage.domain(node))
            stage.session.shell(node).close()
    stage.session.shell(plan.node).close()


def prove_power(stage: Stage, plan: FaultPlan) -> str:
    """Libvirt's word about the machines, or the node's next boot."""
    if plan.fault.detail == "reset":
        return another_boot(stage, plan.node)
    wanted = "paused" if plan.fault.detail == "suspend" else "off"
    nodes = stage.session.lab.nodes if plan.fault.target == "lab" else (plan.node,)
    states = {node.name: stage.hypervisor.state(stage.domain(node)) for node in nodes}
    if set(states.values()) != {wanted}:
        raise unproven(plan, f"libvirt calls it {states}")
    return f"libvirt: {', '.join(f'{name} is {state}' for name, state in states.items())}"


# Cables, by libvirt


def make_links(stage: Stage, plan: FaultPlan) -> None:
    """Pull one cable of the bond, the active one, or both."""
    nics = list(LEGS.values())
    if plan.fault.detail == "one":
        bond = _bond(stage, plan)
        # In 802.3ad all legs are active; then it is the first one with a link.
        active = bond.active or next((leg.name for leg in bond.legs if leg.up), "")
        if active not in LEGS:
            raise LabError(f"the bond of {plan.node.name} has no active leg", remedy="./inv lab.heal", exit_code=2)
        nics = [LEGS[active]]
    for nic in nics:
        machine_faults.set_link(stage.hypervisor, stage.domain(plan.node), nic, up=False)


def prove_links(stage: Stage, plan: FaultPlan) -> str:
    """The bond's own word about its legs."""

    def seen() -> str | None:
        bond = _bond(stage, plan)
        down = [leg.name for leg in bond.legs if not leg.up]
        rest = bond.active or next((leg.name for leg in bond.legs if leg.up), "")
        if plan.fault.detail == "one" and len(down) == 1 and rest not in ("", *down):
            return f"{down[0]} has no link in the bond, {rest} is active"
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


def make_throttle(stage: Stage, plan: FaultPlan) -> None:
    """Hold the node's disk to so many operations a second."""
    machine_faults.throttle(stage.hypervisor, stage.domain(plan.node), plan.fault.detail, plan.amount)


def prove_throttle(stage: Stage, plan: FaultPlan) -> str:
    """The rate at which the node can read past its cache."""
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


def make_daemon(stage: Stage, plan: FaultPlan) -> None:
    """End the fencing daemon, or replace it by one that gives the node no permission."""
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


def prove_daemon(stage: Stage, plan: FaultPlan) -> str:
    """Nothing answers on the host, or the node is shown no machine."""
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
