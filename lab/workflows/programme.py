"""The study's programme: its three tests as drills, each from a healthy lab, and kept after each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.core.drills import programme as rows
from lab.core.drills.catalogue import Order, planned
from lab.core.drills.programme import Programme, Wishes
from lab.core.drills.record import DrillRecord
from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.core.report.programme import figures_of, programme_table, progress_lines
from lab.core.report.projection import Rates
from lab.core.report.study_tables import study_tables
from lab.core.report.tables import as_text
from lab.doors import files
from lab.drivers.hypervisor import Hypervisor
from lab.workflows.drill import DRILLS_FOLDER, DrillError, perform
from lab.workflows.opening import opened
from lab.workflows.options import Options, load_lab, shown_path
from lab.workflows.programme_files import FIGURES_FILE, PROGRAMME_FILE, PROGRAMMES_FOLDER, newest_open
from lab.workflows.report import read_records
from lab.workflows.session import Session

#: As drills' directories begin, so that both can be compared.
STAMP = "%Y%m%dT%H%M%S"


def study(options: Options, wishes: Wishes, resume: bool = False) -> Outcome:
    """Carry out the programme, or go on with one that was interrupted.

    Args:
        options: which lab.
        wishes: which drills.
        resume: continue the newest one that is not finished; a drill that was complete is not done again.

    Raises:
        LabError: a drill failed, and ended the programme; what there is stays recorded. Or nothing can be resumed, or
            the wishes cannot be meant (exit code 2).
    """
    rows.row(load_lab(options), wishes)
    with opened(options, "study") as (session, hypervisor):
        programme = _resumed(session, wishes) if resume else _new(session, wishes)
        _keep(session, programme)
        while (place := programme.next_place) is not None:
            programme = _one(session, hypervisor, programme, place)
        return _outcome(session, programme)


def _new(session: Session, wishes: Wishes) -> Programme:
    lab = session.lab
    return Programme(
        name=f"study-{datetime.now(UTC):{STAMP}}",
        lab=lab.name,
        accelerator=lab.accelerator,
        time_scale=lab.time_scale,
        topology=session.options.topology.read_text(encoding="utf-8"),
        steps=rows.row(lab, wishes),
    )


def _resumed(session: Session, wishes: Wishes) -> Programme:
    programme = newest_open(session.folder)
    wanted = None if wishes == Wishes() else rows.row(session.lab, wishes)
    topology = session.options.topology.read_text(encoding="utf-8")
    rows.require_same(programme, session.lab, topology, wanted)
    programme = rows.recovered(programme, read_records(session.folder / DRILLS_FOLDER).records)
    done = len(programme.complete)
    session.reporter.note(f"{programme.name} goes on: {done} of {len(programme.steps)} drills are complete")
    return programme


def _one(session: Session, hypervisor: Hypervisor, programme: Programme, place: int) -> Programme:
    """The programme after its drill at a place, which is kept whatever comes of it."""
    step = programme.steps[place]
    what = f"drill {place + 1} of {len(programme.steps)}, {step}"
    session.reporter.note(what)
    programme = rows.begun(programme, place, f"{datetime.now(UTC):{STAMP}}")
    _keep(session, programme)
    (plan,) = planned(session.lab, Order(step.drill, step.node, seed=place + 1))
    try:
        record = perform(session, hypervisor, plan)
    except LabError as error:
        failed = error.record if isinstance(error, DrillError) else None
        programme = rows.ended(programme, place, failed) if failed else rows.refused(programme, place, error.message)
        _keep(session, programme)
        raise _stopped(session, programme, what, error) from error
    programme = rows.ended(programme, place, record)
    _keep(session, programme)
    if not record.sound:
        raise _stopped(session, programme, what, _audits(session, record))
    return programme


def _audits(session: Session, record: DrillRecord) -> LabError:
    wrong = [audit for audit in record.audits if not audit.ok]
    return LabError(
        f"{len(wrong)} of {len(record.audits)} audits do not hold",
        remedy="Look at what the audits found; ./inv lab.status shows the lab",
        details=[
            *(f"{audit.name}: {'; '.join(audit.findings)}" for audit in wrong),
            f"everything is kept in {shown_path(session.folder / DRILLS_FOLDER / record.identifier)}",
        ],
    )


def _stopped(session: Session, programme: Programme, what: str, error: LabError) -> LabError:
    where = shown_path(session.folder / PROGRAMMES_FOLDER / programme.name / PROGRAMME_FILE)
    again = "./inv lab.drill study --resume goes on from this drill when the lab is healthy"
    return LabError(
        f"{what}, ended the programme: {error.message}",
        remedy=f"{error.remedy}; {again}" if error.remedy else again,
        details=[*error.details, f"{len(programme.complete)} drills are complete, kept in {where}"],
    )


def _keep(session: Session, programme: Programme) -> None:
    """Write the programme and its figures; a killed command loses nothing but the drill that ran."""
    folder = session.folder / PROGRAMMES_FOLDER / programme.name
    files.write_json(folder / PROGRAMME_FILE, rows.as_document(programme))
    files.write_json(folder / FIGURES_FILE, _figures(session, _counting(session, programme)))


def _counting(session: Session, programme: Programme) -> tuple[DrillRecord, ...]:
    """The records of the drills that count."""
    return read_records(session.folder / DRILLS_FOLDER, programme.complete).records


def _figures(session: Session, records: tuple[DrillRecord, ...]) -> list[dict[str, Any]]:
    return [one.as_document() for one in figures_of(records, session.lab.node_names)]


def _outcome(session: Session, programme: Programme) -> Outcome:
    records = _counting(session, programme)
    nodes = session.lab.node_names
    own = programme_table(programme, figures_of(records, nodes))
    tables = (own, *study_tables(records, nodes, Rates()))
    folder: Path = session.folder / PROGRAMMES_FOLDER / programme.name
    lines = [
        f"Programme {programme.name} of lab {programme.lab}:",
        *progress_lines(programme),
        "",
        *(f"{as_text(table)}\n" for table in tables),
        f"Kept in {shown_path(folder)}. `./inv lab.report --programme {programme.name}` draws its page.",
    ]
    return Outcome(
        "\n".join(lines),
        {**rows.as_document(programme), "figures": _figures(session, records), "folder": shown_path(folder)},
        ok=programme.ok,
    )
