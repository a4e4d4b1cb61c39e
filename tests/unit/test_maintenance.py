"""The maintenance script of the nodes, with an in-memory node in place of its world."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.golden.example import example_lab, rendered
from tests.unit.node_programs import PROGRAMS, maintenance

RECORDED = Path(__file__).parent / "recorded"
TREE = rendered(example_lab())
FILES = "nodes/brina/files/"


HEALTHY = (RECORDED / "lab-crm_mon.xml").read_text()
DRBD = (RECORDED / "lab-proc-drbd.txt").read_text()
DRBD_STOPPED = DRBD.splitlines()[0] + "\n 0: cs:Unconfigured\n"
TWO_DAYS = "172800.00 1.00\n"


def changed(text: str, old: str, new: str, count: int = -1) -> str:
    assert old in text
    return text.replace(old, new, count)


def node_line(name: str, old: str, new: str) -> str:
    """The healthy cluster with one attribute of a node changed."""
    line = next(line for line in HEALTHY.splitlines() if f'<node name="{name}" id=' in line and "online=" in line)
    return changed(HEALTHY, line, changed(line, old, new))


PEER_STANDBY = node_line("piova", 'standby="false"', 'standby="true"')
NOT_JOINED = node_line("brina", 'online="true"', 'online="false"')


class Node:
    """A node in memory: answers the script's commands, keeps files, and lets time pass only in sleep."""

    def __init__(self) -> None:
        self.files = {
            "/etc/lab/lab.json": TREE[FILES + "etc/lab/lab.json"].decode(),
            "/proc/drbd": DRBD,
            "/proc/uptime": TWO_DAYS,
            "/proc/sys/kernel/random/boot_id": "boot-1\n",
        }
        self.cluster = HEALTHY
        self.guests = ["speedauth", "soldi"]
        self.pacemaker = "active"
        self.time_s = 1000.0
        self.sleeps: list[float] = []
        self.commands: list[tuple[str, ...]] = []
        self.lines: list[tuple[int, str]] = []
        self.broken: set[str] = set()
        self.at_sleep: Callable[[int], None] = lambda number: None
        self.at_standby: Callable[[], None] = lambda: None

    def run(self, *argv: str) -> str:
        self.commands.append(argv)
        command = " ".join(argv)
        if any(command.startswith(broken) for broken in self.broken):
            raise maintenance.CommandError(f"{command}: code 1, broken")
        if command == "crm_mon --output-as=xml -r -f":
            return self.cluster
        if command == "virsh -c qemu:///system list --name":
            return "\n".join(self.guests) + "\n\n"
        if command == "systemctl show --property=ActiveState --value pacemaker.service":
            return self.pacemaker + "\n"
        if command == "systemctl start pacemaker.service":
            self.pacemaker = "active"
            return ""
        assert command in {ON, OFF, REBOOT}
        if command == ON:
            self.at_standby()
        return ""

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def write(self, path: str, text: str) -> None:
        if path in self.broken:
            raise OSError(30, "Read-only file system")
        self.files[path] = text

    def names(self, path: str) -> list[str]:
        assert path == "/run/libvirt/qemu"
        return ["driver.pid", *(f"{guest}.{end}" for guest in sorted(self.guests) for end in ("pid", "xml"))]

    def remove(self, path: str) -> None:
        self.files.pop(path, None)

    def monotonic(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.sleeps.append(seconds)
        self.time_s += seconds
        self.at_sleep(len(self.sleeps))

    def log(self, message: str, priority: int = 6) -> None:
        self.lines.append((priority, message))

    def empty(self) -> None:
        self.guests = []
        self.files["/proc/drbd"] = DRBD_STOPPED

    def empty_after(self, looks: int) -> None:
        self.at_sleep = lambda number: self.empty() if number == looks else None

    @property
    def changes(self) -> list[str]:
        """Commands that change something."""
        return [" ".join(argv) for argv in self.commands if argv[0] == "crm_standby" or argv[:2] in CHANGING]

    @property
    def last(self) -> tuple[int, str]:
        return self.lines[-1]


CHANGING = {("systemctl", "reboot"), ("systemctl", "start")}
ON = "crm_standby --node brina --update on"
OFF = "crm_standby --node brina --update off"
REBOOT = "systemctl reboot"
START = "systemctl start pacemaker.service"


def run(node: Node, *arguments: str) -> int:
    code = maintenance.work(node, maintenance.parser().parse_args(arguments))
    assert isinstance(code, int)
    return code


# Checks


def test_nothing_speaks_against_a_healthy_cluster() -> None:
    node = Node()
    assert run(node, "--check") == 0
    assert node.lines == [(6, "nothing speaks against maintenance of brina")]
    assert node.changes == []


UNHEALTHY = {
    "other node on standby": (PEER_STANDBY, "piova is not online"),
    "own node on standby": (node_line("brina", 'standby="false"', 'standby="true"'), "brina is not online"),
    "other node offline": (node_line("piova", 'online="true"', 'online="false"'), "piova is not online"),
    "other node unclean": (node_line("piova", 'unclean="false"', 'unclean="true"'), "piova is not online"),
    "other node shuts down": (node_line("piova", 'shutdown="false"', 'shutdown="true"'), "piova is not online"),
    "no quorum": (changed(HEALTHY, 'with_quorum="true"', 'with_quorum="false"'), "no quorum"),
    "maintenance mode": (
        changed(HEALTHY, 'maintenance-mode="false"', 'maintenance-mode="true"'),
        "the whole cluster is in maintenance mode",
    ),
    "storage not promoted": (
        changed(HEALTHY, 'role="Promoted"', 'role="Unpromoted"', 1),
        "MS_DRBD is not promoted on piova",
    ),
    "storage failed": (
        re.sub(r'(role="Promoted"[^\n]*) failed="false"', r'\1 failed="true"', HEALTHY, count=1),
        "MS_DRBD is not promoted on piova",
    ),
    "storage only known from before": (
        re.sub(r'(role="Promoted"[^\n]*\n[^\n]*) cached="true"', r'\1 cached="false"', HEALTHY, count=1),
        "MS_DRBD is not promoted on piova",
    ),
    "recorded standby": ((RECORDED / "crm_mon-standby.xml").read_text(), "is not online"),
    "recorded unclean": ((RECORDED / "crm_mon-unclean.xml").read_text(), "is not online"),
    "recorded failure": ((RECORDED / "crm_mon-failed.xml").read_text(), "failed action VM_"),
    "recorded without Pacemaker": ((RECORDED / "crm_mon-down.xml").read_text(), "no quorum"),
    "not XML": ("Connection refused", "crm_mon: syntax error"),
}


@pytest.mark.parametrize("case", UNHEALTHY, ids=str)
def test_refused_when_the_cluster_is_not_healthy(case: str) -> None:
    node = Node()
    node.cluster, said = UNHEALTHY[case]
    assert run(node) == 3
    assert node.last[0] == 3
    assert node.last[1].startswith("refused, the cluster is not healthy: ")
    assert said in node.last[1]
    assert node.changes == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cs:Connected", "cs:WFConnection", "DRBD is WFConnection Primary/Primary UpToDate/UpToDate r-----"),
        ("cs:Connected", "cs:SyncSource", "DRBD is SyncSource"),
        ("ro:Primary/Primary", "ro:Primary/Secondary", "DRBD is Connected Primary/Secondary"),
        ("ds:UpToDate/UpToDate", "ds:UpToDate/Inconsistent", "UpToDate/Inconsistent"),
        (" C r-----", " C s-----", "DRBD is Connected Primary/Primary UpToDate/UpToDate s-----"),
        (" 0: cs:", " 7: cs:", "DRBD is down"),
    ],
)
def test_refused_when_drbd_is_not_in_order(old: str, new: str, said: str) -> None:
    node = Node()
    node.files["/proc/drbd"] = changed(DRBD, old, new)
    assert run(node, "--check") == 3
    assert said in node.last[1]


