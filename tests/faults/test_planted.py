"""Violations that are planted in a running lab: the audits have to find each of them, and nothing else."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.core import addressing
from lab.core.drills.data_audits import FSCK_AUDIT, VERIFY_AUDIT
from lab.core.drills.heard import HEARD_AUDIT
from lab.core.drills.heartbeats import HEARTBEAT_AUDIT
from lab.doors.clock import wall_s
from lab.surface import options_from
from lab.workflows import observe
from lab.workflows.drill_evidence import RADIUS_DATABASE, fetch_nodes
from lab.workflows.drill_judgement import final_audits
from lab.workflows.opening import opened
from lab.workflows.options import load_lab
from tests.faults.conftest import ARGV, LAB, NAME, ROOT, invoke, on_node

MODEL = load_lab(options_from(topology=LAB[1], name=NAME))
STORAGE = MODEL.storage
GUEST = MODEL.guests[0]
#: Whose rows the ledger counts.
WRITER = next((guest for guest in MODEL.guests if guest.service == "radius"), None)
#: No guest lives there.
ELSEWHERE = next(node.name for node in MODEL.nodes if node.name not in {guest.home for guest in MODEL.guests})

HEALTHY = "lab healthy"
IN_STEP = "DRBD up to date, nothing out of sync"
MOUNTED_TWICE = "OCFS2 clean and mounted twice"
AT_HOME = "every guest runs exactly once, at home"
NO_FAILED_ACTION = "no unexpected failed action"
MOVED_LIVE = "every guest moved live, none was restarted"
TOO_LONG_AWAY = "no service was away for more than 10 s"
NEVER_TWICE = "no guest at any time twice"
FENCED_FIRST = "a fenced node was off before its guests started elsewhere"
TOLD_OF_FENCED = "OCFS2 was told of no node that still ran"
ON_PRIMARY = "OCFS2 never mounted without DRBD primary"
INTENDED = "exactly the intended node went down"

#: A block that no file has, on one copy alone: written below DRBD.
OTHER_BLOCK = (
    f"dd if=/dev/urandom of=/dev/{STORAGE.volume_group}/{STORAGE.logical_volume} bs=4096 count=1 seek=400000 "
    "oflag=direct conv=notrunc status=none && echo done"
)
#: An inode of a new file is overwritten on both copies, through DRBD; its number is that of its block (OCFS2).
BROKEN_INODE = (
    f"cd {STORAGE.mount_point} && touch planted && sync && "
    f"dd if=/dev/urandom of=/dev/drbd{STORAGE.minor} bs=4096 count=1 seek=$(stat -c %i planted) "
    "oflag=direct conv=notrunc status=none && echo done"
)
#: Whoever reads it makes the kernel say what it thinks of it.
READ_INODE = f"echo 3 > /proc/sys/vm/drop_caches; stat {STORAGE.mount_point}/planted; echo done"
MAC = addressing.guest_mac(MODEL, GUEST).replace(":", "")
#: Frames to everybody with the guest's address, of a protocol that nobody listens to, from a node where it is not.
STRANGER = f"""python3 -c '
import socket, time
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(("bond0", 0))
for _ in range(20):
    sender.send(bytes([255] * 6) + bytes.fromhex("{MAC}88b5") + bytes(46))
    time.sleep(0.3)
print("done")'"""
#: The guest a second time, beside itself; its processor does nothing, so nothing is written.
SECOND = (
    f"virsh -q create --paused /etc/libvirt/qemu/{GUEST.domain}.xml && sleep 8 && virsh -q destroy {GUEST.domain} "
    "&& echo done"
)
#: What a guest with the same disk would write; now and then it comes between the guest's look and its own record.
OTHER_WRITER = f"""file={addressing.heartbeat_path(MODEL, GUEST)}
for _ in $(seq 60); do
    echo 'heartbeat planted 1 1.0 0 -' | dd of=$file bs=4096 count=1 conv=notrunc,sync oflag=direct status=none
    sleep 2
    dd if=$file bs=4096 count=1 iflag=direct status=none | head -n 1 | grep -q ' planted/1$' && echo done && break
done"""
#: A row that was acknowledged some requests ago is lost.
LOSE_ROW = (
    f"sqlite3 -cmd '.timeout 20000' {RADIUS_DATABASE} 'DELETE FROM radacct WHERE rowid = "
    '(SELECT rowid FROM radacct WHERE acctsessionid LIKE "drill-%" ORDER BY rowid DESC LIMIT 1 OFFSET 3)\' && echo done'
)
#: A file system is mounted on a node that stands by. That of the guests cannot be: the kernel mounts a copy below DRBD
#: only for writing, and the copies would go separate ways.
STANDING_BY = f"""crm node standby {ELSEWHERE} >&2
for _ in $(seq 120); do grep -q ' {STORAGE.minor}: cs:[A-TV-Z]' /proc/drbd || break; sleep 1; done
truncate -s 200M /root/planted.img && mkfs.ocfs2 -q -M local -F -J size=4M -N 1 /root/planted.img &&
mkdir -p /mnt/planted && mount -t ocfs2 -o loop /root/planted.img /mnt/planted && echo done
umount /mnt/planted
rm -f /root/planted.img
crm node online {ELSEWHERE} >&2"""
#: The program that says farewell for a fenced node, without its doubts.
FAREWELL = f"""echo fenced | python3 -c '
told = dict(__name__="planted")
exec(open("/usr/local/sbin/lab-ocfs2-node-down").read(), told)
told["may_write"] = lambda state, minor: True
told["main"](["{ELSEWHERE}"])
' && journalctl -q --since -60s -t lab-ocfs2-node-down -o cat"""

