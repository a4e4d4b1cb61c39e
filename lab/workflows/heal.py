"""Healing a lab: what faults left is found by looking at host and nodes, undone, and health is waited for."""

from __future__ import annotations

from lab.core.errors import LabError
from lab.core.faults.fault import filled
from lab.core.faults.split import parted
from lab.core.faults.traces import CLOCK, CLOCK_TOLERANCE_S, Remain, look_script, remains_of
from lab.core.health import FAILED_ACTION, NodeFacts, past_waiting
from lab.core.model import Guest, Node
from lab.core.outcome import Outcome
from lab.core.parsers.drbd import DrbdDevice
from lab.core.service_result import all_served
from lab.doors.clock import Deadline, now_s, wait_until
from lab.doors.process import ProcessError
from lab.drivers import fencing, machine_faults
from lab.workflows import clocks, host_side, observe, pending, serving, split_brain, switching
from lab.workflows.fault_on_host import REFUSING
from lab.workflows.fault_stage import Stage, words_of
from lab.workflows.opening import opened
from lab.workflows.options import Options
from lab.workflows.session import Session

LOOK_LIMIT_S = 40.0
UNDO_LIMIT_S = 120.0
REACHABLE_LIMIT_S = 120.0
HEALTHY_LIMIT_S = 300.0
#: A guest that runs and is silent for so many looks in a row, on a healthy cluster, hangs.
SILENT_LOOKS = 3
#: DRBD that is just coming up stands alone for a moment, before it is told to connect; split is what stays so.
PARTED_LOOKS = 3


def heal(options: Options, discard: str = "") -> Outcome:
    """Take back what faults left, and wait until the lab is healthy and every service answers.

    Args:
        options: which lab.
        discard: after a split brain of DRBD, the node whose changes are thrown away; empty to go by the rule.

    Raises:
        LabError: something stays wrong; with what it is.
    """
    started_s = now_s()
    with opened(options, "heal") as (session, hypervisor):
        if discard and discard not in session.lab.node_names:
            names = ", ".join(session.lab.node_names)
            raise LabError(f"--discard {discard} is not a node", remedy=f"Choose one of: {names}", exit_code=2)
        done = heal_now(Stage(session, hypervisor), discard)
        seconds = now_s() - started_s
        lines = [f"  {one}" for one in done] or ["  nothing was to be undone"]
        return Outcome(
            "\n".join([f"Lab {session.lab.name} is healthy and served ({seconds:.1f} s). Undone:", *lines]),
            {"lab": session.lab.name, "undone": done, "duration_s": round(seconds, 1)},
        )


def heal_now(stage: Stage, discard: str = "") -> list[str]:
    """As :func:`heal`, within a session that is open and holds the lab's lock; returns what was undone.

    Raises:
        LabError: something stays wrong.
    """
    session = stage.session
    missing = [node.name for node in session.lab.nodes if stage.hypervisor.state(stage.domain(node)) == "missing"]
    if missing:
        raise LabError(f"{' and '.join(missing)} is not there", remedy="./inv lab.up builds what is missing")
    pending.settle(session, stage.hypervisor)
    with session.reporter.step("undo faults on the host"):
        done = undo_on_host(stage)
    with session.reporter.step("nodes answer over the management network"):
        session.on_each(session.lab.nodes, lambda node: _wait_reachable(stage, node))
    with session.reporter.step("undo faults on the nodes"):
        done += undo_on_nodes(stage)
    with session.reporter.step("the lab becomes healthy"):
        done += _until_healthy(stage, discard)
    with session.reporter.step("services answer a client"):
        done += _until_served(stage)
    # What a fault's own unit did between the look and its end shows now.
    late = undo_on_nodes(stage)
    done += late
    left = [*host_remains(stage), *(str(remain) for remain in (look_for_remains(session) if late else ()))]
    if left:
        raise LabError("something of a fault stays", remedy="./inv lab.reset loads the save ready", details=left)
    return done


# The host