def test_refused_when_pacemaker_does_not_answer() -> None:
    node = Node()
    node.broken = {"crm_mon"}
    assert run(node) == 3
    assert node.last == (
        3,
        "refused, the cluster is not healthy: crm_mon --output-as=xml -r -f: code 1, broken",
    )


def test_all_problems_are_named_at_once() -> None:
    node = Node()
    node.cluster = changed(PEER_STANDBY, 'with_quorum="true"', 'with_quorum="false"')
    node.files["/proc/drbd"] = DRBD_STOPPED
    assert run(node) == 3
    assert node.last[1].endswith(": piova is not online; no quorum; DRBD is down")


@given(st.floats(0, 10 * 86400))
def test_a_day_must_have_passed_since_the_last_restart(uptime_s: float) -> None:
    node = Node()
    node.files["/proc/uptime"] = f"{uptime_s:.2f} 7.00\n"
    early = float(f"{uptime_s:.2f}") < 86400
    assert run(node, "--check") == (4 if early else 0)
    assert run(node, "--check", "--even-if-rebooted") == 0


def test_the_refusal_says_how_long_ago() -> None:
    node = Node()
    node.files["/proc/uptime"] = "5400.12 1.00\n"
    assert run(node) == 4
    assert node.last == (3, "refused, brina was restarted 1.5 hours ago, less than a day")
    assert node.changes == []


