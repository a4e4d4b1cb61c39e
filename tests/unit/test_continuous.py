"""Audits of every moment of a drill, each with violations that were planted."""

from __future__ import annotations

import pytest

from lab.core.drills.continuous import audit_fenced_first, audit_mounted_on_primary, audit_told_of_fenced
from lab.core.drills.residence import Residence

FAULT = 1_764_043_200.0
AT_HOME = Residence("passata", "piova", FAULT - 500, None, False)


def taken_over(start_s: float, node: str = "brina", *, incoming: bool = False) -> Residence:
    return Residence("passata", node, FAULT + start_s, None, incoming)


def judged(
    *found: Residence, off: tuple[float, ...] = (), fenced: tuple[float, ...] = (), offset_s: float = 0.0
) -> tuple[bool, tuple[str, ...]]:
    result = audit_fenced_first(
        found,
        offsets_s={"brina": offset_s, "piova": 0.0},
        power_lost_s={"piova": [FAULT + at for at in off]},
        fenced_s={"piova": [FAULT + at for at in fenced]},
        since_s=FAULT,
        tolerance_s=2.0,
    )
    return result.ok, result.findings


def test_a_node_that_was_off_before_is_in_order() -> None:
    ok, findings = judged(AT_HOME, taken_over(30), off=(12.0,), fenced=(13.0,))
    assert ok
    assert findings == ("passata: piova was off 18.0 s before brina began",)


def test_a_start_beside_a_node_that_runs_is_found() -> None:
    ok, findings = judged(AT_HOME, taken_over(30))
    assert not ok
    assert findings == ("passata was started on brina while piova had not been switched off",)


def test_a_node_that_goes_off_too_late_is_found() -> None:
    assert not judged(AT_HOME, taken_over(10), off=(12.5,), fenced=(13.0,))[0]
    assert judged(AT_HOME, taken_over(10), off=(11.5,), fenced=(13.0,))[0]


def test_a_loss_of_power_from_before_the_guest_began_there_does_not_count() -> None:
    assert not judged(AT_HOME, taken_over(30), off=(-600.0,))[0]


def test_a_fencing_that_the_host_did_not_see_is_found() -> None:
    ok, findings = judged(AT_HOME, fenced=(13.0,))
    assert not ok
    assert findings == ("Pacemaker calls piova fenced, but libvirt did not see it go off before",)
    assert not judged(AT_HOME, off=(20.0,), fenced=(13.0,))[0]


def test_a_guest_that_ended_or_migrated_needs_no_fencing() -> None:
    ended = Residence("passata", "piova", FAULT - 500, FAULT + 5, False, "shutdown")
    assert judged(ended, taken_over(30))[0]
    assert judged(AT_HOME, taken_over(30, incoming=True))[0]
    assert judged(AT_HOME, taken_over(30, "piova"))[0]
    assert judged(AT_HOME, taken_over(-30))[0]


def test_clocks_are_taken_into_account() -> None:
    # The clock of brina is 20 s ahead: what it calls 30 was 10.
    assert not judged(AT_HOME, taken_over(30), off=(15.0,), offset_s=20.0)[0]


def told(*moments: float, off: tuple[float, ...] = ()) -> tuple[bool, tuple[str, ...]]:
    at = {"piova": [FAULT + moment for moment in moments]}
    result = audit_told_of_fenced(at, {"piova": [FAULT + moment for moment in off]}, 2.0)
    return result.ok, result.findings


def test_ocfs2_may_hear_of_a_node_that_is_off() -> None:
    assert told(13.0, off=(0.0, 12.0)) == (True, ("piova was off 1.0 s before OCFS2 was told so",))
    assert told() == (True, ("it was told of none",))


@pytest.mark.parametrize("off", [(), (16.0,)])
def test_the_end_of_a_living_node_s_heartbeat_is_found(off: tuple[float, ...]) -> None:
    assert told(13.0, off=off) == (False, ("OCFS2 was told that piova is gone, which had not been switched off",))


MOUNT = "kernel: ocfs2: Mounting device (147,0) on (node 0, slot 0) with ordered data mode."
UNMOUNT = "kernel: ocfs2: Unmounting device (147,0) on (node 0)"
PROMOTE = "kernel: block drbd0: role( Secondary -> Primary ) "
PEER = "kernel: block drbd0: peer( Primary -> Secondary ) "
DEMOTE = "kernel: block drbd0: role( Primary -> Secondary ) "
BOOT = "kernel: Linux version 6.1.0-56-amd64 (debian-kernel@lists) #1 SMP"


def journal(*lines: str) -> str:
    return "\n".join(f"{FAULT + place:.6f} brina {line}" for place, line in enumerate(lines))


@pytest.mark.parametrize(
    ("lines", "before", "ok"),
    [
        ((), True, True),
        ((UNMOUNT, DEMOTE, PROMOTE, MOUNT), True, True),
        ((BOOT, PROMOTE, MOUNT), True, True),
        ((PEER,), True, True),
        ((DEMOTE,), True, False),
        ((DEMOTE, UNMOUNT), True, False),
        ((BOOT, MOUNT, PROMOTE), True, False),
        ((MOUNT,), False, False),
        ((PROMOTE, MOUNT), False, True),
    ],
)
def test_a_mount_without_a_primary_is_found(lines: tuple[str, ...], before: bool, ok: bool) -> None:
    result = audit_mounted_on_primary({"brina": journal(*lines)}, {"brina": before})
    assert result.ok is ok
    assert result.findings


def test_no_journal_proves_nothing() -> None:
    assert not audit_mounted_on_primary({}, {}).ok
