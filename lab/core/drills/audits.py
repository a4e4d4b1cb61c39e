"""The judgement after a drill: what must hold, from what was seen; each audit names its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.core.drills.catalogue import Drill
from lab.core.drills.record import AuditResult, StreamFigures
from lab.core.health import NodeFacts, problems_of
from lab.core.model import Lab

#: Words with which the kernel tells of a damaged OCFS2 (fs/ocfs2/super.c, ``__ocfs2_error`` and ``__ocfs2_abort``).
OCFS2_TROUBLE = ("OCFS2: ERROR", "OCFS2: abort", "On-disk corruption discovered")


def audit_health(lab: Lab, nodes: Mapping[str, NodeFacts | None]) -> AuditResult:
    """The lab is healthy again."""
    problems = problems_of(lab, nodes)
    return AuditResult("lab healthy", not problems, tuple(problems) or ("both nodes online, every resource in place",))


def audit_storage(lab: Lab, nodes: Mapping[str, NodeFacts | None]) -> AuditResult:
    """DRBD is Primary/Primary and UpToDate/UpToDate on both nodes with nothing out of sync."""
    findings, ok = [], True
    for name in lab.node_names:
        facts = nodes.get(name)
        device = facts.drbd.device(lab.storage.minor) if facts and facts.drbd else None
        good = device is not None and device.dual_primary and not device.out_of_sync_kib
        ok = ok and good
        findings.append(
            f"{name}: {device}, {device.out_of_sync_kib} KiB out of sync" if device else f"{name}: no DRBD device"
        )
    return AuditResult("DRBD up to date, nothing out of sync", ok, tuple(findings))


def audit_file_system(lab: Lab, nodes: Mapping[str, NodeFacts | None], kernel: Mapping[str, str]) -> AuditResult:
    """OCFS2 is mounted twice, for writing, and the kernels have nothing bad to say about it.

    Args:
        lab: the lab.
        nodes: per node, the last look.
        kernel: per node, what its kernel said since the drill began.
    """
    findings, ok = [], True
    for name in lab.node_names:
        facts = nodes.get(name)
        words = facts.mount.split() if facts else []
        mounted = "ocfs2" in words and "ro" not in words[-1].split(",")
        trouble = [line for line in kernel.get(name, "").splitlines() if any(word in line for word in OCFS2_TROUBLE)]
        ok = ok and mounted and not trouble
        findings.append(f"{name}: {'mounted for writing' if mounted else 'not mounted for writing'}")
        findings += [f"{name}: {line.strip()[:160]}" for line in trouble[:3]]
    return AuditResult("OCFS2 clean and mounted twice", ok, tuple(findings))


def audit_guests(lab: Lab, nodes: Mapping[str, NodeFacts | None]) -> AuditResult:
    """Every guest runs exactly once, on its home node."""
    findings, ok = [], True
    for guest in lab.guests:
        places = [name for name, facts in nodes.items() if facts and guest.domain in facts.running_guests]
        ok = ok and places == [guest.home]
        findings.append(f"{guest.name} runs on {' and '.join(places) or 'no node'}, home is {guest.home}")
    return AuditResult("every guest runs exactly once, at home", ok, tuple(findings))


def audit_never_twice(overlaps: Sequence[str], processes: int) -> AuditResult:
    """No guest ran on two nodes at once, at any time of the drill.

    Args:
        overlaps: the times at which one did.
        processes: how many QEMU processes were looked at; none at all proves nothing.
    """
    evidence = f"{processes} QEMU processes in the logs of both nodes, none beside another of the same guest"
    return AuditResult("no guest at any time twice", not overlaps and processes > 0, tuple(overlaps) or (evidence,))


def audit_never_restarted(restarts: Sequence[str], processes: int) -> AuditResult:
    """Every guest ran on all the time.

    Args:
        restarts: the starts that were no migrations.
        processes: how many QEMU processes were looked at; none at all proves nothing.
    """
    evidence = f"{processes} QEMU processes in the logs of both nodes, none started but to receive a migration"
    return AuditResult(
        "every guest moved live, none was restarted", not restarts and processes > 0, tuple(restarts) or (evidence,)
    )


def audit_failed_actions(failed: Sequence[str], expected: Sequence[str]) -> AuditResult:
    """The cluster reports no failed action but those that the drill was to bring about.

    Args:
        failed: failed actions as ``operation on node: words``.
        expected: beginnings of those that belong to the drill.
    """
    strange = [one for one in failed if not one.startswith(tuple(expected))]
    return AuditResult("no unexpected failed action", not strange, tuple(strange) or (f"{len(failed)} expected",))


def audit_boots(drill: Drill, node: str, boot_ids: Mapping[str, tuple[str, str]]) -> AuditResult:
    """The node of the drill really went down, by its new boot id; no other one did.

    Args:
        drill: the drill.
        node: the node it was done to; empty for a drill on a guest.
        boot_ids: per node, before and after.
    """
    findings, ok = [], bool(boot_ids)
    down: set[str] = set()
    for name, (before, after) in boot_ids.items():
        rebooted = before != after
        down |= {name} if rebooted else set()
        ok = ok and bool(before) and bool(after)
        findings.append(f"{name}: {'another boot id, it went down' if rebooted else 'the same boot id, it stayed up'}")
    as_meant = {
        "none": not down,
        "target": down == {node},
        "one": len(down) == 1,
        "both": down == set(boot_ids),
        "any": True,
    }[drill.down]
    return AuditResult("exactly the intended node went down", ok and as_meant, tuple(findings))


def audit_away(limit_s: float | None, streams: Sequence[StreamFigures]) -> list[AuditResult]:
    """No client was without an answer for longer than what was done allows; nothing to judge where it says nothing.

    Args:
        limit_s: the longest time, in seconds.
        streams: what clients saw.
    """
    if limit_s is None:
        return []
    wrong = []
    for stream in streams:
        for outage in stream.outages:
            lost_s = outage.requests_lost * stream.interval_s
            away_s = lost_s if outage.end_s is None else outage.end_s - outage.start_s
            if away_s > limit_s:
                wrong.append(f"{stream.name} was away for {away_s:.1f} s, from {outage.start_s:.1f} s on")
    name = f"no service was away for more than {limit_s:g} s"
    return [AuditResult(name, not wrong and bool(streams), tuple(wrong) or (f"{len(streams)} streams",))]