def without_mount_on(name: str) -> str:
    before, clone, after = HEALTHY.partition('<clone id="OCFS_MOUNT_CLONE"')
    instance = re.search(
        rf'<resource id="OCFS_MOUNT" (?:(?!</resource>).)*<node name="{name}".*?</resource>', after, re.S
    )
    assert instance
    stopped = changed(instance[0], 'role="Started"', 'role="Stopped"')
    return before + clone + changed(after, instance[0], re.sub(r"<node .*?/>", "", stopped))


def test_refused_when_the_other_node_does_not_run_ocfs2() -> None:
    node = Node()
    node.cluster = without_mount_on("piova")
    assert run(node) == 5
    assert node.last == (3, "refused, OCFS_MOUNT_CLONE does not run on piova")
    assert node.changes == []


def test_the_own_mount_does_not_matter() -> None:
    node = Node()
    node.cluster = without_mount_on("brina")
    assert run(node, "--check") == 0


def test_checks_come_in_order() -> None:
    node = Node()
    node.cluster = without_mount_on("piova")
    node.files["/proc/uptime"] = "60.00 1.00\n"
    assert run(node) == 4
    assert run(node, "--even-if-rebooted") == 5
    node.files["/proc/drbd"] = DRBD_STOPPED
    assert run(node) == 3


# Emptying


def test_emptied_marked_and_restarted() -> None:
    node = Node()
    node.empty_after(2)
    assert run(node) == 0
    assert node.changes == [ON, REBOOT]
    assert node.sleeps == [30, 30]
    assert node.files[maintenance.MARKER] == "boot-1\n"
    still = (6, "still here: DRBD Connected Primary/Primary UpToDate/UpToDate r-----, guest soldi, guest speedauth")
    assert node.lines == [
        (6, "putting brina on standby"),
        still,
        still,
        (6, "brina is empty, restarting it"),
    ]


@pytest.mark.parametrize(
    ("gone", "left"),
    [("DRBD", "guest soldi, guest speedauth"), ("guests", "DRBD Connected Primary/Primary UpToDate/UpToDate r-----")],
)
def test_waits_for_drbd_and_for_guests(gone: str, left: str) -> None:
    node = Node()

    def one_goes_first() -> None:
        if gone == "DRBD":
            node.files["/proc/drbd"] = DRBD_STOPPED
        else:
            node.guests = []

    node.at_standby = one_goes_first
    node.empty_after(1)
    assert run(node, "--interval", "7") == 0
    assert node.sleeps == [7]
    assert [line for _, line in node.lines if line.startswith("still here")] == [f"still here: {left}"]


