"""The tables of the study, as a terminal shows them, against the recorded ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.report.migration import migrations_table
from lab.core.report.programme import figures_of, programme_table, progress_lines
from lab.core.report.projection import Rates
from lab.core.report.study_tables import study_tables
from lab.core.report.tables import as_text
from tests.unit.drill_examples import drills, maintenance
from tests.unit.programme_examples import NODES, finished_programme, programme_records

EXPECTED = Path(__file__).parent / "report-tables.txt"
PROGRAMME = Path(__file__).parent / "programme-tables.txt"


def test_tables_are_as_recorded(request: pytest.FixtureRequest) -> None:
    tables = study_tables(drills(), ("brina", "piova"), Rates())
    text = "\n\n".join(as_text(table) for table in tables) + "\n"
    if request.config.getoption("--renew-golden"):
        EXPECTED.write_text(text, encoding="utf-8")
    assert text == EXPECTED.read_text(encoding="utf-8")


def test_tables_of_a_programme_are_as_recorded(request: pytest.FixtureRequest) -> None:
    programme = finished_programme()
    tables = (
        programme_table(programme, figures_of(programme_records(), NODES)),
        migrations_table(maintenance("brina", 9, 145.0)),
    )
    text = "\n".join([*progress_lines(programme), "", *(f"{as_text(table)}\n" for table in tables)])
    if request.config.getoption("--renew-golden"):
        PROGRAMME.write_text(text, encoding="utf-8")
    assert text == PROGRAMME.read_text(encoding="utf-8")
