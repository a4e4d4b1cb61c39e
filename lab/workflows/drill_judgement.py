"""From what a drill recorded and fetched to its record: figures, time line, audits, objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lab.core import addressing
from lab.core.drills import audits, continuous
from lab.core.drills.heard import Sighting, audit_heard
from lab.core.drills.heartbeats import Readings, audit_heartbeats
from lab.core.drills.migrations import migrations_of, with_humps
from lab.core.drills.objectives import judge_objectives
from lab.core.drills.record import AuditResult, DrillRecord, MigrationFigure, Phase, StreamFigures
from lab.core.drills.residence import Residence, overlaps, restarts
from lab.core.drills.timeline import DomainEvent, phases_of
from lab.core.errors import LabError
from lab.core.measurement.ledger import acknowledged_numbers, compare
from lab.core.measurement.numbering import Numbering
from lab.core.measurement.outages import figures
from lab.core.measurement.samples import WRITING_KINDS, Recording
from lab.core.model import Lab
from lab.drivers.domain_events import LifecycleEvent
from lab.workflows import observe
from lab.workflows.drill_actions import Scene
from lab.workflows.drill_evidence import CLOCK_TOLERANCE_S, NodeEvidence, fetch_nodes, heartbeats_after, stored_numbers

#: The journals are asked from a little before the fault.
BEFORE_S = 10.0


#: So many of a stream's requests may not have been sent in time. Each sample carries its own time, so outages are still
#: what they were; with more than that the rate would not be the one that the record states.
MISSED_SHARE = 0.1


def too_many(missed: Mapping[str, int], sent: Mapping[str, int]) -> dict[str, int]:
    """The streams of which too many requests were not sent in time.

    Args:
        missed: requests that were not sent, by stream.
        sent: those that were.
    """
    return {name: count for name, count in missed.items() if count > MISSED_SHARE * (count + sent.get(name, 0))}


@dataclass
class Course:
    """A drill's course as it was recorded.

    Args:
        before, after: the looks at the healthy lab; after is None when health did not return.
        started_wall_s, started_s, ended_s: of the recording, by the wall clock and the monotonic clock.
        recordings: what the probes saw.
        numbering: of the rows that it wrote; None when it ended before.
        missed: requests that this machine was too late to send, by stream.
        heartbeats: of the guests, before.
        events: life cycle events of the nodes' domains.
        sightings: where the host's bridge heard the guests from.
        texts: further files for the drill's folder, by name.
    """

    before: observe.Look
    started_wall_s: float
    started_s: float
    ended_s: float = 0.0
    after: observe.Look | None = None
    recordings: Sequence[Recording] = ()
    numbering: Numbering | None = None
    missed: dict[str, int] = field(default_factory=dict)
    heartbeats: Readings = field(default_factory=dict)
    events: Sequence[LifecycleEvent] = ()
    sightings: Sequence[Sighting] = ()
    texts: dict[str, str] = field(default_factory=dict)


def judged(scene: Scene, course: Course, failure: LabError | None) -> DrillRecord:
    """The record of a drill; evidence that cannot be fetched is a problem in it, never an exception."""
    lab = scene.session.lab
    zero_s, fault_wall_s = _fault(scene, course)
    problems = [failure.message, *failure.details[:8]] if failure else []
    if missed := too_many(course.missed, {one.spec.name: len(one.samples) for one in course.recordings}):
        problems.append(f"this machine was too slow to send all requests; not sent: {missed}")
    evidence: dict[str, NodeEvidence] = {}
    beats: Readings = {}
    try:
        evidence = fetch_nodes(scene.session, fault_wall_s - BEFORE_S)
        beats = heartbeats_after(scene.session, course.heartbeats)
    except LabError as error:
        problems.append(f"no evidence from the nodes: {error.message}")
    course.texts |= {f"{name}-journal.txt": one.journal for name, one in evidence.items()}
    after = course.after or observe.look(scene.session)
    streams = tuple(figures(recording, zero_s) for recording in course.recordings)
    phases = _phases(scene, course, evidence, streams)
    return DrillRecord(
        identifier="",
        drill=scene.drill.name,
        node=scene.node.name if scene.guest is None else "",
        guest=scene.guest.name if scene.guest else "",
        seed=0,
        lab=lab.name,
        accelerator=lab.accelerator,
        time_scale=lab.time_scale,
        fault_at=datetime.fromtimestamp(fault_wall_s, UTC).isoformat(timespec="milliseconds"),
        duration_s=round(course.ended_s - course.started_s, 3),
        phases=phases,
        streams=streams,
        audits=(
            *_audits(scene, course, after, evidence, phases),
            audit_heartbeats(course.heartbeats, beats, [guest.name for guest in lab.guests]),
            *audits.audit_away(scene.drill.fault.away_s if scene.drill.fault else None, streams),
        ),
        objectives=judge_objectives(lab, scene.drill.name, streams),
        boot_ids=_boot_ids(course, after),
        homes={guest.name: guest.home for guest in lab.guests},
        versions=_versions(scene, evidence),
        problems=tuple(problems),
        migrations=_migrations(scene, course, evidence),
    )


def _migrations(scene: Scene, course: Course, evidence: dict[str, NodeEvidence]) -> tuple[MigrationFigure, ...]:
    zero_s, fault_wall_s = _fault(scene, course)
    found = migrations_of(
        {name: one.journal for name, one in evidence.items()},
        offsets_s={name: one.offset_s for name, one in evidence.items()},
        fault_wall_s=fault_wall_s,
        guests={guest.resource: guest.name for guest in scene.session.lab.guests},
        offset_error_s=CLOCK_TOLERANCE_S / 2,
    )
    return with_humps(found, course.recordings, zero_s)


def _fault(scene: Scene, course: Course) -> tuple[float, float]:
    """The moment of the fault by the monotonic and by the wall clock; of the start where none was made."""
    zero_s = scene.fault_s or course.started_s
    return zero_s, course.started_wall_s + zero_s - course.started_s


def _phases(
    scene: Scene,
    course: Course,
    evidence: dict[str, NodeEvidence],
    streams: Sequence[StreamFigures],
) -> tuple[Phase, ...]:
    lab = scene.session.lab
    zero_s, fault_wall_s = _fault(scene, course)
    own = [
        Phase(one.name, round(one.at_s - zero_s, 3), one.subject, one.source, one.uncertainty_s, one.detail)
        for one in scene.phases
    ]
    domains = {addressing.domain_name(lab.name, node.name): node.name for node in lab.nodes}
    told = phases_of(
        {name: one.journal for name, one in evidence.items()},
        offsets_s={name: one.offset_s for name, one in evidence.items()},
        fault_wall_s=fault_wall_s,
        events=[
            DomainEvent(event.at_s, domains[event.domain], event.event, str(event.detail))
            for event in course.events
            if event.domain in domains
        ],
        guests={guest.resource: guest.name for guest in lab.guests},
        node=scene.node.name,
        offset_error_s=CLOCK_TOLERANCE_S / 2,
    )
    guests = {guest.name for guest in lab.guests}
    answering = [
        Phase("service answering", outage.end_s, stream.target, "probe", outage.end_uncertainty_s, stream.kind)
        for stream in streams
        if stream.target in guests
        # A service may stammer before and after: what counts is the end of the longest absence.
        for outage in sorted(
            (each for each in stream.outages if each.end_s is not None and each.end_s > 0),
            key=lambda each: (each.end_s or 0.0) - each.start_s,
        )[-1:]
        if outage.end_s is not None
    ]
    return tuple(sorted([*own, *told, *answering], key=lambda phase: phase.at_s))


def _audits(
    scene: Scene,
    course: Course,
    after: observe.Look,
    evidence: dict[str, NodeEvidence],
    phases: Sequence[Phase],
) -> list[AuditResult]:
    lab = scene.session.lab
    _zero_s, fault_wall_s = _fault(scene, course)
    found = [one for each in evidence.values() for one in each.residences]
    offsets = {name: each.offset_s for name, each in evidence.items()}
    losses = _power_losses(lab, course)
    kernel = {name: each.kernel for name, each in evidence.items()}
    *settled, failed = final_audits(lab, after, kernel, scene.expected_failures)
    twice = overlaps(
        found,
        offsets_s=offsets,
        power_lost_s=losses,
        tolerance_s=CLOCK_TOLERANCE_S,
        since_s=course.started_wall_s,
    )
    anew = restarts(found, offsets_s=offsets, since_s=fault_wall_s)
    return [
        *settled,
        audits.audit_never_twice(twice, len(found)),
        *_heard(scene, course, found, offsets, losses),
        *([audits.audit_never_restarted(anew, len(found))] if scene.drill.keeps_guests else []),
        continuous.audit_fenced_first(
            found,
            offsets_s=offsets,
            power_lost_s=losses,
            fenced_s=_moments(phases, "fenced", "pacemaker", fault_wall_s),
            since_s=fault_wall_s,
            tolerance_s=CLOCK_TOLERANCE_S,
        ),
        continuous.audit_told_of_fenced(
            _moments(phases, "heartbeat ended", "lab", fault_wall_s), losses, CLOCK_TOLERANCE_S
        ),
        _mounts(scene, course, evidence),
        failed,
        audits.audit_boots(scene.drill, scene.node.name if scene.guest is None else "", _boot_ids(course, after)),
        *_ledgers(scene, course),
    ]


def final_audits(
    lab: Lab, look: observe.Look, kernel: Mapping[str, str], expected_failures: Sequence[str]
) -> list[AuditResult]:
    """What has to hold when a drill is over: health, storage, file system, guests; last that no action has failed.

    Args:
        lab: the lab.
        look: the last look at its nodes.
        kernel: per node, what its kernel said since the drill began.
        expected_failures: beginnings of the failed actions that belong to the drill.
    """
    failed = [
        f"{action.operation} on {action.node}: {action.exit_status}"
        for action in (look.cluster.failed_actions if look.cluster else ())
    ]
    return [
        audits.audit_health(lab, look.nodes),
        audits.audit_storage(lab, look.nodes),
        audits.audit_file_system(lab, look.nodes, kernel),
        audits.audit_guests(lab, look.nodes),
        audits.audit_failed_actions(failed, expected_failures),
    ]


def _power_losses(lab: Lab, course: Course) -> dict[str, list[float]]:
    """Per node, when its machine went off by libvirt's own events, seconds since 1970 by the host's clock."""
    return {
        node.name: [
            event.at_s
            for event in course.events
            if event.domain == addressing.domain_name(lab.name, node.name) and event.event in ("stopped", "crashed")
        ]
        for node in lab.nodes
    }


def _heard(
    scene: Scene,
    course: Course,
    found: Sequence[Residence],
    offsets_s: Mapping[str, float],
    power_lost_s: Mapping[str, Sequence[float]],
) -> list[AuditResult]:
    """Open vSwitch keeps its table to itself, so there is nothing to judge with it."""
    if scene.session.lab.network.switch != "bridge":
        return []
    return [
        audit_heard(
            course.sightings,
            found,
            guests=[guest.domain for guest in scene.session.lab.guests],
            offsets_s=offsets_s,
            power_lost_s=power_lost_s,
            tolerance_s=CLOCK_TOLERANCE_S,
        )
    ]


def _moments(phases: Sequence[Phase], name: str, source: str, fault_wall_s: float) -> dict[str, list[float]]:
    """Per node, when a phase was reached by the word of a source, by the host's wall clock."""
    found: dict[str, list[float]] = {}
    for phase in phases:
        if phase.name == name and phase.source == source:
            found.setdefault(phase.subject, []).append(fault_wall_s + phase.at_s)
    return found


