"""The workflow on a build directory of its own: reads records, writes the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.drills.programme import Programme, Step
from lab.core.drills.programme import as_document as programme_document
from lab.core.drills.record import DrillRecord, as_document
from lab.core.errors import LabError
from lab.core.parsers.junit import parse_junit
from lab.workflows.options import Options
from lab.workflows.programme_files import newest_open, read_programme
from lab.workflows.report import read_records, report
from tests.unit.drill_examples import live_migration, power_off


def few_streams(record: DrillRecord) -> DrillRecord:
    """Plots of fifteen streams take seconds."""
    return replace(record, streams=record.streams[-2:])


def keep(build: Path, name: str, text: str) -> None:
    folder = build / "halab/drills" / name
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(text, encoding="utf-8")


def keep_record(build: Path, record: DrillRecord, name: str = "") -> None:
    keep(build, name or record.identifier, json.dumps(as_document(few_streams(record))))


def test_the_report_is_written_and_told(tmp_path: Path) -> None:
    keep_record(tmp_path, power_off("brina", 1, 124.0, 81.0))
    outcome = report(Options(build=tmp_path))
    folder = tmp_path / "halab/report"
    plots = [f"plots/20261125T100100-power-off-brina-{what}" for what in ("latency", "outages")]
    names = ["figures.json", "figures.schema.json", "junit.xml", "report.html"]
    expected = sorted([*names, *(f"{plot}.{ending}" for plot in plots for ending in ("png", "svg"))])
    written = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert written == expected == outcome.document["files"]
    lines = outcome.text.splitlines()
    assert lines[0].startswith("20261125T100100-power-off-brina: passed, power-off of brina (TCG, time scale 3)")
    assert str(folder / "report.html") in lines[-1]
    assert outcome.ok
    assert len(parse_junit((folder / "junit.xml").read_text(encoding="utf-8"))) == 4
    assert (folder / plots[0]).with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_another_directory_can_be_given(tmp_path: Path) -> None:
    keep_record(tmp_path / "build", live_migration())
    outcome = report(Options(build=tmp_path / "build"), str(tmp_path / "kept"))
    assert (tmp_path / "kept/report.html").is_file()
    assert not (tmp_path / "build/halab/report").exists()
    assert outcome.document["report"] == str(tmp_path / "kept/report.html")


def test_the_assumed_rates_are_those_that_were_asked_for(tmp_path: Path) -> None:
    keep_record(tmp_path, power_off("brina", 1, 124.0, 81.0))
    assert "an assumed rate of 2 power-offs and 0 maintenances" in report(Options(build=tmp_path), "", (2.0, 0.0)).text


def test_without_a_drill_there_is_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no record of a drill") as caught:
        report(Options(build=tmp_path))
    assert caught.value.remedy


def test_damaged_records_are_left_out_and_told(tmp_path: Path) -> None:
    keep(tmp_path, "1-damaged", "{")
    keep(tmp_path, "2-list", "[]")
    keep(tmp_path, "3-other-format", '{"format": 99}')
    with pytest.raises(LabError) as caught:
        report(Options(build=tmp_path))
    assert len(caught.value.details) == 3
    keep_record(tmp_path, live_migration())
    found = read_records(tmp_path / "halab/drills")
    assert (len(found.records), len(found.unreadable)) == (1, 3)
    assert "format 1" in found.unreadable[2]


def test_a_record_does_not_choose_where_its_plots_go(tmp_path: Path) -> None:
    keep_record(tmp_path, replace(live_migration(), identifier="../../../../escaped"), name="a-drill")
    outcome = report(Options(build=tmp_path))
    assert "plots/a-drill-latency.svg" in outcome.document["files"]  # type: ignore[operator]
    assert not list(tmp_path.rglob("*escaped*"))


def keep_programme(build: Path, programme: Programme) -> None:
    folder = build / "halab/programmes" / programme.name
    folder.mkdir(parents=True)
    (folder / "programme.json").write_text(json.dumps(programme_document(programme)), encoding="utf-8")


def test_a_programme_has_a_report_of_its_own_drills(tmp_path: Path) -> None:
    good, bad, other = (power_off("brina", number, 124.0, 81.0) for number in (1, 2, 3))
    for record in (good, replace(bad, problems=("the lab was not healthy",)), other):
        keep_record(tmp_path, record)
    step = Step("power-off", "brina", "complete", good.identifier, "x", True, "", (bad.identifier,))
    keep_programme(tmp_path, Programme("study-1", "halab", "tcg", 3.0, "", (step,)))
    outcome = report(Options(build=tmp_path), programme="study-1")
    folder = tmp_path / "halab/programmes/study-1/report"
    page = (folder / "report.html").read_text(encoding="utf-8")
    # The attempt that failed is shown and does not count; the drill of somebody else is neither.
    assert good.identifier in page
    assert f"Not in the means, because they failed: {bad.identifier}." in page
    assert other.identifier not in page
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    assert len(figures["drills"]) == 2
    assert figures["tables"][0]["rows"][3][5] == "1 times"
    assert not (tmp_path / "halab/report").exists()
    assert outcome.document["report"] == str(folder / "report.html")


def test_the_newest_programme_that_is_not_finished_is_gone_on_with(tmp_path: Path) -> None:
    home = tmp_path / "halab"
    done = Step("reboot", "brina", "complete", "a", "x", True)
    with pytest.raises(LabError, match="no programme to go on with"):
        newest_open(home)
    for name, steps in (("study-1", (done, Step("reboot", "piova"))), ("study-2", (done,))):
        keep_programme(tmp_path, Programme(name, "halab", "tcg", 3.0, "", steps))
    assert newest_open(home).name == "study-1"
    assert read_programme(home, "latest").name == "study-2"
    with pytest.raises(LabError, match="no programme study-3") as caught:
        read_programme(home, "study-3")
    assert "study-1, study-2" in caught.value.remedy
    (home / "programmes/study-1/programme.json").write_text("{", encoding="utf-8")
    with pytest.raises(LabError, match="no programme of this version"):
        newest_open(home)
