"""A lab's own Open vSwitch on the host: database and switch as two programs of the lab's own, in user space.

No kernel module is needed, and an Open vSwitch of the system is never asked or changed: everything lies in a folder of
the lab, and the programs are found by their command lines, which name it (ovsdb-server(1), ovs-vswitchd(8)).

Every switch in user space makes a device ``ovs-netdev``, and a second one cannot start as long as there is one. So the
lab's own is renamed as soon as it is there; nothing refers to it by name.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from lab.core.errors import LabError
from lab.core.switch_plan import SwitchPlan, bridge_words, port_words
from lab.doors import daemon
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import Result, run
from lab.drivers import switch_devices

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
DATABASE, SWITCH = "ovsdb-server", "ovs-vswitchd"
COMMON_DEVICE = "ovs-netdev"
START_LIMIT_S = 20.0
_COMMAND_LIMIT_S = 10.0
_REMEDY = "Run the task through ./inv, which installs Open vSwitch for a topology that wants it"


def processes(folder: Path) -> list[int]:
    """Process ids of the database and the switch that live in this folder."""
    return daemon.find(lambda words: _is_meant(words, folder))


def _is_meant(words: list[str], folder: Path) -> bool:
    control = f"--unixctl={folder}/"
    return Path(words[0]).name in (DATABASE, SWITCH) and any(word.startswith(control) for word in words)


def ensure(plan: SwitchPlan, folder: Path, logs: Path) -> bool:
    """Start the switch of a plan unless it runs; returns whether it had to be started.

    Legs that are there already stay, because nodes may be plugged into them; so does a cable that was pulled.

    Args:
        plan: what it is to be.
        folder: absolute path of a folder of its own, made anew when it is started.
        logs: folder for what the programs say.

    Raises:
        LabError: Open vSwitch is not installed, this user is not root, or it does not start.
    """
    if is_made(plan, folder):
        switch_devices.join(plan)
        return False
    switch_devices.require_root()
    _end(plan.lab_name, folder)
    for leg in plan.legs:
        switch_devices.make_leg(leg)
    _start_programs(folder, logs)
    _make_bridge(plan, folder)
    _words(folder, *port_words(plan))
    switch_devices.join(plan)
    _words(folder, "set", "open_vswitch", ".", f"external_ids:plan={plan.digest}")
    return True


def is_made(plan: SwitchPlan, folder: Path) -> bool:
    """Whether the switch runs and was made by this plan, to the end."""
    if len(processes(folder)) != 2 or not all(switch_devices.exists(name) for name in (plan.bridge, *plan.legs)):
        return False
    result = _vsctl(folder, "--no-wait", "get", "open_vswitch", ".", "external_ids:plan", check=False)
    return result.ok and result.stdout.strip().strip('"') == plan.digest and _asked(folder, "version").ok


def stop(lab_name: str, folder: Path) -> bool:
    """End a lab's switch and remove all its devices, also those that a killed run has left; whether there were any.

    No node may be plugged in any more.
    """
    ended = _end(lab_name, folder)
    return bool(switch_devices.remove(lab_name, legs=True)) or ended


def ask(folder: Path, *words: str) -> str:
    """What the switch answers to ``ovs-appctl`` with these words.

    Raises:
        LabError: it does not run, or does not know what is asked.
    """
    result = _asked(folder, *words)
    if not result.ok:
        raise LabError(
            f"the lab's Open vSwitch does not answer: {(result.stderr or result.stdout).strip()}",
            remedy="./inv lab.up starts it again",
        )
    return result.stdout


def _asked(folder: Path, *words: str) -> Result:
    program = _program("ovs-appctl")
    return run([program, "-t", f"{folder}/{SWITCH}.ctl", *words], timeout_s=_COMMAND_LIMIT_S, check=False)


def _vsctl(folder: Path, *words: str, check: bool = True) -> Result:
    program = _program("ovs-vsctl")
    argv = [program, f"--db=unix:{folder}/db.sock", f"--timeout={_COMMAND_LIMIT_S:.0f}", *words]
    return run(argv, timeout_s=_COMMAND_LIMIT_S + 5, check=check)


def _words(folder: Path, *words: str) -> None:
    _vsctl(folder, *words)


def _program(name: str) -> str:
    for place in ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"):
        if (Path(place) / name).exists():
            return str(Path(place) / name)
    raise LabError(f"{name} is not installed (Open vSwitch)", remedy=_REMEDY)


def _end(lab_name: str, folder: Path) -> bool:
    """End the programs and remove the devices that belong to them; the legs stay."""
    half_started = bool(switch_devices.holders(COMMON_DEVICE) & set(processes(folder)))
    ended = daemon.end(lambda words: _is_meant(words, folder))
    # Their devices stay behind when they end.
    removed = switch_devices.remove(lab_name, legs=False)
    if half_started:
        switch_devices.delete(COMMON_DEVICE)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    return bool(ended or removed)


def _start_programs(folder: Path, logs: Path) -> None:
    if not SCHEMA.exists():
        raise LabError("Open vSwitch is not installed", remedy=_REMEDY)
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    run([_program("ovsdb-tool"), "create", f"{folder}/conf.db", str(SCHEMA)], timeout_s=_COMMAND_LIMIT_S)
    socket = folder / "db.sock"
    _start(folder, logs, DATABASE, f"{folder}/conf.db", f"--remote=punix:{socket}", ready=socket.exists)
    # Frames of a node carry unfinished check sums and several segments at once; without this TCP stands still.
    _words(folder, "--no-wait", "init", "--", "set", "open_vswitch", ".", "other_config:userspace-tso-enable=true")
    _start(folder, logs, SWITCH, f"unix:{socket}", ready=lambda: _asked(folder, "version").ok)


def _start(folder: Path, logs: Path, program: str, *words: str, ready: Callable[[], bool]) -> None:
    log = logs / f"{program}.log"
    # env becomes the program; what the library looks up without an argument has to lie in the folder, too.
    places = [f"{name}={folder}" for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR")]
    argv = ["/usr/bin/env", *places, _program(program), *words, f"--unixctl={folder}/{program}.ctl"]
    running = daemon.start(argv, cwd=folder, log=log)
    wait_until(
        ready,
        what=f"{program} to start",
        deadline=Deadline.after(START_LIMIT_S),
        interval_s=0.05,
        hopeless=lambda: "" if running() else "it ended",
        remedy=f"See {log}",
        details=lambda: log.read_text(errors="replace").splitlines()[-10:],
    )


def _make_bridge(plan: SwitchPlan, folder: Path) -> None:
    """The bridge, with the one device that all switches in user space have to share while they start."""

    def made() -> bool:
        if switch_devices.holders(COMMON_DEVICE) - set(processes(folder)):
            return False
        return _vsctl(folder, *bridge_words(plan), check=False).ok or _undone(plan, folder)

    wait_until(
        made,
        what=f"the device {COMMON_DEVICE}, which another Open vSwitch in user space has",
        deadline=Deadline.after(START_LIMIT_S),
        interval_s=0.2,
        remedy="Another lab gives it back as soon as it has started; end any other switch with datapath_type=netdev",
    )
    switch_devices.rename(COMMON_DEVICE, plan.datapath)


def _undone(plan: SwitchPlan, folder: Path) -> bool:
    _vsctl(folder, "--no-wait", "--if-exists", "del-br", plan.bridge, check=False)
    return False
