"""A drill: the lab broken on purpose, measured from the client's side, waited for, audited, recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lab.core import addressing
from lab.core.drills.catalogue import Order, Plan, planned
from lab.core.drills.record import DrillRecord, as_document
from lab.core.errors import LabError
from lab.core.host_facts import ECHO_REMEDY
from lab.core.outcome import Outcome
from lab.doors import files
from lab.doors.clock import Deadline, now_s, pause, wait_until, wall_s
from lab.drivers.bridge_table import BridgeTable
from lab.drivers.domain_events import DomainEvents
from lab.drivers.hypervisor import Hypervisor
from lab.drivers.probes.icmp import echo_refusal
from lab.workflows import observe
from lab.workflows.drill_actions import ACTIONS, Scene, wait_home
from lab.workflows.drill_evidence import heartbeats
from lab.workflows.drill_judgement import Course, judged
from lab.workflows.drill_text import text_of
from lab.workflows.fault_drill import fault_drill
from lab.workflows.opening import opened
from lab.workflows.options import Options, load_lab, shown_path
from lab.workflows.probing import probing
from lab.workflows.session import Session

DRILLS_FOLDER = "drills"
RECORD_FILE = "record.json"
SAMPLES_FILE = "samples.jsonl"
#: Recorded before the fault and after the return of health, so that there is something to compare with.
CALM_S = 5.0


class DrillError(LabError):
    """A drill did not end as it should; carries what was recorded of it."""

    def __init__(self, failure: LabError, record: DrillRecord, where: str) -> None:
        super().__init__(failure.message, remedy=failure.remedy, details=(*failure.details, where))
        self.record = record


def drill(options: Options, order: Order) -> Outcome:
    """Carry out a drill, so many times one after the other, each from a healthy lab.

    Raises:
        LabError: no such drill, node or guest (exit code 2); the lab is not healthy, or a step did not come true.
    """
    plans = planned(load_lab(options), order)
    with opened(options, "drill") as (session, hypervisor):
        records = [perform(session, hypervisor, plan) for plan in plans]
    return outcome_of(session.folder, records)


def perform(session: Session, hypervisor: Hypervisor, plan: Plan) -> DrillRecord:
    """One drill, from a healthy lab to a healthy lab; its record is written whatever comes of it.

    Raises:
        LabError: the lab is not healthy, or this user may send no echo, and the lab asks for some.
        DrillError: the drill did not end as it should; what there is is kept.
    """
    if session.lab.probes.icmp_per_s and (refusal := echo_refusal()):
        raise LabError(f"a drill asks by ICMP echo, too, and you may send none: {refusal}", remedy=ECHO_REMEDY)
    before = _require_healthy(session)
    started = datetime.now(UTC)
    folder = (
        session.folder
        / DRILLS_FOLDER
        / f"{started:%Y%m%dT%H%M%S}-{plan.drill.name.replace(':', '-')}-{plan.target.lower()}"
    )
    folder.mkdir(parents=True)
    course = Course(before=before, started_wall_s=wall_s(), started_s=now_s(), heartbeats=heartbeats(session))
    failure: LabError | None = None
    with (
        session.reporter.step(f"drill {plan.drill.name} on {plan.target}"),
        DomainEvents() as events,
        _heard(session) as table,
    ):
        with probing(session, folder / SAMPLES_FILE) as probes:
            scene = Scene(session, hypervisor, plan.drill, plan.node, plan.guest, probes.runner.snapshot)
            scene.faulty, scene.hold_s = plan.faulty, plan.hold_s
            try:
                _wait_answering(session, scene)
                pause(CALM_S)
                (fault_drill if plan.faulty else ACTIONS[plan.drill.name])(scene)
                course.after = wait_home(scene)
                pause(CALM_S)
            except LabError as error:
                failure = error
            course.recordings = probes.runner.stop()
            course.missed = probes.runner.missed()
            course.numbering = probes.numbering
        course.ended_s = now_s()
        course.events = events.events
        course.sightings = table.sightings
        with session.reporter.step("journals, databases, audits"):
            record = judged(scene, course, failure)
    record = replace(record, identifier=folder.name, seed=plan.seed, topology=session.options.topology.read_text())
    for name, text in course.texts.items():
        files.write_atomically(folder / name, text.encode(), files.SECRET_MODE)
    files.write_json(folder / RECORD_FILE, as_document(record))
    if failure is not None:
        raise DrillError(failure, record, f"everything is kept in {shown_path(folder)}") from failure
    return record


def _heard(session: Session) -> BridgeTable:
    """Where the host's bridge hears the guests from."""
    lab = session.lab
    taps = {addressing.tap_name(lab.name, node.index, nic): node.name for node in lab.nodes for nic in addressing.NICS}
    guests = {addressing.guest_mac(lab, guest): guest.domain for guest in lab.guests}
    return BridgeTable(addressing.bridge_name(lab.name, "service"), taps, guests)


def _require_healthy(session: Session) -> observe.Look:
    look = observe.look(session)
    problems = look.problems(session.lab)
    problems += [
        f"{guest.name} is not at home on {guest.home}"
        for guest in session.lab.guests
        if not (facts := look.nodes[guest.home]) or guest.domain not in facts.running_guests
    ]
    if problems:
        raise LabError(
            f"the lab {session.lab.name} is not healthy, so a drill would prove nothing",
            remedy="./inv lab.status shows it; ./inv lab.up mends what it can",
            details=problems,
        )
    return look


def _wait_answering(session: Session, scene: Scene) -> None:
    """Every stream must have had an answer, or its silence later would mean nothing."""

    def silent() -> list[str]:
        return [
            ": ".join((recording.spec.name, *(sample.detail for sample in recording.samples[-1:])))
            for recording in scene.recorded()
            if not any(sample.ok for sample in recording.samples[-3:])
        ]

    wait_until(
        lambda: not silent(),
        what="every probe to be answered before the fault",
        deadline=Deadline.after(60 * session.lab.time_scale),
        remedy="./inv lab.status shows what does not answer",
        details=silent,
    )


def outcome_of(folder: Path, records: Sequence[DrillRecord]) -> Outcome:
    """What a person and a program get of some drills."""
    texts = [text_of(record, shown_path(folder / DRILLS_FOLDER / record.identifier)) for record in records]
    return Outcome(
        "\n\n".join(texts),
        {"ok": all(record.ok for record in records), "drills": [as_document(record) for record in records]},
        ok=all(record.ok for record in records),
    )
