"""The tables of the study, as a terminal shows them, against the recorded ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.report.projection import Rates
from lab.core.report.study_tables import study_tables
from lab.core.report.tables import as_text
from tests.unit.drill_examples import drills

EXPECTED = Path(__file__).parent / "report-tables.txt"


def test_tables_are_as_recorded(request: pytest.FixtureRequest) -> None:
    tables = study_tables(drills(), ("brina", "piova"), Rates())
    text = "\n\n".join(as_text(table) for table in tables) + "\n"
    if request.config.getoption("--renew-golden"):
        EXPECTED.write_text(text, encoding="utf-8")
    assert text == EXPECTED.read_text(encoding="utf-8")
