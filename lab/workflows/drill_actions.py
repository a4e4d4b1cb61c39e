"""What each drill does to a lab, step by step, until everything is back where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.core import addressing
from lab.core.drills.catalogue import Drill
from lab.core.drills.record import Phase
from lab.core.errors import LabError
from lab.core.faults.fault import FaultPlan
from lab.core.health import away_from_home, past_waiting, unsettled
from lab.core.measurement.samples import Recording
from lab.core.model import Guest, Node
from lab.doors.clock import Deadline, now_s, wait_until
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import observe
from lab.workflows.session import Session

#: So many answers in a row, of every stream of a guest, and its service counts as back.
STEADY_ANSWERS = 3
RECOVERY_LIMIT_S = 300.0
LOOK_INTERVAL_S = 1.5
MAINTENANCE = "/usr/local/sbin/lab-maintenance"
MAINTENANCE_LIMIT_S = 400.0
#: ssh(1): the connection went away, as it does when the node reboots under it.
CONNECTION_LOST = 255


@dataclass
class Scene:
    """A drill under way.

    Args:
        session, hypervisor: the lab and its host.
        drill: which one.
        node: the node it is about: the one that goes down, or the home of the guest.
        guest: the guest it is done to; None for a drill on a node.
        recorded: what the probes have seen so far.
        phases: moments noted by the drill itself, on the host's monotonic clock.
        expected_failures: beginnings of failed actions that belong to the drill.
        faulty: the fault of the catalogue that it makes; None for the drills with an action of their own.
        hold_s: how long that fault is kept, real seconds; 0 for its own time.
    """

    session: Session
    hypervisor: Hypervisor
    drill: Drill
    node: Node
    guest: Guest | None
    recorded: Callable[[], Sequence[Recording]]
    fault_s: float = 0.0
    phases: list[Phase] = field(default_factory=list)
    expected_failures: list[str] = field(default_factory=list)
    faulty: FaultPlan | None = None
    hold_s: float = 0.0

    def fault(self, detail: str) -> None:
        """Note that the fault is made now."""
        self.fault_s = now_s()
        self.phases.append(
            Phase("fault", self.fault_s, self.guest.name if self.guest else self.node.name, "tool", 0.0, detail)
        )

    def note(self, name: str, subject: str, detail: str = "", uncertainty_s: float = 0.0) -> None:
        """Note that something is so now."""
        self.phases.append(Phase(name, now_s(), subject, "tool", uncertainty_s, detail))

    @property
    def domain(self) -> str:
        """The node's domain on the host."""
        return addressing.domain_name(self.session.lab.name, self.node.name)

    @property
    def look_interval_s(self) -> float:
        """Pause between two looks at the nodes: a look is work for them, which their guests would miss."""
        return LOOK_INTERVAL_S * self.session.lab.time_scale

    def deadline(self, limit_s: float = RECOVERY_LIMIT_S) -> Deadline:
        """A deadline stretched by the lab's time scale."""
        return Deadline.after(limit_s * self.session.lab.time_scale)


def power_off(scene: Scene) -> None:
    """Cut the node's power, wait until every guest answers again and the node was fenced, switch it on.

    A node whose guests were all elsewhere is missed by nobody; switched on at once, it would start in the middle of its
    own fencing, which takes what has just been started away again.
    """
    with scene.session.reporter.step("cut the power", node=scene.node.name):
        scene.fault("libvirt destroyed the domain")
        scene.hypervisor.power_off(scene.domain)
        scene.session.shell(scene.node).close()
    with scene.session.reporter.step("services answer again"):
        _wait_steady(scene, since_s=scene.fault_s + 1)
    if scene.session.lab.fencing.method != "none":
        with scene.session.reporter.step("fenced", node=scene.node.name):
            wait_until(
                lambda: _written_off(scene),
                what=f"{scene.node.name} to be fenced",
                deadline=scene.deadline(),
                interval_s=scene.look_interval_s,
                rest=observe.LOOK_REST,
                remedy="./inv lab.status tells what the other node thinks of it",
            )
    with scene.session.reporter.step("switch it on again", node=scene.node.name):
        scene.hypervisor.start(scene.domain)


