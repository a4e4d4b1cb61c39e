"""The lab as it is: nodes, accelerator, DRBD, OCFS2, Pacemaker, guests, and services as a client sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.health import NodeFacts
from lab.core.outcome import Outcome
from lab.core.service_result import ProbeResult
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import observe, renewing, serving, switching
from lab.workflows.options import Options
from lab.workflows.session import Session, open_session


def status(options: Options) -> Outcome:
    """Look at everything once.

    Raises:
        LabError: there is no such lab.
    """
    with open_session(options, "status") as session:
        hypervisor = Hypervisor()
        try:
            domains = hypervisor.owned_domains(session.lab.name)
        finally:
            hypervisor.close()
        states = {domain.node: domain.state for domain in domains}
        if not states:
            raise LabError(
                f"there is no lab {session.lab.name} here", remedy=f"Build it with {session.options.up_command}"
            )
        on = "running" in states.values()
        look = observe.look(session) if on else observe.Look(dict.fromkeys(session.lab.node_names))
        answers = serving.ask(session, thorough=False) if on else []
        problems = look.problems(session.lab) if on else ["the lab is halted"]
        problems += [answer.as_line() for answer in answers if not answer.ok]
        switch = switching.look(session) if on else None
        problems += switch.problems if switch else []
        if renewing.phase_of(session.folder) is not None:
            problems.append("its secrets are being renewed; ./inv lab.up finishes that")
        document = _document(session, states, look, answers, problems, switch=switch)
        return Outcome(
            _text(session, states, look, answers, problems, switch=switch),
            document | {"driver": domains[0].driver},
            ok=not problems,
        )


def _node_line(session: Session, name: str, state: str, facts: NodeFacts | None) -> str:
    if facts is None:
        return f"  {name:<10} {state:<10} cannot be asked"
    drbd = facts.drbd.device(session.lab.storage.minor) if facts.drbd else "not loaded"
    mount = "mounted" if "ocfs2" in facts.mount.split() else "not mounted"
    return f"  {name:<10} {state:<10} up {facts.uptime_s:.0f} s, DRBD {drbd}, OCFS2 {mount}"


def _place(session: Session, look: observe.Look, domain: str) -> str:
    places = [name for name, facts in look.nodes.items() if facts and domain in facts.running_guests]
    return " and ".join(places) or "nowhere"


def _text(
    session: Session,
    states: Mapping[str, str],
    look: observe.Look,
    answers: list[ProbeResult],
    problems: list[str],
    *,
    switch: switching.SwitchLook | None,
) -> str:
    lab = session.lab
    fencing = lab.fencing.method
    lines = [f"Lab {lab.name}: {lab.accelerator}, time scale {lab.time_scale:g}, fencing {fencing}", "Nodes"]
    lines += [_node_line(session, name, states.get(name, "missing"), look.nodes.get(name)) for name in lab.node_names]
    cluster = look.cluster
    if cluster is not None:
        lines += [
            "Cluster",
            f"  online {', '.join(cluster.online) or 'nobody'}; quorum {'yes' if cluster.quorum else 'NO'}; "
            f"coordinator {cluster.coordinator or 'none'}; failed actions {len(cluster.failed_actions)}",
        ]
    if switch is not None:
        lines += ["Switch", f"  {switch.text}"]
    lines.append("Guests")
    for guest in lab.guests:
        home = "at home" if _place(session, look, guest.domain) == guest.home else f"home is {guest.home}"
        lines.append(
            f"  {guest.name:<10} {guest.resource:<5} {addressing.guest_ip(lab, guest)!s:<15} "
            f"on {_place(session, look, guest.domain)} ({home})"
        )
    if answers:
        lines.append("Services, as a client sees them")
        lines += [f"  {answer.as_line()}" for answer in answers]
    if fencing == "none":
        lines.append("WARNING: FENCING IS OFF. Two primaries without fencing lose data when the nodes lose each other.")
    lines.append("Healthy." if not problems else "NOT healthy:")
    lines += [f"  {problem}" for problem in problems]
    return "\n".join(lines)


def _node_document(session: Session, facts: NodeFacts | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    return {
        "boot_id": facts.boot_id,
        "uptime_s": facts.uptime_s,
        "drbd": str(facts.drbd.device(session.lab.storage.minor)) if facts.drbd else "",
        "ocfs2_mounted": "ocfs2" in facts.mount.split(),
        "guests": list(facts.running_guests),
        "pacemaker": facts.cluster is not None,
    }


def _document(
    session: Session,
    states: Mapping[str, str],
    look: observe.Look,
    answers: list[ProbeResult],
    problems: list[str],
    *,
    switch: switching.SwitchLook | None,
) -> dict[str, object]:
    lab = session.lab
    cluster = look.cluster
    document: dict[str, object] = {
        "lab": lab.name,
        "accelerator": lab.accelerator,
        "time_scale": lab.time_scale,
        "fencing": lab.fencing.method,
        "healthy": not problems,
        "problems": problems,
        "nodes": {
            name: {"state": states.get(name, "missing"), "seen": _node_document(session, look.nodes.get(name))}
            for name in lab.node_names
        },
        "cluster": None
        if cluster is None
        else {
            "online": list(cluster.online),
            "quorum": cluster.quorum,
            "coordinator": cluster.coordinator,
            "failed_actions": [action.operation for action in cluster.failed_actions],
        },
        "guests": {
            guest.name: {
                "resource": guest.resource,
                "address": str(addressing.guest_ip(lab, guest)),
                "home": guest.home,
                "on": _place(session, look, guest.domain),
            }
            for guest in lab.guests
        },
        "services": [answer.as_document() for answer in answers],
    }
    if switch is not None:
        document["switch"] = {
            "kind": "openvswitch",
            "lacp": {
                name: {member.name: member.carries for member in bond.members} for name, bond in switch.bonds.items()
            },
            "vlans": {port.vlan: str(port.address.ip) for port in switch.plan.host_ports},
            "problems": switch.problems,
        }
    return document
