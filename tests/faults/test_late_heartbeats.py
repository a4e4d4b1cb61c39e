"""A node whose heartbeats come late while the other one mounts: neither may have the file system to itself.

``mount.ocfs2`` of the image waits until the other node has been seen alive; the program behind it does not, which is
shown first: otherwise nobody would know whether there was anything to wait for.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Iterator

import pytest

from lab.surface import options_from
from lab.workflows.options import load_lab
from lab.workflows.storage import LOCK_MANAGERS
from tests.faults import late_heartbeats
from tests.faults.conftest import LAB, NAME, invoke, on_node

MODEL = load_lab(options_from(topology=LAB[1], name=NAME))
STORAGE = MODEL.storage
STAYS, COMES = (node.name for node in MODEL.nodes)
#: Further apart than the two heartbeats that OCFS2 wants to see within its six seconds.
BUSY_S = 7
#: All of it: the heartbeats are waited for, then locks are asked for across the busy node.
LATE_FOR_S = 60

STOP_GUESTS = "for name in $(virsh -q list --name); do virsh -q destroy $name; done"
#: Pacemaker looks away, and no guest runs.
LET_GO = f"crm configure property maintenance-mode=true && sleep 2; {STOP_GUESTS}; echo done"
#: The node that is to come has left the file system in order.
LEAVE = f"{STOP_GUESTS}; virsh -q pool-destroy {STORAGE.pool}; umount {STORAGE.mount_point} && echo done"
PROGRAM = base64.b64encode(inspect.getsource(late_heartbeats).encode()).decode()
BE_LATE = (
    f"echo {PROGRAM} | base64 -d > /run/late_heartbeats.py; "
    f"(setsid python3 /run/late_heartbeats.py {BUSY_S} {LATE_FOR_S} </dev/null >/run/late_heartbeats.out 2>&1 &); "
    "echo done"
)
MOUNT = f"sleep 4; {{program}} /dev/drbd{STORAGE.minor} {STORAGE.mount_point} -o rw,noatime && {LOCK_MANAGERS}"


@pytest.fixture(autouse=True)
def sound_again() -> Iterator[None]:
    """The lab goes back to its save, however the test ends."""
    yield
    assert invoke("lab.reset", *LAB, limit_s=600).returncode == 0


def mounted_by(program: str) -> list[str]:
    """Numbers of the nodes whose lock managers the coming node knows, when it was mounted beside late heartbeats."""
    assert on_node(STAYS, LET_GO, limit_s=120).endswith("done\n")
    assert on_node(COMES, LEAVE, limit_s=120).endswith("done\n")
    assert on_node(STAYS, BE_LATE, limit_s=60) == "done\n"
    return on_node(COMES, MOUNT.format(program=program), limit_s=300).split()


def test_the_program_of_ocfs2_mounts_beside_a_late_node_as_if_it_were_alone() -> None:
    assert mounted_by("/sbin/mount.ocfs2.distrib") == [str(MODEL.nodes[1].index - 1)]


def test_a_late_node_is_waited_for() -> None:
    assert mounted_by("/sbin/mount.ocfs2") == [str(node.index - 1) for node in MODEL.nodes]