def _mounts(scene: Scene, course: Course, evidence: dict[str, NodeEvidence]) -> AuditResult:
    minor = scene.session.lab.storage.minor
    before = {
        name: facts is not None
        and facts.drbd is not None
        and facts.drbd.device(minor).local_role == continuous.PRIMARY
        and bool(facts.mount)
        for name, facts in course.before.nodes.items()
    }
    return continuous.audit_mounted_on_primary({name: one.journal for name, one in evidence.items()}, before)


def _ledgers(scene: Scene, course: Course) -> list[AuditResult]:
    by_name = {guest.name: guest for guest in scene.session.lab.guests}
    results = []
    for recording in course.recordings:
        guest = by_name.get(recording.spec.target)
        if recording.spec.kind not in WRITING_KINDS or guest is None or course.numbering is None:
            continue
        name = f"ledger of {recording.spec.name}"
        try:
            stored = stored_numbers(scene.session, guest, recording.spec.kind, course.numbering)
        except LabError as error:
            results.append(AuditResult(name, False, (f"the rows cannot be read: {error.message}",)))
            continue
        results.append(compare(acknowledged_numbers(recording), stored).as_audit(name))
    return results


def _boot_ids(course: Course, after: observe.Look) -> dict[str, tuple[str, str]]:
    def of(look: observe.Look, name: str) -> str:
        facts = look.nodes[name]
        return facts.boot_id if facts else ""

    return {name: (of(course.before, name), of(after, name)) for name in course.before.nodes}


def _versions(scene: Scene, evidence: dict[str, NodeEvidence]) -> dict[str, str]:
    node = next(iter(evidence.values()), None)
    number = scene.hypervisor.connection.getVersion()
    host = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
    return {**(node.versions if node else {}), "qemu on the host": host}