def test_pacemaker_and_libvirt_are_left_alone_while_the_node_empties() -> None:
    """Both are a second of work for an emulated node, which its guests need to get away."""
    node = Node()
    node.empty_after(20)
    assert run(node, "--interval", "2") == 0
    assert node.sleeps == [2] * 20
    asked = [argv[0] for argv in node.commands if argv[0] in ("crm_mon", "virsh")]
    # The checks before, the first look, half a minute later, and once it looks empty.
    assert asked == ["crm_mon", "crm_mon", "crm_mon", "virsh", "crm_mon"]


def test_given_up_when_the_other_node_is_lost_at_the_last_moment() -> None:
    node = Node()

    def leave(number: int) -> None:
        if number == 3:
            node.empty()
            node.cluster = PEER_STANDBY

    node.at_sleep = leave
    assert run(node, "--interval", "2") == 9
    assert node.sleeps == [2, 2, 2]
    assert node.changes == [ON, OFF]


def test_an_unloaded_driver_is_a_stopped_one() -> None:
    node = Node()
    node.guests = []
    node.at_standby = lambda: node.remove("/proc/drbd")
    assert run(node) == 0
    assert node.sleeps == []


@given(interval_s=st.integers(1, 5000), deadline_s=st.integers(1, 5000))
def test_after_the_deadline_the_node_is_online_again(interval_s: int, deadline_s: int) -> None:
    node = Node()
    assert run(node, "--interval", str(interval_s), "--deadline", str(deadline_s)) == 6
    assert node.changes == [ON, OFF]
    assert maintenance.MARKER not in node.files
    assert sum(node.sleeps) == deadline_s
    assert max(node.sleeps) <= interval_s
    assert node.lines[-2] == (4, "brina is online again")
    assert node.last[0] == 3
    assert node.last[1].startswith(f"given up: after {deadline_s:g} s still here: DRBD Connected")


def test_given_up_when_the_other_node_leaves_meanwhile() -> None:
    """Two nodes that begin in the same moment both go back instead of leaving the guests nowhere to run."""
    node = Node()

    def leave(number: int) -> None:
        node.cluster = PEER_STANDBY

    node.at_sleep = leave
    assert run(node) == 9
    assert node.changes == [ON, OFF]
    assert node.last == (3, "given up: piova cannot take over any more")
    assert maintenance.MARKER not in node.files


@pytest.mark.parametrize("broken", ["crm_mon", "virsh"])
def test_a_silent_program_is_asked_again(broken: str) -> None:
    node = Node()

    def change(number: int) -> None:
        node.broken = {broken} if number == 1 else set()
        if number == 1:
            node.files["/proc/drbd"] = DRBD_STOPPED
        if number == 2:
            node.empty()

    node.at_sleep = change
    assert run(node) == 0
    assert len(node.sleeps) == 2
    assert [line for _, line in node.lines if "broken" in line]
    assert node.changes == [ON, REBOOT]


def test_standby_refused() -> None:
    node = Node()
    node.broken = {"crm_standby"}
    assert run(node) == 10
    assert node.changes == [ON, OFF]
    assert node.lines[-2] == (3, f"brina could not be put online again: {OFF}: code 1, broken")
    assert node.last == (3, f"given up: {ON}: code 1, broken")


def test_marker_that_cannot_be_written_keeps_the_node_from_restarting() -> None:
    node = Node()
    node.broken = {maintenance.MARKER}
    node.empty_after(1)
    assert run(node) == 10
    assert node.changes == [ON, OFF]
    assert "Read-only file system" in node.last[1]


def test_restart_refused() -> None:
    node = Node()
    node.broken = {REBOOT}
    node.empty_after(1)
    assert run(node) == 10
    assert node.changes == [ON, REBOOT, OFF]
    assert maintenance.MARKER not in node.files