def reboot(scene: Scene) -> None:
    """Tell the node to reboot and wait for its next boot."""
    before = _boot_id(scene)
    with scene.session.reporter.step("reboot", node=scene.node.name):
        scene.fault("systemctl reboot")
        scene.session.shell(scene.node).run("systemctl reboot", timeout_s=60 * scene.session.lab.time_scale)
        _wait_next_boot(scene, before)


def maintenance(scene: Scene) -> None:
    """Run the node's own maintenance script, which reboots it, and wait for its next boot."""
    before = _boot_id(scene)
    limit_s = MAINTENANCE_LIMIT_S * scene.session.lab.time_scale
    with scene.session.reporter.step("maintenance script", node=scene.node.name):
        scene.fault(f"{MAINTENANCE} started")
        result = scene.session.shell(scene.node).run(
            f"{MAINTENANCE} --even-if-rebooted --interval 2", timeout_s=limit_s
        )
        if result.returncode not in (0, CONNECTION_LOST):
            raise LabError(
                f"{scene.node.name}: the maintenance script ended with {result.returncode}",
                remedy=f"./inv lab.ssh {scene.node.name} and run {MAINTENANCE} --check",
                details=(result.stdout + result.stderr).splitlines()[-15:],
            )
    with scene.session.reporter.step("reboot", node=scene.node.name):
        _wait_next_boot(scene, before)


def live_migrate(scene: Scene) -> None:
    """Move the guest to the other node by Pacemaker, and let it come home again."""
    guest = _guest(scene)
    shell = scene.session.shell(scene.node)
    limit_s = 60 * scene.session.lab.time_scale
    other = next(name for name in scene.session.lab.node_names if name != guest.home)
    with scene.session.reporter.step(f"{guest.name} to {other}"):
        scene.fault(f"home barred to {guest.resource}")
        # A ban rather than a move: the preference for home is infinite already, so another one would decide nothing.
        shell.succeed("crm_resource --ban --resource %s --node %s", guest.resource, guest.home, timeout_s=limit_s)
        try:
            _wait_place(scene, guest, other)
            scene.note("guest started", guest.name, f"runs on {other} only", scene.look_interval_s)
            # The migration has not ended for Pacemaker before it has tidied up the source; called home earlier than
            # that, the guest would be stopped and started.
            shell.succeed("crm_resource --wait --timeout %s", str(int(limit_s * 2)), timeout_s=limit_s * 3)
        finally:
            shell.succeed("crm_resource --clear --resource %s", guest.resource, timeout_s=limit_s)


def guest_crash(scene: Scene) -> None:
    """Kill the guest's QEMU on its node, and see Pacemaker start it again."""
    guest = _guest(scene)
    shell = scene.session.shell(scene.node)
    pid = shell.succeed("cat %s", f"/run/libvirt/qemu/{guest.domain}.pid").strip()
    with scene.session.reporter.step(f"kill QEMU of {guest.name}", node=scene.node.name):
        scene.fault(f"SIGKILL to QEMU, process {pid}")
        scene.expected_failures.append(f"{guest.resource}_monitor")
        shell.succeed("kill -9 %s", pid)
    with scene.session.reporter.step(f"{guest.name} answers again"):
        wait_until(
            lambda: (result := shell.asked("test -d %s", f"/proc/{pid}")) is not None and not result.ok,
            what="the process to be gone",
            deadline=scene.deadline(30),
        )
        _wait_steady(scene, since_s=scene.fault_s + 1)
    # Otherwise the failure would count towards the guest's limit for ever.
    shell.succeed("crm_resource --cleanup --resource %s", guest.resource, timeout_s=120 * scene.session.lab.time_scale)


ACTIONS: dict[str, Callable[[Scene], None]] = {
    "power-off": power_off,
    "reboot": reboot,
    "maintenance": maintenance,
    "live-migrate": live_migrate,
    "guest-crash": guest_crash,
}


