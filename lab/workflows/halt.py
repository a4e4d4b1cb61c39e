"""Stopping a lab cleanly, with its state kept: guests first, then both nodes; ``lab.up`` continues it."""

from __future__ import annotations

from lab.core.errors import LabError
from lab.core.health import STORAGE_CLONE
from lab.core.outcome import Outcome
from lab.doors import files
from lab.doors.clock import Deadline, now_s, wait_until
from lab.drivers import fencing
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import host_side, observe
from lab.workflows.options import Options
from lab.workflows.session import Session, open_session

STOP_LIMIT_S = 90.0


def halt(options: Options) -> Outcome:
    """Stop the lab and keep its disks.

    Raises:
        LabError: there is no such lab, or a node does not stop.
    """
    started_s = now_s()
    with (
        open_session(options, "halt") as session,
        files.locked(session.folder / "lock", busy=f"another run is working on the lab {session.lab.name}"),
    ):
        hypervisor = Hypervisor()
        try:
            if not hypervisor.owned_domains(session.lab.name):
                raise LabError(
                    f"there is no lab {session.lab.name} here", remedy=f"Build it with {session.options.up_command}"
                )
            clean = _halt(session, hypervisor)
        finally:
            hypervisor.close()
        fencing.stop(host_side.fence_configuration(session.folder))
        for name in (*session.lab.node_names, *(guest.domain for guest in session.lab.guests)):
            session.shell(name).close()
        seconds = now_s() - started_s
        text = f"Lab {session.lab.name} is halted ({seconds:.0f} s); ./inv lab.up continues it."
        unclean = [name for name, ok in clean.items() if not ok]
        if unclean:
            text += f" The power of {', '.join(unclean)} had to be cut."
        return Outcome(text, {"lab": session.lab.name, "clean": clean, "duration_s": round(seconds, 1)})


def _halt(session: Session, hypervisor: Hypervisor) -> dict[str, bool]:
    limit_s = STOP_LIMIT_S * session.lab.time_scale
    stop_cluster(session)
    with session.reporter.step("switch the nodes off"):
        stopped = session.on_each(
            session.lab.nodes, lambda node: host_side.stop_domain(session, hypervisor, node, limit_s)
        )
    return dict(zip(session.lab.node_names, stopped, strict=True))


def stop_cluster(session: Session) -> None:
    """Stop all resources, then the cluster software on all nodes; ``cluster.allow_resources`` takes it back.

    Nothing happens where no cluster with the lab's resources is seen.
    """
    limit_s = STOP_LIMIT_S * session.lab.time_scale
    look = observe.look(session)
    first = next((node for node in session.lab.nodes if look.nodes[node.name]), None)
    # In a half-built lab Pacemaker has no resources to stop; the power button unmounts what was set up by hand.
    if first is None or look.cluster is None or not look.cluster.instances(STORAGE_CLONE):
        return
    with session.reporter.step("stop the cluster on all nodes"):
        # All at once: neither node sees the other one vanish, so nobody is fenced and no guest moves.
        session.shell(first).run("crm_attribute -t crm_config -n stop-all-resources -v true", timeout_s=limit_s)
        _wait_stopped(session, limit_s)
        session.on_each(
            session.lab.nodes,
            lambda node: session.shell(node).run("systemctl stop pacemaker corosync", timeout_s=limit_s),
        )


def _wait_stopped(session: Session, limit_s: float) -> None:
    def stopped() -> bool:
        look = observe.look(session)
        return all(facts is None or (not facts.running_guests and not facts.mount) for facts in look.nodes.values())

    wait_until(
        stopped,
        what="guests and storage to stop",
        deadline=Deadline.after(limit_s),
        interval_s=1.0,
        remedy="./inv lab.status shows what still runs; ./inv lab.down removes the lab in any state",
    )
