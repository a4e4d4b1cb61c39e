"""Draw the report on all drills of a lab from their records: page, figures, JUnit, plots."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.core.drills.programme import Programme
from lab.core.drills.record import DrillRecord, from_document
from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.core.report.figures import figures_document, figures_schema
from lab.core.report.junit import junit
from lab.core.report.means import node_order
from lab.core.report.page import ProgrammePart, render_page, worst_outage
from lab.core.report.programme import figures_of, programme_table, progress_lines
from lab.core.report.projection import Rates
from lab.core.report.study_tables import study_tables
from lab.core.report.tables import Table, as_text
from lab.core.report.wording import heading, verdict
from lab.doors import files
from lab.doors.templates import load_template
from lab.drivers.plots import plots
from lab.workflows.options import ROOT, Options, load_lab, shown_path
from lab.workflows.programme_files import PROGRAMMES_FOLDER, read_programme

DRILLS_FOLDER = "drills"
REPORT_FOLDER = "report"
RECORD_FILE = "record.json"
PAGE_FILE = "report.html"
TEMPLATE = ROOT / "report" / "report.html.j2"


@dataclass(frozen=True)
class Found:
    """What there is of drills.

    Args:
        records: those that could be read, in order of their directories, which is that of time.
        unreadable: what could not, one sentence each.
    """

    records: tuple[DrillRecord, ...]
    unreadable: tuple[str, ...]


def report(
    options: Options, output: str = "", rates: tuple[float, float] | None = None, programme: str = ""
) -> Outcome:
    """Write the report. It succeeds when it is written, also when drills in it failed.

    Args:
        options: what was asked for.
        output: directory to write to; empty for ``build/<lab>/report``, or that of the programme.
        rates: power-offs and maintenances of each node in a year that projections assume; None for the usual.
        programme: only the drills of this programme, with its own table; empty for all drills of the lab.

    Raises:
        LabError: there is no drill, none of them can be read, a rate cannot be, there is no such programme, or the
            report cannot be written.
    """
    assumed = Rates(*rates) if rates else Rates()
    lab = load_lab(options)
    home = options.build / lab.name
    drills = home / DRILLS_FOLDER
    wanted = read_programme(home, programme) if programme else None
    found = read_records(drills, (*wanted.complete, *wanted.failed) if wanted else None)
    if not found.records:
        raise LabError(
            f"there is no record of a drill in {shown_path(drills)}",
            remedy="Do a drill first; lab.down removes the records with the lab",
            details=found.unreadable,
        )
    if wanted:
        home = home / PROGRAMMES_FOLDER / wanted.name
    folder = Path(output).expanduser() if output else home / REPORT_FOLDER
    counting = [one for one in found.records if wanted is None or one.identifier in wanted.complete]
    nodes = node_order(found.records, lab.node_names)
    tables = study_tables(counting, nodes, assumed)
    part = _programme_part(wanted, counting, nodes) if wanted else None
    page = render_page(load_template(TEMPLATE), lab.name, found.records, tables, found.unreadable, programme=part)
    if part:
        tables = (part.table, *tables)
    figures = json.dumps(figures_document(lab.name, found.records, tables), ensure_ascii=False)
    tree = {
        PAGE_FILE: page,
        "figures.json": figures + "\n",
        "figures.schema.json": json.dumps(figures_schema(), indent=2) + "\n",
        "junit.xml": junit(found.records),
    }
    contents = {name: text.encode() for name, text in tree.items()}
    for record in found.records:
        contents |= {f"plots/{name}": content for name, content in plots(record).items()}
    files.write_tree(folder, contents, lambda _: False)
    return _outcome(lab.name, folder, sorted(contents), found, tables)


def _programme_part(programme: Programme, records: Sequence[DrillRecord], nodes: Sequence[str]) -> ProgrammePart:
    return ProgrammePart(
        programme.name,
        programme_table(programme, figures_of(records, nodes)),
        progress_lines(programme),
        programme.finished,
    )


def read_records(drills: Path, only: Collection[str] | None = None) -> Found:
    """The records below a directory; each is named after its own directory, whatever it says itself.

    Args:
        drills: the directory.
        only: names of the drills that are wanted; None for all.
    """
    records, unreadable = [], []
    for path in sorted(drills.glob(f"*/{RECORD_FILE}")):
        if only is not None and path.parent.name not in only:
            continue
        document = files.read_json(path)
        if not isinstance(document, dict):
            unreadable.append(f"{shown_path(path)}: not a JSON object")
            continue
        try:
            records.append(replace(from_document(document), identifier=path.parent.name))
        except LabError as error:
            unreadable.append(f"{shown_path(path)}: {error.message}")
    return Found(tuple(records), tuple(unreadable))


def _outcome(lab: str, folder: Path, names: Sequence[str], found: Found, tables: Sequence[Table]) -> Outcome:
    page = shown_path(folder / PAGE_FILE)
    lines = [
        f"{record.identifier}: {verdict(record.ok)}, {heading(record)}, longest outage of a service: "
        f"{worst_outage(record)}"
        for record in found.records
    ]
    lines += [f"Left out: {one}" for one in found.unreadable]
    lines += ["", *(f"{as_text(table)}\n" for table in tables)]
    lines.append(f"The report is {page}; figures, their schema, JUnit and plots are beside it.")
    document = {
        "lab": lab,
        "report": page,
        "files": list(names),
        "drills": [
            {
                "identifier": record.identifier,
                "drill": record.drill,
                "node": record.node,
                "guest": record.guest,
                "ok": record.ok,
                "worst_outage": worst_outage(record),
            }
            for record in found.records
        ],
        "unreadable": list(found.unreadable),
    }
    return Outcome("\n".join(lines), document)


__all__ = ["Found", "read_records", "report"]