def undo_on_host(stage: Stage) -> list[str]:
    """Fencing first: a node that is woken up may have to be fenced at once. Returns what was undone."""
    session, hypervisor = stage.session, stage.hypervisor
    done: list[str] = []
    if switching.ensure(session):
        done.append("the switch is started")
    refusing = host_side.fence_configuration(session.folder).with_name(REFUSING)
    if fencing.stop(refusing):
        done.append("the fencing daemon that refused is ended")
    refusing.unlink(missing_ok=True)
    if host_side.ensure_fencing(session):
        done.append("the fencing daemon is started")
    for node in session.lab.nodes:
        domain = stage.domain(node)
        for nic in machine_faults.links_down(hypervisor, domain):
            machine_faults.set_link(hypervisor, domain, nic, up=True)
            done.append(f"{node.name}: the cable {nic} is plugged in")
        for disk in machine_faults.throttles(hypervisor, domain):
            machine_faults.throttle(hypervisor, domain, disk, 0)
            done.append(f"{node.name}: the disk {disk} is no longer throttled")
    for node in session.lab.nodes:
        state = hypervisor.state(stage.domain(node))
        if state != "running" and hypervisor.start(stage.domain(node)):
            session.shell(node).close()
            done.append(f"{node.name}: was {state}, {'goes on' if state == 'paused' else 'is switched on'}")
    return done


def host_remains(stage: Stage) -> list[str]:
    """What of faults is on the host, in words; empty when nothing is."""
    session, hypervisor = stage.session, stage.hypervisor
    found: list[str] = []
    own = host_side.fence_configuration(session.folder)
    if session.lab.fencing.method != "none" and not fencing.processes(own):
        found.append("the lab's fencing daemon does not run")
    if fencing.processes(own.with_name(REFUSING)):
        found.append("a fencing daemon runs that refuses")
    switch = switching.look(session)
    if switch is not None and switch.failure:
        found.append(switch.failure)
    for node in session.lab.nodes:
        domain = stage.domain(node)
        found += [f"{node.name}: no link on {nic}" for nic in machine_faults.links_down(hypervisor, domain)]
        limits = machine_faults.throttles(hypervisor, domain)
        found += [f"{node.name}: {disk} is held to {limit} operations/s" for disk, limit in limits.items()]
        state = hypervisor.state(domain)
        if state != "running":
            found.append(f"{node.name} is {state}")
    return found


def _wait_reachable(stage: Stage, node: Node) -> None:
    shell = stage.session.shell(node)

    def reachable() -> bool:
        if shell.reachable(10):
            return True
        # A kept connection to a node that was switched off under it would be waited for in vain.
        shell.close()
        return False

    wait_until(
        reachable,
        what=f"{node.name} to answer over the management network",
        deadline=Deadline.after(stage.limit_s(REACHABLE_LIMIT_S)),
        interval_s=1.0,
        remedy=f"Look at its console with ./inv lab.console {node.name}",
        details=lambda: stage.hypervisor.console_tail(stage.domain(node)),
    )


# The nodes


def look_for_remains(session: Session) -> tuple[Remain, ...]:
    """Everything that faults left on the nodes; a node that cannot be asked has none to tell of."""

    def look(node: Node) -> tuple[Remain, ...]:
        script = filled(look_script(), session.lab, values=words_of(session))
        limit_s = LOOK_LIMIT_S * session.lab.time_scale
        try:
            result = session.shell(node).run("bash -s", stdin=script.encode(), timeout_s=limit_s)
        except ProcessError:
            return ()
        found = remains_of(result.stdout, node.name)
        return tuple(one for one in found if one.trace.name != CLOCK or _clock_is_away(session, node))

    return tuple(remain for found in session.on_each(session.lab.nodes, look) for remain in found)


def _clock_is_away(session: Session, node: Node) -> bool:
    """Whether the clock is wrong, or the look at a busy node was late."""
    try:
        return clocks.away_s(session, node) >= CLOCK_TOLERANCE_S
    except (LabError, ProcessError, ValueError):
        return True


