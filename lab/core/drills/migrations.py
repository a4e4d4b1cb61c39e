"""Live migrations during a drill, and what a client noticed of each: the hump of the study's figure 7.3.

When a migration began and ended is told by Pacemaker on the nodes. How much slower a guest answered meanwhile follows
from the samples of its streams: what is quicker than the calm before it is no hump.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.core.drills.record import HumpFigure, MigrationFigure
from lab.core.measurement.outages import outages, percentile
from lab.core.measurement.samples import Recording, Sample

#: The calm that a migration is compared with: so long before it, seconds.
CALM_S = 20.0
#: A request counts as slow when it took longer than all of the calm, and so much longer than its median, ms: where
#: every request takes the same time, a tenth more is no hump.
LEAST_RISE_MS = 2.0

#: Pacemaker 2.1.5, daemons/controld/controld_execd.c (do_lrm_rsc_op, log_executor_event), short-unix journal.
_BEGUN = re.compile(
    r"(?P<at>\d+\.\d+) \S+ pacemaker-controld\[\d+\]:.*"
    r"Requesting local execution of migrate_to operation for (?P<resource>\S+) on (?P<on>[\w.-]+)"
)
_ENDED = re.compile(
    r"(?P<at>\d+\.\d+) \S+ pacemaker-controld\[\d+\]:.*"
    r"Result of migrate_from operation for (?P<resource>\S+) on (?P<on>[\w.-]+): ok\b"
)


def migrations_of(
    journals: Mapping[str, str],
    *,
    offsets_s: Mapping[str, float],
    fault_wall_s: float,
    guests: Mapping[str, str],
    offset_error_s: float = 0.0,
) -> tuple[MigrationFigure, ...]:
    """The live migrations that came to their end, in order of their beginning; times are seconds from the fault.

    Args:
        journals: per node name, the output of ``journalctl -o short-unix`` there.
        offsets_s: per node name, its clock minus the host's, seconds.
        fault_wall_s: the fault on the host's wall clock, seconds since 1970.
        guests: per resource, such as ``VM_1``, the guest's name.
        offset_error_s: how far the offsets may be wrong, seconds.
    """
    moments: list[tuple[float, str, str, bool]] = []
    for node, journal in journals.items():
        origin_s = fault_wall_s + offsets_s.get(node, 0.0)
        for line in journal.splitlines():
            match = (begun := _BEGUN.match(line)) or _ENDED.match(line)
            # What a node says about the other one is an echo.
            if match and match["resource"] in guests and match["on"] == node:
                moments.append((float(match["at"]) - origin_s, match["resource"], node, begun is not None))
    found: list[MigrationFigure] = []
    under_way: dict[str, tuple[float, str]] = {}
    for at_s, resource, node, is_begin in sorted(moments):
        if is_begin:
            under_way[resource] = (at_s, node)
        elif resource in under_way and under_way[resource][1] != node:
            start_s, source = under_way.pop(resource)
            found.append(MigrationFigure(guests[resource], source, node, start_s, at_s, offset_error_s))
    return tuple(sorted(found, key=lambda one: (one.start_s, one.guest)))


def with_humps(
    migrations: Sequence[MigrationFigure], recordings: Sequence[Recording], zero_s: float
) -> tuple[MigrationFigure, ...]:
    """The migrations with what the streams of their guests noticed.

    Args:
        migrations: of :func:`migrations_of`.
        recordings: all streams of the drill.
        zero_s: the moment of the fault, on the clock of the samples.
    """
    return tuple(
        replace(
            one,
            streams=tuple(
                hump(recording, one.start_s + zero_s, one.end_s + zero_s, one.uncertainty_s)
                for recording in recordings
                if recording.spec.target == one.guest
            ),
        )
        for one in migrations
    )


def hump(recording: Recording, start_s: float, end_s: float, margin_s: float = 0.0) -> HumpFigure:
    """What one stream noticed of one migration.

    Args:
        recording: the stream.
        start_s: beginning of the migration, on the clock of the samples.
        end_s: its end.
        margin_s: how far both may be wrong; requests within it belong to the migration, not to the calm.
    """
    first_s, last_s = start_s - margin_s, end_s + margin_s
    during = [one for one in recording.samples if first_s <= one.sent_s <= last_s]
    before = [one for one in recording.samples if first_s - CALM_S <= one.sent_s < first_s]
    calm_ms = [one.latency_s * 1000 for one in before if one.ok]
    answered_ms = [one.latency_s * 1000 for one in during if one.ok]
    median_ms = percentile(calm_ms, 50) if calm_ms else None
    pauses = [
        one.end_s - one.start_s
        for one in outages(recording)
        if one.end_s is not None and first_s <= one.start_s <= last_s
    ]
    return HumpFigure(
        stream=recording.spec.name,
        calm_ms=median_ms,
        median_ms=percentile(answered_ms, 50) if answered_ms else None,
        highest_ms=max(answered_ms, default=None),
        raised_s=_slow_s(during, calm_ms, recording.spec.interval_s),
        requests=len(during),
        lost=sum(not one.ok for one in during),
        longest_pause_s=max(pauses, default=0.0),
    )


def _slow_s(during: Sequence[Sample], calm_ms: Sequence[float], interval_s: float) -> float | None:
    """The time in which requests were slower than in the calm; None without a calm to compare with.

    An interval for each slow request, and not from the first to the last: one straggler would stretch that.
    """
    if not calm_ms:
        return None
    limit_ms = max(*calm_ms, percentile(calm_ms, 50) + LEAST_RISE_MS)
    return interval_s * sum(not one.ok or one.latency_s * 1000 > limit_ms for one in during)
