"""Violations that are planted in a running lab: the audits have to find each of them, and nothing else."""

from __future__ import annotations

import json
import subprocess
import time

from lab.core import addressing
from lab.core.drills.data_audits import FSCK_AUDIT, VERIFY_AUDIT
from lab.core.drills.heard import HEARD_AUDIT
from lab.surface import options_from
from lab.workflows.options import load_lab
from tests.faults.conftest import ARGV, LAB, NAME, ROOT, invoke, on_node

MODEL = load_lab(options_from(topology=LAB[1], name=NAME))
STORAGE = MODEL.storage
GUEST = MODEL.guests[0]
ELSEWHERE = next(node.name for node in MODEL.nodes if node.name != GUEST.home)
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


def audit() -> dict[str, bool]:
    """What holds of the data, by the name of the audit; the exit code says the same."""
    result = invoke("lab.audit", *LAB, "--json", limit_s=2400)
    document = json.loads(result.stdout)
    assert document["ok"] == (result.returncode == 0)
    return {one["name"]: one["ok"] for one in document["audits"]}


def test_another_node_that_speaks_for_a_guest_is_heard() -> None:
    drills = ROOT / "build" / NAME / "drills"
    known = set(drills.glob("*"))
    argv = [*ARGV, "lab.drill", "fault:packet-loss", "--node", GUEST.home, "--json", *LAB]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not [one for one in set(drills.glob("*")) - known if (one / "samples.jsonl").exists()]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert on_node(ELSEWHERE, STRANGER) == "done\n"
        output, _ = process.communicate(timeout=1200)
    assert process.returncode == 1
    (record,) = json.loads(output)["drills"]
    assert {one["name"] for one in record["audits"] if not one["ok"]} == {HEARD_AUDIT}


def test_differences_and_errors_of_the_data_are_found() -> None:
    assert on_node("piova", OTHER_BLOCK) == "done\n"
    assert on_node("brina", BROKEN_INODE) == "done\n"
    assert audit() == {VERIFY_AUDIT: False, FSCK_AUDIT: False}
    assert invoke("lab.reset", *LAB, limit_s=600).returncode == 0
    assert audit() == {VERIFY_AUDIT: True, FSCK_AUDIT: True}