@pytest.mark.parametrize("how", [SystemExit(143), KeyboardInterrupt()])
def test_an_interrupted_wait_leaves_the_node_online(how: BaseException) -> None:
    node = Node()

    def interrupt(number: int) -> None:
        raise how

    node.at_sleep = interrupt
    with pytest.raises(type(how)):
        run(node)
    assert node.changes == [ON, OFF]
    assert maintenance.MARKER not in node.files


# Coming back


def restarted() -> Node:
    node = Node()
    node.files[maintenance.MARKER] = "boot-0\n"
    node.files["/proc/uptime"] = "40.00 1.00\n"
    node.cluster = node_line("brina", 'standby="false"', 'standby="true"')
    node.empty()
    return node


def test_back_online_after_the_restart() -> None:
    node = restarted()
    assert run(node) == 0
    assert node.changes == [OFF]
    assert maintenance.MARKER not in node.files
    assert node.lines == [(6, "brina is online, maintenance is over")]


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_pacemaker_is_started_when_it_is_down(state: str) -> None:
    node = restarted()
    node.pacemaker = state
    node.cluster = NOT_JOINED

    def join(number: int) -> None:
        node.cluster = HEALTHY

    node.at_sleep = join
    assert run(node) == 0
    assert node.changes == [START, OFF]
    assert [line for _, line in node.lines] == [
        "starting Pacemaker",
        "not yet: brina has not joined the cluster yet",
        "brina is online, maintenance is over",
    ]


def test_a_return_that_fails_keeps_the_marker() -> None:
    node = restarted()
    node.broken = {"crm_standby"}
    assert run(node, "--deadline", "12") == 7
    assert node.sleeps == [5, 5, 2]
    assert node.last == (3, f"brina could not be put online: {OFF}: code 1, broken")
    assert maintenance.MARKER in node.files
    node.broken = set()
    assert run(node) == 0
    assert maintenance.MARKER not in node.files


def test_without_a_restart_the_next_run_takes_the_node_back() -> None:
    node = Node()
    node.empty_after(1)
    assert run(node, "--no-reboot") == 0
    assert node.changes == [ON]
    assert node.last == (6, "brina is empty; not restarted, as told. The next run puts it online again")
    assert run(node) == 0
    assert node.changes == [ON, OFF]
    assert (4, "brina has a marker but was not restarted since") in node.lines
    assert maintenance.MARKER not in node.files


def test_check_looks_only_even_with_a_marker() -> None:
    node = restarted()
    assert run(node, "--check") == 3
    assert node.changes == []
    assert maintenance.MARKER in node.files


# The command itself


@pytest.mark.parametrize("text", [None, "", "{}", '{"node": "brina", "nodes": 7}', "not JSON"])
def test_settings_that_cannot_be_read(text: str | None) -> None:
    node = Node()
    node.files.pop("/etc/lab/lab.json")
    if text is not None:
        node.files["/etc/lab/lab.json"] = text
    assert run(node) == 11
    assert node.last[1].startswith("/etc/lab/lab.json cannot be read: ")
    assert node.commands == []


def test_settings_are_those_of_the_lab() -> None:
    settings = maintenance.read_settings(Node(), "/etc/lab/lab.json")
    assert settings == maintenance.Settings("brina", ("piova",), "MS_DRBD", "OCFS_MOUNT_CLONE", 0)
    facts = json.loads(TREE["nodes/piova/files/etc/lab/lab.json"])
    assert facts["node"] == "piova"


