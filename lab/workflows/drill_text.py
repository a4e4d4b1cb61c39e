"""A drill's record as a person reads it on the terminal."""

from __future__ import annotations

from lab.core.drills.record import DrillRecord, OutageFigure, StreamFigures

#: The record has all of them.
OUTAGES_SHOWN = 3


def text_of(record: DrillRecord, folder: str) -> str:
    """The record in a few lines.

    Args:
        record: of the drill.
        folder: where everything of it is kept, as a person would type it.
    """
    target = record.guest or record.node
    lines = [
        f"Drill {record.drill} on {target} (lab {record.lab}, {record.accelerator}, time scale {record.time_scale:g})",
        "Time line, seconds from the fault",
        *(
            f"  {phase.at_s:8.1f}  {phase.name:<18} {phase.subject:<12} {phase.source}: {phase.detail}"[:140].rstrip()
            for phase in record.phases
        ),
        "Services, as their clients saw them",
        *(f"  {_stream_line(stream)}" for stream in record.streams),
        "Audits",
        *(f"  {'ok    ' if audit.ok else 'FAILED'} {audit.name}" for audit in record.audits),
    ]
    for audit in record.audits:
        if not audit.ok:
            lines += [f"    {finding}" for finding in audit.findings]
    for objective in record.objectives:
        seen = "did not end" if objective.measured_s is None else f"{objective.measured_s:.1f} s"
        lines.append(
            f"  {'ok    ' if objective.ok else 'MISSED'} objective: {objective.service} away at most "
            f"{objective.limit_s:g} s, seen {seen}"
        )
    lines += [f"Problem: {problem}" for problem in record.problems]
    lines.append(f"{'Passed' if record.ok else 'FAILED'}; everything is in {folder}.")
    return "\n".join(lines)


def _stream_line(stream: StreamFigures) -> str:
    lost = stream.requests - stream.answered
    longest = sorted(stream.outages, key=_length, reverse=True)[:OUTAGES_SHOWN]
    outages = ", ".join(_outage(outage) for outage in sorted(longest, key=lambda outage: outage.start_s)) or "no outage"
    if more := len(stream.outages) - len(longest):
        outages += f", and {more} shorter"
    middle = f"median {stream.latency_ms['p50']:.0f} ms, " if "p50" in stream.latency_ms else ""
    return f"{stream.name:<28} {stream.requests:5} requests, {lost:4} without answer; {middle}{outages}"


def _length(outage: OutageFigure) -> float:
    return float("inf") if outage.end_s is None else outage.end_s - outage.start_s


def _outage(outage: OutageFigure) -> str:
    early, late = outage.start_uncertainty_s, outage.end_uncertainty_s
    if outage.end_s is None:
        return f"away from {outage.start_s:.1f} s on"
    return f"away {outage.end_s - outage.start_s:.1f} s at {outage.start_s:.1f} s (-{late:.1f}/+{early:.1f} s)"
