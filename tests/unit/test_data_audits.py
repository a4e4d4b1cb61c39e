"""What a thorough look at the data means: DRBD's own words about a comparison, and those of fsck.ocfs2."""

from __future__ import annotations

import pytest

from lab.core.drills.data_audits import audit_copies, audit_structures, fsck_findings, verification_ended
from lab.core.health import NodeFacts
from lab.core.model import Lab
from lab.core.parsers.drbd import parse_proc_drbd
from lab.core.topology import parse_topology
from lab.workflows.options import TOPOLOGIES

PROC = """\
version: 8.4.11 (api:1/proto:86-101)
srcversion: 0A2FB3C6A2F3C6A2F3C6A2F
 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----
    ns:1 nr:2 dw:3 dr:4 al:1 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:{oos}
"""
BEGUN = "block drbd0: conn( Connected -> VerifyS ) \nblock drbd0: Starting Online Verify from sector 0\n"
ENDED = "block drbd0: Online verify done (total 97 sec; paused 0 sec; 42288 K/sec)\n"
DIFFERENT = "block drbd0: Out of sync: start=2048, size=16 (sectors)\n"
#: Of fsck.ocfs2 1.8.7 on a mounted file system.
CLEAN = """\
fsck.ocfs2 1.8.7
Checking OCFS2 filesystem in /dev/drbd0:
  Label:              VMS
Pass 0a: Checking cluster allocation chains
Pass 4b: Checking inodes link counts.
All passes succeeded.
"""
BROKEN = """\
Pass 2: Checking directory entries.
[DIRENT_INODE_FREE] Directory entry 'planted' refers to inode number 270851 which isn't allocated, clear the entry? n
Pass 3: Checking directory connectivity.
"""


@pytest.fixture
def lab() -> Lab:
    path = TOPOLOGIES / "two-node.yaml"
    return parse_topology(path.read_text(), source=path.name)


def nodes(**out_of_sync_kib: int) -> dict[str, NodeFacts | None]:
    return {
        name: NodeFacts("boot", 60.0, parse_proc_drbd(PROC.format(oos=kib)), "", (), None)
        for name, kib in out_of_sync_kib.items()
    }


def test_a_comparison_is_over_when_both_kernels_say_so() -> None:
    assert not verification_ended({})
    assert not verification_ended({"brina": BEGUN + ENDED, "piova": BEGUN})
    assert not verification_ended({"brina": BEGUN + ENDED, "piova": "block drbd0: Resync done (total 5 sec; paused"})
    assert verification_ended({"brina": BEGUN + ENDED, "piova": ENDED})


def test_two_equal_copies_are_told_with_how_long_it_took(lab: Lab) -> None:
    found = audit_copies(lab, nodes(brina=0, piova=0), {"brina": BEGUN + ENDED, "piova": ENDED})
    assert found.ok
    assert found.findings == tuple(
        f"{name}: compared in 97 s, 42288 KiB/s, nothing out of sync" for name in ("brina", "piova")
    )


def test_a_planted_difference_is_told_with_its_place(lab: Lab) -> None:
    kernel = {"brina": BEGUN + DIFFERENT + ENDED, "piova": ENDED}
    found = audit_copies(lab, nodes(brina=8, piova=8), kernel)
    assert not found.ok
    assert found.findings == (
        "brina: 8 KiB differ from 1.0 MiB on",
        "brina: 8 KiB out of sync",
        "piova: 8 KiB out of sync",
    )
    many = audit_copies(lab, nodes(brina=8, piova=0), {"brina": DIFFERENT * 9 + ENDED, "piova": ENDED})
    assert "brina: 3 more places differ" in many.findings


@pytest.mark.parametrize(
    ("seen", "kernel", "finding"),
    [
        ({"brina": 0, "piova": 0}, {"brina": ENDED, "piova": BEGUN}, "piova: its kernel does not tell of the end"),
        ({"brina": 0, "piova": 0}, {}, "brina: its kernel does not tell of the end"),
        ({"brina": 0}, {"brina": ENDED, "piova": ENDED}, "piova: DRBD cannot be asked"),
    ],
)
def test_what_was_not_compared_is_not_equal(
    lab: Lab, seen: dict[str, int], kernel: dict[str, str], finding: str
) -> None:
    found = audit_copies(lab, nodes(**seen), kernel)
    assert not found.ok
    assert any(one.startswith(finding) for one in found.findings)


def test_a_file_system_without_findings_is_sound() -> None:
    assert audit_structures("piova", [(0, CLEAN)]).findings == ("piova: fsck.ocfs2 -n found nothing",)
    later = audit_structures("piova", [(0, BROKEN), (0, CLEAN)])
    assert later.ok
    assert later.findings == ("piova: fsck.ocfs2 -n found nothing, after 1 that met something unfinished",)


@pytest.mark.parametrize(
    ("runs", "finding"),
    [
        ([], "piova: fsck.ocfs2 was not run"),
        ([(0, CLEAN), (0, BROKEN)], "piova: [DIRENT_INODE_FREE] Directory entry 'planted'"),
        ([(4, CLEAN)], "piova: fsck.ocfs2 -n ended with 4"),
        ([(8, "fsck.ocfs2: Bad magic number in superblock\n")], "piova: fsck.ocfs2: Bad magic number"),
    ],
)
def test_an_error_that_stays_is_told(runs: list[tuple[int, str]], finding: str) -> None:
    found = audit_structures("piova", runs)
    assert not found.ok
    assert any(one.startswith(finding) for one in found.findings)


def test_errors_are_told_from_other_lines() -> None:
    assert fsck_findings(CLEAN) == ()
    assert len(fsck_findings(BROKEN)) == 1