def test_help_explains_every_exit_code() -> None:
    codes = {
        value
        for name, value in vars(maintenance).items()
        if name.isupper() and isinstance(value, int) and name not in ("DAY_S",)
    }
    explained = {int(code) for code in re.findall(r"^ +(\d+)  ", maintenance.EXIT_CODES, re.M)}
    assert explained == codes | {2}
    assert maintenance.EXIT_CODES in maintenance.parser().format_help()


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_times_must_be_positive(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        maintenance.parser().parse_args(["--interval", value])
    assert stopped.value.code == 2
    assert "argument --interval" in capsys.readouterr().err


def test_one_run_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    monkeypatch.setattr(maintenance, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(maintenance, "World", lambda *, verbose: node)
    monkeypatch.setattr(maintenance.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["lab-maintenance", "--no-reboot"])
    node.empty_after(1)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert maintenance.main() == 8
        assert node.last == (3, "another run is under way")
        assert node.commands == []
    assert maintenance.main() == 0
    assert node.changes == [ON]


def test_being_ended_by_systemd_leaves_the_node_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    monkeypatch.setattr(maintenance, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(maintenance, "World", lambda *, verbose: node)
    monkeypatch.setattr(sys, "argv", ["lab-maintenance"])
    before = signal.getsignal(signal.SIGTERM)
    node.at_sleep = lambda number: signal.raise_signal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            maintenance.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 143
    assert node.changes == [ON, OFF]


def test_files_and_log_of_the_real_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[tuple[int, str]] = []
    opened: list[tuple[object, ...]] = []
    monkeypatch.setattr(maintenance.syslog, "syslog", lambda priority, text: logged.append((priority, text)))
    monkeypatch.setattr(maintenance.syslog, "openlog", lambda *arguments: opened.append(arguments))
    world = maintenance.World(verbose=True)
    path = str(tmp_path / "below" / "marker")
    assert world.read(path) is None
    world.write(path, "boot-1\n")
    assert world.read(path) == "boot-1\n"
    world.remove(path)
    world.remove(path)
    assert world.read(path) is None
    world.log("something", 4)
    assert logged == [(4, "something")]
    assert opened == [("lab-maintenance", maintenance.syslog.LOG_PID, maintenance.syslog.LOG_DAEMON)]
    assert capsys.readouterr().err == "lab-maintenance: something\n"


# As it is installed


def test_the_script_is_rendered_as_it_is() -> None:
    program = PROGRAMS / "lab-maintenance.j2"
    for node in ("brina", "piova"):
        assert TREE[f"nodes/{node}/files/usr/local/sbin/lab-maintenance"] == program.read_bytes()
        user_data = yaml.safe_load(TREE[f"nodes/{node}/user-data"])
        entry = next(file for file in user_data["write_files"] if file["path"] == "/usr/local/sbin/lab-maintenance")
        assert entry["permissions"] == "0755"
        assert entry["content"] == program.read_text()


def test_switched_off_by_default() -> None:
    assert not [path for path in TREE if "timers.target.wants" in path]
    cron = TREE[FILES + "etc/cron.d/lab-maintenance"].decode().splitlines()
    assert [line for line in cron if not line.startswith("#")] == ["PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"]
    assert cron[-1].removeprefix("#") == "30 3 * * Tue root /usr/local/sbin/lab-maintenance"


def test_only_the_return_is_wanted_at_boot_and_only_with_a_marker() -> None:
    drop_in = TREE[FILES + "etc/systemd/system/multi-user.target.d/lab-maintenance.conf"].decode()
    assert "Wants=lab-maintenance-return.service" in drop_in.splitlines()
    unit = TREE[FILES + "etc/systemd/system/lab-maintenance-return.service"].decode().splitlines()
    assert f"ConditionPathExists={maintenance.MARKER}" in unit
    for name in ("lab-maintenance", "lab-maintenance-return"):
        assert "ExecStart=/usr/local/sbin/lab-maintenance" in TREE[f"{FILES}etc/systemd/system/{name}.service"].decode()


def test_never_two_nodes_on_the_same_day() -> None:
    days = []
    for node in ("brina", "piova"):
        files = f"nodes/{node}/files/"
        timer = re.search(
            r"^OnCalendar=(\w{3}) 03:30$", TREE[files + "etc/systemd/system/lab-maintenance.timer"].decode(), re.M
        )
        cron = re.search(r"^#30 3 \* \* (\w{3}) root ", TREE[files + "etc/cron.d/lab-maintenance"].decode(), re.M)
        assert timer
        assert cron
        assert timer[1] == cron[1]
        days.append(timer[1])
    assert len(set(days)) == len(days)