def wait_home(scene: Scene) -> observe.Look:
    """Wait until the lab is healthy and every guest is at home.

    Raises:
        WaitError: not so in time; with what is still wrong.
    """
    lab = scene.session.lab
    seen: list[observe.Look] = []
    wrong: list[str] = []

    def home() -> bool:
        seen[:] = [observe.glance(scene.session)]
        wrong[:] = unsettled(lab, seen[-1].nodes)
        if not wrong:
            seen[:] = [observe.look(scene.session)]
            wrong[:] = [*seen[-1].problems(lab), *away_from_home(lab, seen[-1].nodes)]
        return not wrong

    with scene.session.reporter.step("everything back at home, lab healthy"):
        wait_until(
            home,
            what="a healthy lab with every guest at home",
            deadline=scene.deadline(),
            interval_s=scene.look_interval_s,
            hopeless=lambda: past_waiting(seen[-1].nodes),
            remedy="./inv lab.status shows everything; the lab is left as it is, `crm_mon -1rf` on a node says more",
            rest=observe.LOOK_REST,
            details=lambda: wrong,
            # Guests come home one after the other.
            progress=lambda: frozenset(wrong),
        )
        scene.note("healthy", "", "seen by a look at both nodes", scene.look_interval_s + 2.0)
    return seen[-1]


def _guest(scene: Scene) -> Guest:
    if scene.guest is None:
        raise LabError(f"{scene.drill.name} is done to a guest", remedy="Name one with --guest", exit_code=2)
    return scene.guest


def _boot_id(scene: Scene) -> str:
    facts = observe.look_at_node(scene.session, scene.node)
    if facts is None or not facts.boot_id:
        raise LabError(f"{scene.node.name} cannot be asked for its boot id", remedy="./inv lab.status shows the lab")
    return facts.boot_id


def _wait_next_boot(scene: Scene, before: str) -> None:
    shell = scene.session.shell(scene.node)

    def booted() -> bool:
        # A connection that died with the node must not be waited for.
        shell.close()
        if not shell.reachable(5):
            return False
        result = shell.asked("cat /proc/sys/kernel/random/boot_id")
        return result is not None and result.stdout.strip() not in ("", before)

    wait_until(
        booted,
        what=f"{scene.node.name} to boot again",
        deadline=scene.deadline(),
        interval_s=2.0,
        remedy=f"Look at its console with ./inv lab.console {scene.node.name}",
        details=lambda: scene.hypervisor.console_tail(scene.domain),
    )
    scene.note("node back", scene.node.name, "ssh answers after another boot", 2.0)


def _written_off(scene: Scene) -> bool:
    """Whether another node counts the drill's node as off, and no longer as one that may still write (unclean)."""
    name = scene.node.name
    for node in scene.session.lab.nodes:
        facts = observe.look_at_node(scene.session, node) if node.name != name else None
        cluster = facts.cluster if facts else None
        if cluster and any(one.name == name and not one.online and not one.unclean for one in cluster.nodes):
            return True
    return False


def _wait_steady(scene: Scene, since_s: float) -> None:
    """Wait until every stream of every guest had several answers in a row, all sent after a moment."""
    names = {guest.name for guest in scene.session.lab.guests}

    def unsteady() -> list[str]:
        bad = []
        for recording in scene.recorded():
            last = [sample for sample in recording.samples[-STEADY_ANSWERS:] if sample.sent_s > since_s]
            steady = len(last) == STEADY_ANSWERS and all(sample.ok for sample in last)
            if recording.spec.target in names and not steady:
                bad.append(f"{recording.spec.name}: {last[-1].detail if last else 'nothing yet'}")
        return bad

    wait_until(
        lambda: not unsteady(),
        what="every service to answer again",
        deadline=scene.deadline(),
        interval_s=0.5,
        remedy="./inv lab.status shows what does not answer; the lab is left as it is",
        details=unsteady,
    )


def _wait_place(scene: Scene, guest: Guest, node_name: str) -> None:
    def there() -> bool:
        look = observe.glance(scene.session)
        return [name for name, facts in look.nodes.items() if facts and guest.domain in facts.running_guests] == [
            node_name
        ]

    wait_until(
        there,
        what=f"{guest.name} to run on {node_name} only",
        deadline=scene.deadline(),
        interval_s=scene.look_interval_s,
        remedy="`crm_mon -1rf` on a node says what Pacemaker does",
    )
