"""Objectives: the longest outage that a topology allows a service in a drill, against what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from lab.core.drills.record import ObjectiveResult, StreamFigures
from lab.core.model import Lab

#: The streams by which a client tells that a service is away.
STREAMS_OF_SERVICE = {
    "dns": ("dns",),
    "radius": ("radius-access", "radius-accounting"),
    "web": ("http-read", "http-write"),
    "telephony": ("sip-options",),
}


def judge_objectives(lab: Lab, drill: str, streams: Sequence[StreamFigures]) -> tuple[ObjectiveResult, ...]:
    """Every objective of the lab for this drill, with the longest outage of all guests of that service."""
    results = []
    for objective in lab.objectives:
        if objective.drill != drill:
            continue
        targets = {guest.name for guest in lab.guests if guest.service == objective.service}
        kinds = STREAMS_OF_SERVICE[objective.service]
        longest: float | None = 0.0
        seen = [stream for stream in streams if stream.kind in kinds and stream.target in targets]
        for outage in (outage for stream in seen for outage in stream.outages):
            length = None if outage.end_s is None else outage.end_s - outage.start_s
            longest = None if length is None or longest is None else max(longest, length)
        results.append(ObjectiveResult(objective.service, drill, objective.limit_ms / 1000, longest if seen else None))
    return tuple(results)
