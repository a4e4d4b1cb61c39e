"""DRBD's split brain: made on purpose, and resolved by a stated rule.

The rule: data is thrown away on one side only when that side wrote nothing since the two were parted, as its own bitmap
says, or when a person has named it. Never by a guess.
"""

from __future__ import annotations

from lab.core.errors import LabError
from lab.core.faults.fault import FaultPlan, filled
from lab.core.faults.split import SPLIT_WORDS, discarded, idle_on_both
from lab.core.model import Node
from lab.core.parsers.drbd import DrbdDevice
from lab.doors.clock import Deadline, wait_until
from lab.workflows import observe
from lab.workflows.session import Session

LIMIT_S = 120.0
_STOP = "crm_attribute -t crm_config -n stop-all-resources -v %s"
#: Alone: the other one is not connected to, so nothing of this reaches it.
_WRITE_ALONE = """set -e
drbdadm up @RESOURCE@
drbdadm disconnect @RESOURCE@ 2> /dev/null || true
# Until the next "up": becoming primary alone would have the other node fenced, or barred by a constraint.
drbdsetup disk-options @MINOR@ --fencing=dont-care
drbdadm primary --force @RESOURCE@
dd if=/dev/drbd@MINOR@ of=/run/lab-fault-block bs=4k count=1 iflag=direct 2> /dev/null
# The same bytes are written back: DRBD counts the block as changed, and the file system stays what it is.
dd if=/run/lab-fault-block of=/dev/drbd@MINOR@ bs=4k count=1 oflag=direct conv=notrunc 2> /dev/null
udevadm settle --timeout=30 || true
for turn in 1 2 3 4 5 6 7 8 9 10; do drbdadm secondary @RESOURCE@ && break; sleep 1; done
drbdadm down @RESOURCE@
"""


def make(session: Session, plan: FaultPlan) -> None:
    """Let each node write alone, and then let them meet.

    Raises:
        LabError: the cluster does not stop or start its storage in time.
    """
    limit_s = LIMIT_S * session.lab.time_scale
    first = session.shell(session.lab.nodes[0])
    first.succeed(_STOP, "true", timeout_s=limit_s)
    try:
        wait_until(
            lambda: all(device is None or not device.configured for device in devices(session).values()),
            what="the cluster to stop everything",
            deadline=Deadline.after(limit_s),
            interval_s=1.0,
            remedy="`crm_mon -1rf` on a node says what it waits for",
        )
        for node in session.lab.nodes:
            session.shell(node).succeed(
                "bash -s", stdin=filled(_WRITE_ALONE, session.lab, plan).encode(), timeout_s=limit_s
            )
    finally:
        first.run(_STOP, "false", timeout_s=limit_s)
    wait_until(
        lambda: evidence(session) or None,
        what="DRBD to notice that both sides wrote",
        deadline=Deadline.after(limit_s),
        interval_s=1.0,
    )


def devices(session: Session) -> dict[str, DrbdDevice | None]:
    """Per node, DRBD's device in its own eyes; None where it cannot be asked or has no DRBD."""
    look = observe.look(session)
    return {
        name: facts.drbd.device(session.lab.storage.minor) if facts and facts.drbd else None
        for name, facts in look.nodes.items()
    }


def evidence(session: Session) -> str:
    """Words about a split brain in the kernel's log of a node that is not connected; empty when there is none."""
    for node, device in zip(session.lab.nodes, devices(session).values(), strict=True):
        if device is None or device.connection not in ("StandAlone", "WFConnection"):
            continue
        result = session.shell(node).asked("dmesg | grep %s | tail -1", SPLIT_WORDS, timeout_s=60)
        if result is not None and result.stdout.strip():
            return f"{node.name}: {device}; {result.stdout.strip()}"
    return ""


def resolve(session: Session, named: str) -> str:
    """Connect the two sides again; returns what was done, for a person.

    Args:
        session: the lab.
        named: the node whose changes are thrown away; empty to go by the rule.

    Raises:
        LabError: both sides wrote and nobody said whose changes to throw away, or it does not connect.
    """
    seen = devices(session)
    if not named and idle_on_both(seen):
        return _reconnect(session)
    victim = session.lab.node(discarded(seen, named))
    survivor = next(node for node in session.lab.nodes if node.name != victim.name)
    limit_s = LIMIT_S * session.lab.time_scale
    lost_kib = device.out_of_sync_kib if (device := seen[victim.name]) else 0
    other = session.shell(survivor)
    with session.reporter.step(f"{victim.name} takes over the data of {survivor.name}"):
        # Out of the cluster's hands: it would promote what is being overwritten.
        other.succeed("crm_standby --node %s -v on", victim.name, timeout_s=limit_s)
        try:
            # DRBD of a split node is secondary before the cluster has begun to stop it, and would be stopped later.
            other.run("crm_resource --wait --timeout %s", str(int(limit_s)), timeout_s=limit_s * 1.5)
            _wait_released(session, victim, limit_s)
            _discard(session, victim, limit_s)
            _wait_connected(session, limit_s, victim)
        finally:
            other.run("crm_standby --node %s -D", victim.name, timeout_s=limit_s)
    return f"{victim.name} has taken over the data of {survivor.name}; {lost_kib} KiB of its own are gone"


def _discard(session: Session, victim: Node, limit_s: float) -> None:
    shell, resource = session.shell(victim), session.lab.storage.resource
    survivor = next(node for node in session.lab.nodes if node.name != victim.name)
    # The cluster has taken it down; where it has not, this does nothing.
    shell.run("drbdadm up %s", resource, timeout_s=limit_s)
    shell.run("drbdadm disconnect %s", resource, timeout_s=limit_s)
    shell.succeed("drbdadm connect --discard-my-data %s", resource, timeout_s=limit_s)
    session.shell(survivor).run("drbdadm connect %s", resource, timeout_s=limit_s)


def _reconnect(session: Session) -> str:
    limit_s = LIMIT_S * session.lab.time_scale
    for node in session.lab.nodes:
        session.shell(node).run("drbdadm connect %s", session.lab.storage.resource, timeout_s=limit_s)
    _wait_connected(session, limit_s)
    return "DRBD is told to connect again; neither side had written anything"


def _wait_released(session: Session, victim: Node, limit_s: float) -> None:
    def released() -> bool:
        device = devices(session)[victim.name]
        return device is None or not device.configured or device.local_role == "Secondary"

    wait_until(
        released,
        what=f"{victim.name} to let go of its storage",
        deadline=Deadline.after(limit_s),
        interval_s=1.0,
        remedy="`crm_mon -1rf` on a node says what it waits for",
    )


def _wait_connected(session: Session, limit_s: float, victim: Node | None = None) -> None:
    def connected() -> bool:
        found = devices(session)
        if victim is not None and (device := found[victim.name]) is not None and not device.configured:
            # The cluster did take it down after all.
            _discard(session, victim, limit_s)
        return all(device is not None and device.connection == "Connected" for device in found.values())

    wait_until(
        connected,
        what="DRBD to connect and to copy what differs",
        deadline=Deadline.after(limit_s),
        interval_s=1.0,
        remedy="`dmesg` on both nodes says why DRBD does not connect",
        details=lambda: [f"{name}: {device}" for name, device in devices(session).items()],
    )


__all__ = ["LabError", "devices", "evidence", "make", "resolve"]