#: Until the drill has killed the guest.
CRASHED = (
    f"read -r pid < /run/libvirt/qemu/{GUEST.domain}.pid\n"
    "for _ in $(seq 200); do kill -0 $pid || break; sleep 0.2; done; kill -0 $pid || echo gone"
)
#: Until DRBD's handler has had the other node fenced.
FENCED = (
    "for _ in $(seq 120); do journalctl -q --since -150s -t lab-fence-peer -o cat | grep -q 'was fenced' && "
    "echo done && break; sleep 1; done"
)

#: While one guest moves live, another one is told to stop and to start again, without any failure.
RESTARTED = """for _ in $(seq 240); do virsh -q list --name | grep -qx {moving} || break; sleep 0.5; done
read -r pid < /run/libvirt/qemu/{domain}.pid
nohup crm_resource --restart --resource {resource} </dev/null >/dev/null 2>&1 &
for _ in $(seq 240); do kill -0 $pid 2>/dev/null || break; sleep 0.5; done
kill -0 $pid 2>/dev/null || echo gone"""
#: A guest's processor stands still for longer than a pulled leg may cost anybody.
STOPPED = (
    f"pid=$(cat /run/libvirt/qemu/{GUEST.domain}.pid) && kill -STOP $pid && sleep 20 && kill -CONT $pid && echo done"
)


def audit() -> dict[str, bool]:
    """What holds of the data, by the name of the audit; the exit code says the same."""
    result = invoke("lab.audit", *LAB, "--json", limit_s=2400)
    document = json.loads(result.stdout)
    assert document["ok"] == (result.returncode == 0)
    return {one["name"]: one["ok"] for one in document["audits"]}


def broken_now(since_s: float) -> set[str]:
    """Names of the audits of a drill's end that fail with the lab as it is.

    Args:
        since_s: the kernels' words count from this moment, seconds since 1970.
    """
    with opened(options_from(LAB[1], NAME), "test") as (session, _):
        kernel = {name: one.kernel for name, one in fetch_nodes(session, since_s).items()}
        found = final_audits(session.lab, observe.look(session), kernel, ())
    for one in found:
        print(f"  {'ok    ' if one.ok else 'FAILED'} {one.name}: {'; '.join(one.findings)}", flush=True)
    return {one.name for one in found if not one.ok}


def broken_by(plant: Callable[[], None], *words: str) -> set[str]:
    """Names of the audits that fail after a drill in which something was planted, from its first request on."""
    drills = ROOT / "build" / NAME / "drills"
    known = set(drills.glob("*"))
    argv = [*ARGV, "lab.drill", *words, "--json", *LAB]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 240
        while not _answered(set(drills.glob("*")) - known):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
        plant()
        # It was planted before the drill's end, or nothing would be proven.
        assert process.poll() is None
        output, _ = process.communicate(timeout=1800)
    assert process.returncode == 1
    (record,) = json.loads(output)["drills"]
    for one in record["audits"]:
        print(f"  {'ok    ' if one['ok'] else 'FAILED'} {one['name']}: {'; '.join(one['findings'])}", flush=True)
    return {one["name"] for one in record["audits"] if not one["ok"]}


def _answered(folders: set[Path]) -> bool:
    """Whether the probes of a new drill have noted some answers."""
    files = [folder / "samples.jsonl" for folder in folders]
    return any(file.exists() and file.read_text().count("\n") > 40 for file in files)


