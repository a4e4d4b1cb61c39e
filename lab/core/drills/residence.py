"""Where guests ran and when, from the logs that libvirt keeps of their QEMU processes on each node.

libvirt heads each start of a domain with ``<time>: starting up libvirt version: ...``, followed by the command line,
and its end with ``<time>: shutting down, reason=<reason>`` (src/qemu/qemu_process.c); times are UTC with milliseconds.
A QEMU started with ``-incoming`` receives a live migration: the guest runs there only when the source has let go of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations

_TIME = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)\+0000: "
_EVENT = re.compile(_TIME + r"(starting up libvirt version|shutting down, reason=(\S+))")
_INCOMING = re.compile(r"^-incoming\b", re.MULTILINE)
MIGRATED = "migrated"
#: How an incoming process ends whose migration came to nothing: the guest never ran in it.
ABANDONED = ("failed", "destroyed", "crashed")


@dataclass(frozen=True)
class Residence:
    """One QEMU process of a guest on a node.

    Args:
        guest, node: which and where.
        start_s, end_s: when it began and ended, seconds since 1970 by the node's clock; end_s is None without a word
            about its end: it still runs, or its node lost power.
        incoming: whether it received a live migration.
        reason: why it ended: ``shutdown``, ``destroyed``, ``migrated``, ``crashed``, ``failed``.
    """

    guest: str
    node: str
    start_s: float
    end_s: float | None
    incoming: bool
    reason: str = ""


def residences(log: str, guest: str, node: str) -> tuple[Residence, ...]:
    """The processes that a domain's log tells of, in order.

    Args:
        log: ``/var/log/libvirt/qemu/<guest>.log`` of the node.
        guest: name of the domain.
        node: name of the node.
    """
    found: list[Residence] = []
    matches = list(_EVENT.finditer(log))
    ends = [*(match.start() for match in matches[1:]), len(log)]
    # A node where the guest never was has no log, and so one end too many.
    for match, until in zip(matches, ends, strict=False):
        at_s = _seconds(match[1])
        if match[3] is None:
            incoming = _INCOMING.search(log, match.end(), until) is not None
            found.append(Residence(guest, node, at_s, None, incoming))
        elif found and found[-1].end_s is None:
            last = found[-1]
            found[-1] = Residence(guest, node, last.start_s, at_s, last.incoming, match[3])
    return tuple(found)


def overlaps(
    found: Iterable[Residence],
    *,
    offsets_s: Mapping[str, float],
    power_lost_s: Mapping[str, Sequence[float]],
    tolerance_s: float,
    since_s: float,
) -> list[str]:
    """Every time that a guest ran twice, one sentence each; empty when none did.

    A node's logs outlive drills, and tell nothing of a process whose node lost power in an earlier one. So only what
    is after ``since_s`` counts, and a process without a word about its end ended at the latest when the same guest was
    started on the same node again.

    Args:
        found: the residences of all guests on all nodes.
        offsets_s: per node, its clock minus the host's, seconds.
        power_lost_s: per node, the moments (host's clock, seconds since 1970) at which all of its processes ended
            without a word, because its power was cut or it was fenced.
        tolerance_s: how far two clocks may be apart after the correction.
        since_s: from when on it counts, by the host's clock, seconds since 1970.
    """
    intervals = _after_migrations(spans(found, offsets_s=offsets_s, power_lost_s=power_lost_s))
    findings = []
    for (one, start, end), (other, begin, finish) in combinations(intervals, 2):
        if one.guest != other.guest or one.node == other.node:
            continue
        both_s = min(end, finish) - max(start, begin, since_s)
        if both_s > tolerance_s:
            findings.append(f"{one.guest} ran on {one.node} and on {other.node} at once, for {both_s:.1f} s")
    return findings


def restarts(found: Iterable[Residence], *, offsets_s: Mapping[str, float], since_s: float) -> list[str]:
    """Every time that a guest was started anew rather than moved, one sentence each.

    Args:
        found: the residences of all guests on all nodes.
        offsets_s: per node, its clock minus the host's, seconds.
        since_s: from when on it counts, by the host's clock, seconds since 1970.
    """
    return [
        f"{one.guest} was started on {one.node} {after_s:.0f} s after the fault"
        for one in found
        if not one.incoming and (after_s := one.start_s - offsets_s.get(one.node, 0.0) - since_s) > 0
    ]


def _succeeded(found: Iterable[Residence]) -> list[Residence]:
    """The residences; one without an end is ended by the next of the same guest on the same node, if there is one."""
    known: list[Residence] = []
    last: dict[tuple[str, str], int] = {}
    for one in sorted(found, key=lambda each: each.start_s):
        place = (one.guest, one.node)
        before = known[last[place]] if place in last else None
        if before is not None and before.end_s is None:
            known[last[place]] = replace(before, end_s=one.start_s)
        last[place] = len(known)
        known.append(one)
    return known


_Interval = tuple[Residence, float, float]


def spans(
    found: Iterable[Residence], *, offsets_s: Mapping[str, float], power_lost_s: Mapping[str, Sequence[float]]
) -> list[_Interval]:
    """Each process with its beginning and its end by the host's clock, seconds since 1970; infinite while it runs.

    Args:
        found: the residences of all guests on all nodes.
        offsets_s: per node, its clock minus the host's, seconds.
        power_lost_s: per node, the moments at which all of its processes ended without a word.
    """
    return [_interval(one, offsets_s.get(one.node, 0.0), power_lost_s.get(one.node, ())) for one in _succeeded(found)]


def _interval(one: Residence, offset_s: float, losses_s: Sequence[float]) -> _Interval:
    start = one.start_s - offset_s
    end = float("inf") if one.end_s is None else one.end_s - offset_s
    return one, start, min([end, *(loss for loss in losses_s if loss >= start)])


def _after_migrations(intervals: Sequence[_Interval]) -> list[_Interval]:
    """An incoming guest runs from the moment at which its source ended as migrated."""
    corrected = []
    for one, start, end in intervals:
        sources = [
            finish
            for other, begin, finish in intervals
            if other.guest == one.guest
            and other.node != one.node
            and other.reason == MIGRATED
            and begin < start < finish
        ]
        if not one.incoming:
            corrected.append((one, start, end))
        elif sources or one.reason not in ABANDONED:
            corrected.append((one, max([start, *sources]), end))
    return corrected


def _seconds(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
