"""The thorough look at the data: what was planted behind the back of DRBD and of OCFS2 is found, and nothing else."""

from __future__ import annotations

import json

from lab.core.drills.data_audits import FSCK_AUDIT, VERIFY_AUDIT
from lab.surface import options_from
from lab.workflows.options import load_lab
from tests.faults.conftest import LAB, invoke, on_node

STORAGE = load_lab(options_from(topology=LAB[1])).storage
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


def audit() -> dict[str, bool]:
    """What holds, by the name of the audit; the exit code says the same."""
    result = invoke("lab.audit", *LAB, "--json", limit_s=2400)
    document = json.loads(result.stdout)
    assert document["ok"] == (result.returncode == 0)
    return {one["name"]: one["ok"] for one in document["audits"]}


def test_planted_differences_and_errors_are_found() -> None:
    assert on_node("piova", OTHER_BLOCK) == "done\n"
    assert on_node("brina", BROKEN_INODE) == "done\n"
    assert audit() == {VERIFY_AUDIT: False, FSCK_AUDIT: False}
    assert invoke("lab.reset", *LAB, limit_s=600).returncode == 0
    assert audit() == {VERIFY_AUDIT: True, FSCK_AUDIT: True}
