"""The study's programme: its three tests as a row of drills, and how far an interrupted row has come.

A programme is kept as one document, written anew after every drill. What it says of a drill is one of four words:
waiting, running (begun, and nothing is known of its end), complete, failed. Only a complete one is not done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from lab.core.drills.record import DrillRecord
from lab.core.errors import LabError
from lab.core.model import Lab

FORMAT = 1
#: As often as the study did each of its tests to each node; quick programmes do each once.
STUDY_TIMES = 2
QUICK_TIMES = 1
#: More would take days.
MOST_TIMES = 50
UNSAID = -1

State = Literal["waiting", "running", "complete", "failed"]


@dataclass(frozen=True)
class Wishes:
    """What a person wants of a programme.

    Args:
        quick: each test once, on one node.
        node: on this node only; all nodes (quick: the first one) where empty.
        power_offs, reboots, maintenances: of each node; :data:`UNSAID` for as many as the study, or once when quick.
    """

    quick: bool = False
    node: str = ""
    power_offs: int = UNSAID
    reboots: int = UNSAID
    maintenances: int = UNSAID


@dataclass(frozen=True)
class Step:
    """One drill of a programme.

    Args:
        drill, node: what is done to which node.
        state: how far it is.
        identifier: of the drill's directory when there is one.
        begun_at: UTC stamp in the form that directories of drills begin with; empty before.
        ok: whether its objectives were met, too; None before its end.
        message: why it failed; empty otherwise.
        failed_before: directories of earlier attempts that failed.
    """

    drill: str
    node: str
    state: State = "waiting"
    identifier: str = ""
    begun_at: str = ""
    ok: bool | None = None
    message: str = ""
    failed_before: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.drill} of {self.node}"


@dataclass(frozen=True)
class Programme:
    """A programme and how far it is.

    Args:
        name: of its directory, such as ``study-20261125T101500``.
        lab, accelerator, time_scale, topology: what it is done on; figures of anything else do not belong to it.
        steps: its drills in their order.
    """

    name: str
    lab: str
    accelerator: str
    time_scale: float
    topology: str
    steps: tuple[Step, ...]
    format: int = FORMAT

    @property
    def finished(self) -> bool:
        """Whether every drill is complete."""
        return all(step.state == "complete" for step in self.steps)

    @property
    def ok(self) -> bool:
        """Whether every drill is complete and met its objectives."""
        return self.finished and all(step.ok for step in self.steps)

    @property
    def next_place(self) -> int | None:
        """Place of the first drill that is not complete, from 0; None when all are."""
        return next((place for place, step in enumerate(self.steps) if step.state != "complete"), None)

    @property
    def complete(self) -> tuple[str, ...]:
        """Directories of the drills that count."""
        return tuple(step.identifier for step in self.steps if step.state == "complete")

    @property
    def failed(self) -> tuple[str, ...]:
        """Directories of attempts that failed; they count nowhere, and are shown."""
        return tuple(
            one
            for step in self.steps
            for one in (*step.failed_before, *([step.identifier] if step.state == "failed" else []))
            if one
        )


def row(lab: Lab, wishes: Wishes) -> tuple[Step, ...]:
    """The drills of a programme: test after test as in the study, the nodes in turn.

    Raises:
        LabError: no such node or number of times, or nothing is left to be done (exit code 2).
    """
    if wishes.node and wishes.node not in lab.node_names:
        names = ", ".join(lab.node_names)
        raise LabError(f"{wishes.node} is not a node of lab {lab.name}", remedy=f"Choose one of: {names}", exit_code=2)
    usual = QUICK_TIMES if wishes.quick else STUDY_TIMES
    tests = (
        ("power-off", wishes.power_offs, "--power-offs"),
        ("reboot", wishes.reboots, "--reboots"),
        ("maintenance", wishes.maintenances, "--maintenances"),
    )
    nodes = (wishes.node,) if wishes.node else lab.node_names[: 1 if wishes.quick else None]
    steps: list[Step] = []
    for drill, asked, option in tests:
        if asked != UNSAID and not 0 <= asked <= MOST_TIMES:
            raise LabError(f"{option} {asked} is no number of times", remedy=f"Give 0 to {MOST_TIMES}", exit_code=2)
        times = usual if asked == UNSAID else asked
        steps += [Step(drill, node) for _ in range(times) for node in nodes]
    if not steps:
        raise LabError("this programme has no drill", remedy="Leave one of the tests in it", exit_code=2)
    return tuple(steps)


def begun(programme: Programme, place: int, at: str) -> Programme:
    """The programme while the drill at a place runs."""
    step = programme.steps[place]
    before = (*step.failed_before, *([step.identifier] if step.state == "failed" and step.identifier else []))
    return _with(programme, place, Step(step.drill, step.node, "running", begun_at=at, failed_before=before))


def ended(programme: Programme, place: int, record: DrillRecord) -> Programme:
    """The programme after the drill at a place has left a record.

    It is complete when it left a healthy lab and every audit holds. An objective that was missed is a measurement.
    """
    step = programme.steps[place]
    wrong = [*record.problems, *(f"audit failed: {audit.name}" for audit in record.audits if not audit.ok)]
    done = replace(
        step,
        state="complete" if record.sound else "failed",
        identifier=record.identifier,
        ok=record.ok,
        message="; ".join(wrong),
    )
    return _with(programme, place, done)


def refused(programme: Programme, place: int, message: str) -> Programme:
    """The programme after the drill at a place could not be begun, or ended without a record."""
    step = replace(programme.steps[place], state="failed", identifier="", ok=False, message=message)
    return _with(programme, place, step)


def recovered(programme: Programme, records: Iterable[DrillRecord]) -> Programme:
    """The programme with records that the killed command had still written taken in.

    Args:
        programme: as it was left.
        records: all drills of the lab.
    """
    known = {*programme.complete, *programme.failed}
    for place, step in enumerate(programme.steps):
        if step.state != "running":
            continue
        own = [
            record
            for record in records
            if (record.drill, record.node) == (step.drill, step.node)
            and record.identifier >= step.begun_at
            and record.identifier not in known
        ]
        if own:
            programme = ended(programme, place, min(own, key=lambda record: record.identifier))
    return programme


def require_same(programme: Programme, lab: Lab, topology: str, wanted: Sequence[Step] | None) -> None:
    """Refuse to go on with a programme that is another one than is asked for.

    Args:
        programme: the interrupted one.
        lab: as it is now.
        topology: text of its document.
        wanted: the drills that are asked for; None when nothing was said about them.

    Raises:
        LabError: it is on another ground, or another row of drills (exit code 2).
    """
    remedy = "Begin another one without --resume"
    if (programme.accelerator, programme.time_scale) != (lab.accelerator, lab.time_scale):
        raise LabError(
            f"{programme.name} was measured with {programme.accelerator}, time scale {programme.time_scale:g}, "
            f"and the lab has {lab.accelerator}, {lab.time_scale:g} now",
            remedy=remedy,
            exit_code=2,
        )
    if programme.topology != topology:
        raise LabError(f"{programme.name} was begun on another topology document", remedy=remedy, exit_code=2)
    if wanted is not None and [str(one) for one in wanted] != [str(step) for step in programme.steps]:
        raise LabError(
            f"{programme.name} is another row of drills than these options mean",
            remedy="Give --resume alone, or begin another one without it",
            details=[f"it is: {', '.join(str(step) for step in programme.steps)}"],
            exit_code=2,
        )


def _with(programme: Programme, place: int, step: Step) -> Programme:
    return replace(programme, steps=(*programme.steps[:place], step, *programme.steps[place + 1 :]))


_ADAPTER: TypeAdapter[Programme] = TypeAdapter(Programme)


def as_document(programme: Programme) -> dict[str, Any]:
    """The programme as JSON knows it."""
    document: dict[str, Any] = _ADAPTER.dump_python(programme, mode="json")
    return {**document, "finished": programme.finished, "ok": programme.ok}


def from_document(document: Any) -> Programme:
    """The programme of a document of :func:`as_document`.

    Raises:
        LabError: it is not one.
    """
    try:
        if document["format"] != FORMAT:
            raise KeyError("format")
        kept = {key: value for key, value in document.items() if key not in ("finished", "ok")}
        return _ADAPTER.validate_python(kept)
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise LabError("this is no programme of this version", remedy="Begin another one") from error