@pytest.fixture(autouse=True)
def sound_again() -> Iterator[None]:
    """The lab goes back to its save, however the test ends."""
    yield
    assert invoke("lab.reset", *LAB, limit_s=600).returncode == 0


def test_what_happens_beside_the_cluster_is_found() -> None:
    assert WRITER is not None
    writer = WRITER

    def plant() -> None:
        assert on_node(ELSEWHERE, STRANGER) == "done\n"
        assert on_node(ELSEWHERE, SECOND) == "done\n"
        assert on_node(ELSEWHERE, OTHER_WRITER, limit_s=150) == "done\n"
        assert on_node(writer.name, LOSE_ROW) == "done\n"
        assert on_node(ELSEWHERE, STANDING_BY, limit_s=300) == "done\n"

    # A millisecond disturbs nobody, and lasts as long as it is to.
    drill = ("fault:delay", "--node", GUEST.home, "--amount", "1", "--seconds", "240")
    ledger = f"ledger of radius-accounting {writer.name}"
    found = broken_by(plant, *drill)
    assert found == {HEARD_AUDIT, HEARTBEAT_AUDIT, NEVER_TWICE, FENCED_FIRST, ledger, ON_PRIMARY}


def test_a_living_node_that_is_called_gone_is_found() -> None:
    def plant() -> None:
        # What was before the fault is no matter of the drill.
        assert on_node(GUEST.home, CRASHED) == "gone\n"
        assert f"said farewell for {ELSEWHERE}" in on_node(GUEST.home, FAREWELL, limit_s=120)
        # Nothing more is to come of it: the node goes before OCFS2 misses it, but later than clocks may differ.
        time.sleep(4)
        domain = addressing.domain_name(NAME, ELSEWHERE)
        virsh = ["virsh", "-q", "-c", "qemu:///system"]
        subprocess.run([*virsh, "destroy", domain], check=True, timeout=60)
        # Fencing leaves off what is off.
        assert on_node(GUEST.home, FENCED, limit_s=150) == "done\n"
        subprocess.run([*virsh, "start", domain], check=True, timeout=60)

    found = broken_by(plant, "guest-crash", "--guest", GUEST.name)
    assert found == {TOLD_OF_FENCED, INTENDED}


def test_a_guest_that_is_restarted_while_guests_move_live_is_found() -> None:
    assert WRITER is not None
    command = RESTARTED.format(moving=GUEST.domain, domain=WRITER.domain, resource=WRITER.resource)

    def plant() -> None:
        assert on_node(WRITER.home, command, limit_s=400) == "gone\n"

    assert broken_by(plant, "live-migrate", "--guest", GUEST.name) == {MOVED_LIVE}


def test_a_service_that_is_away_for_too_long_is_found() -> None:
    def plant() -> None:
        assert on_node(GUEST.home, STOPPED, limit_s=120) == "done\n"

    assert broken_by(plant, "fault:leg-down", "--node", ELSEWHERE, "--seconds", "60") == {TOO_LONG_AWAY}


def test_guests_away_and_failed_actions_are_found() -> None:
    started_s = wall_s()
    assert broken_now(started_s) == set()
    away = f"crm_resource --ban --resource {GUEST.resource} --node {GUEST.home} >&2"
    assert on_node(GUEST.home, f"{away} && crm_resource --wait --timeout 300 >&2 && echo done", limit_s=400) == "done\n"
    assert broken_now(started_s) == {AT_HOME}
    crash = f"kill -9 $(cat /run/libvirt/qemu/{GUEST.domain}.pid)"
    failed = "for _ in $(seq 240); do crm_mon -1f | grep -q 'Failed Resource Actions' && break; sleep 1; done"
    again = f"until virsh -q -c qemu:///system list --name | grep -q '^{GUEST.domain}$'; do sleep 1; done; echo done"
    assert on_node(ELSEWHERE, f"{crash}; {failed}; {again}", limit_s=600) == "done\n"
    assert broken_now(started_s) == {HEALTHY, AT_HOME, NO_FAILED_ACTION}


def test_differences_and_errors_of_the_data_are_found() -> None:
    started_s = wall_s()
    assert on_node("piova", OTHER_BLOCK) == "done\n"
    assert on_node("brina", BROKEN_INODE) == "done\n"
    assert audit() == {VERIFY_AUDIT: False, FSCK_AUDIT: False}
    assert on_node("brina", READ_INODE) == "done\n"
    assert broken_now(started_s) >= {HEALTHY, IN_STEP, MOUNTED_TWICE}
    assert invoke("lab.reset", *LAB, limit_s=600).returncode == 0
    assert audit() == {VERIFY_AUDIT: True, FSCK_AUDIT: True}
