"""What must hold at every moment of a drill, not only at its end: judged from logs, which miss nothing in between."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lab.core.drills.record import AuditResult
from lab.core.drills.residence import Residence

_LINE = re.compile(r"(?P<at>\d+\.\d+) \S+ kernel(?:\[\d+\])?: (?P<text>.*)")
#: DRBD 8.4 of Linux 6.1, drivers/block/drbd/drbd_state.c (print_state_change): the device's own role.
_ROLE = re.compile(r"drbd\S*: (?:\w+\( [^)]*\) )*?role\( \w+ -> (?P<role>\w+) \)")
#: OCFS2 of Linux 6.1, fs/ocfs2/super.c (ocfs2_mount_volume and ocfs2_dismount_volume).
_MOUNTED = re.compile(r"ocfs2: Mounting device \(")
_UNMOUNTED = re.compile(r"ocfs2: Unmounting device \(")
#: The first line of every boot, init/version-timestamp.c.
_BOOTED = re.compile(r"Linux version \d")

PRIMARY = "Primary"


def audit_fenced_first(
    found: Sequence[Residence],
    *,
    offsets_s: Mapping[str, float],
    power_lost_s: Mapping[str, Sequence[float]],
    fenced_s: Mapping[str, Sequence[float]],
    since_s: float,
    tolerance_s: float,
) -> AuditResult:
    """A node that was fenced really was off before any of its guests started elsewhere.

    Args:
        found: the guests' processes on all nodes, of the drill and before.
        offsets_s: per node, its clock minus the host's, seconds.
        power_lost_s: per node, when its machine went off by libvirt's own events; host's clock, seconds since 1970.
        fenced_s: per node, when Pacemaker called it fenced, likewise.
        since_s: moment of the fault, likewise; what started before is of no matter.
        tolerance_s: how far two clocks may be apart after the correction.
    """
    findings: list[str] = []
    evidence: list[str] = []
    for node, moments in fenced_s.items():
        for moment in moments:
            if not any(lost <= moment + tolerance_s for lost in power_lost_s.get(node, ())):
                findings.append(f"Pacemaker calls {node} fenced, but libvirt did not see it go off before")
    for start_s, before, after in _takeovers(found, offsets_s, since_s):
        if before.end_s is not None and before.end_s - offsets_s.get(before.node, 0.0) <= start_s + tolerance_s:
            continue
        began_s = before.start_s - offsets_s.get(before.node, 0.0)
        off = [at for at in power_lost_s.get(before.node, ()) if began_s <= at <= start_s + tolerance_s]
        if off:
            evidence.append(
                f"{after.guest}: {before.node} was off {start_s - min(off):.1f} s before {after.node} began"
            )
        else:
            findings.append(f"{after.guest} was started on {after.node} while {before.node} had not been switched off")
    return AuditResult(
        "a fenced node was off before its guests started elsewhere",
        not findings,
        tuple(findings) or tuple(evidence) or ("no guest started where another node had it before",),
    )


def audit_told_of_fenced(
    told_s: Mapping[str, Sequence[float]], power_lost_s: Mapping[str, Sequence[float]], tolerance_s: float
) -> AuditResult:
    """OCFS2 was told of no node that it is gone before that node was switched off: it would replay a living journal.

    Args:
        told_s: per node, when its heartbeat was ended for it; host's clock, seconds since 1970.
        power_lost_s: per node, when its machine went off by libvirt's own events, likewise.
        tolerance_s: how far two clocks may be apart after the correction.
    """
    findings: list[str] = []
    evidence: list[str] = []
    for node, moments in told_s.items():
        for moment in moments:
            off = [at for at in power_lost_s.get(node, ()) if at <= moment + tolerance_s]
            if off:
                evidence.append(f"{node} was off {moment - max(off):.1f} s before OCFS2 was told so")
            else:
                findings.append(f"OCFS2 was told that {node} is gone, which had not been switched off")
    return AuditResult(
        "OCFS2 was told of no node that still ran",
        not findings,
        tuple(findings) or tuple(evidence) or ("it was told of none",),
    )


def _takeovers(
    found: Sequence[Residence], offsets_s: Mapping[str, float], since_s: float
) -> list[tuple[float, Residence, Residence]]:
    """Starts of guests, other than arrivals by migration, on another node than that of the process before."""

    def start_s(one: Residence) -> float:
        return one.start_s - offsets_s.get(one.node, 0.0)

    takeovers = []
    for after in found:
        if after.incoming or start_s(after) < since_s:
            continue
        earlier = [one for one in found if one.guest == after.guest and start_s(one) < start_s(after)]
        before = max(earlier, key=start_s, default=None)
        if before is not None and before.node != after.node:
            takeovers.append((start_s(after), before, after))
    return sorted(takeovers, key=lambda takeover: takeover[0])


def audit_mounted_on_primary(journals: Mapping[str, str], primary_before: Mapping[str, bool]) -> AuditResult:
    """OCFS2 was at no time mounted on a node whose DRBD was not primary.

    Args:
        journals: per node, its journal since shortly before the fault (``short-unix``), all boots of that time.
        primary_before: per node, whether it was primary, with OCFS2 mounted, when the journal began.
    """
    findings: list[str] = []
    changes = 0
    for node, journal in journals.items():
        primary = mounted = primary_before.get(node, False)
        for line in journal.splitlines():
            parts = _LINE.fullmatch(line)
            if parts is None:
                continue
            text = parts["text"]
            role = _ROLE.search(text)
            if _BOOTED.match(text):
                primary = mounted = False
            elif role:
                primary = role["role"] == PRIMARY
            elif _MOUNTED.search(text):
                mounted = True
            elif _UNMOUNTED.search(text):
                mounted = False
            else:
                continue
            changes += 1
            if mounted and not primary:
                findings.append(f"{node}: mounted without being primary: {text.strip()[:120]}")
    evidence = f"{changes} changes of boots, roles and mounts in the journals of {len(journals)} nodes"
    return AuditResult(
        "OCFS2 never mounted without DRBD primary", not findings and bool(journals), tuple(findings) or (evidence,)
    )