def undo_on_nodes(stage: Stage) -> list[str]:
    """Undo every trace on every node, each in its order; returns what was undone."""
    session = stage.session
    remains = look_for_remains(session)

    def undo(node: Node) -> list[str]:
        own = [remain for remain in remains if remain.node == node.name]
        for trace in dict.fromkeys(remain.trace for remain in own):
            if trace.name == CLOCK:
                clocks.set_clock(session, node)
                continue
            script = filled(trace.undo, session.lab, values=words_of(session))
            # The key comes by standard input, so that it is in no argument; the script then has to be one.
            command, given = ("bash -c %s", (script,)) if trace.needs_key else ("bash -s", ())
            fed = session.secrets.corosync_authkey if trace.needs_key else script.encode()
            session.shell(node).run(command, *given, stdin=fed, timeout_s=stage.limit_s(UNDO_LIMIT_S))
        return [str(remain) for remain in own]

    return [line for found in session.on_each(session.lab.nodes, undo) for line in found]


def _until_healthy(stage: Stage, discard: str) -> list[str]:
    """Wait for health; what comes up meanwhile is undone as well, and failures that are over are cleaned up."""
    session, done = stage.session, list[str]()
    seen: list[observe.Look] = []
    parted_looks = 0

    def healthy() -> bool:
        nonlocal parted_looks
        seen[:] = [observe.look(session)]
        problems = seen[-1].problems(session.lab)
        if not problems:
            return True
        is_parted = parted(_devices(seen[-1].nodes, session.lab.storage.minor))
        parted_looks = parted_looks + 1 if is_parted else 0
        if is_parted:
            if parted_looks >= PARTED_LOOKS:
                done.append(split_brain.resolve(session, discard))
        elif all(problem.startswith(FAILED_ACTION) for problem in problems) or _failed(seen[-1]):
            observe.clean_up(session, seen[-1])
        else:
            done.extend(undo_on_host(stage))
            done.extend(undo_on_nodes(stage))
        return False

    wait_until(
        healthy,
        what="a healthy lab",
        deadline=Deadline.after(stage.limit_s(HEALTHY_LIMIT_S)),
        interval_s=stage.limit_s(1.5),
        rest=observe.LOOK_REST,
        hopeless=lambda: past_waiting(seen[-1].nodes),
        remedy="./inv lab.status shows everything, `crm_mon -1rf` on a node says more; ./inv lab.reset loads the save",
        details=lambda: seen[-1].problems(session.lab),
    )
    return done


def _devices(nodes: dict[str, NodeFacts | None], minor: int) -> dict[str, DrbdDevice | None]:
    return {name: facts.drbd.device(minor) if facts and facts.drbd else None for name, facts in nodes.items()}


def _failed(look: observe.Look) -> bool:
    return look.cluster is not None and bool(look.cluster.failed_actions)


# The guests


def _until_served(stage: Stage) -> list[str]:
    """Every service answers; a guest that runs on a healthy cluster and stays silent is reset, for its kernel hangs."""
    session = stage.session
    found = session.on_each(session.lab.guests, lambda guest: _serve(stage, guest))
    return [line for lines in found for line in lines]


def _serve(stage: Stage, guest: Guest) -> list[str]:
    session, done = stage.session, list[str]()
    silent = 0

    def served() -> bool:
        nonlocal silent
        if all_served(serving.ask(session, thorough=False, guests=[guest])):
            return True
        silent += 1
        if silent == SILENT_LOOKS and not done and (node := _where(session, guest)) is not None:
            session.shell(node).run("virsh -q reset %s", guest.domain, timeout_s=stage.limit_s(LOOK_LIMIT_S))
            done.append(f"{guest.name}: silent on {node.name}, reset")
        return False

    wait_until(
        served,
        what=f"{guest.name} to serve a client",
        deadline=Deadline.after(stage.limit_s(REACHABLE_LIMIT_S)),
        interval_s=1.0,
        remedy="./inv lab.status shows the guests",
    )
    return done


def _where(session: Session, guest: Guest) -> Node | None:
    look = observe.look(session)
    places = [
        node for node in session.lab.nodes if (facts := look.nodes[node.name]) and guest.domain in facts.running_guests
    ]
    return places[0] if len(places) == 1 else None
