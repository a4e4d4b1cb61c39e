"""Figures as JSON against their schema, and the JUnit file read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from lab.core.drills.record import from_document
from lab.core.parsers.junit import parse_junit
from lab.core.report.figures import figures_document, figures_schema
from lab.core.report.junit import PROBLEMS_CASE, junit
from lab.core.report.projection import Rates
from lab.core.report.study_tables import study_tables
from tests.unit.drill_examples import drills, hostile, open_ended

ALL = (*drills(), open_ended(), hostile())


def document() -> dict[str, Any]:
    tables = study_tables(ALL, ("brina", "piova"), Rates())
    made: dict[str, Any] = json.loads(json.dumps(figures_document("halab", ALL, tables)))
    return made


def refused(changed: dict[str, Any]) -> bool:
    return not jsonschema.Draft202012Validator(figures_schema()).is_valid(changed)


def test_the_schema_is_one_and_the_figures_follow_it() -> None:
    jsonschema.Draft202012Validator.check_schema(figures_schema())
    jsonschema.validate(document(), figures_schema(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ((), "format", 2),
        ((), "unknown", 1),
        (("drills", 0), "ok", "yes"),
        (("drills", 0), "unknown", 1),
        (("drills", 0, "streams", 0), "requests", "many"),
        (("drills", 0, "streams", 0, "outages", 0), "unknown", 1),
        (("tables", 0), "rows", "none"),
    ],
)
def test_figures_that_are_changed_do_not_follow_it(place: tuple[Any, ...], key: str, value: Any) -> None:
    changed = document()
    part: Any = changed
    for step in place:
        part = part[step]
    part[key] = value
    assert refused(changed)


def test_a_missing_figure_does_not_follow_it() -> None:
    changed = document()
    del changed["drills"][0]["streams"][0]["availability"]
    assert refused(changed)


def test_records_come_back_from_the_figures() -> None:
    assert tuple(from_document(one) for one in document()["drills"]) == ALL


def test_there_is_a_case_for_each_audit_and_objective_and_one_for_problems() -> None:
    checks = parse_junit(junit(drills()))
    assert len(checks) == sum(1 + len(record.audits) + len(record.objectives) for record in drills())
    failed = {check.name.partition("::")[2]: check.message for check in checks if check.verdict == "failed"}
    assert failed == {
        PROBLEMS_CASE: "the lab was not healthy within 900 s",
        "every guest exactly once": "Passata runs twice; since 12.5 s",
        "objective: dns": "longest outage: 84.8 s, allowed: 60.0 s",
        "objective: telephony": "longest outage: it did not end or was not measured, allowed: 60.0 s",
    }
    assert "power-off-piova" in next(check.name for check in checks if check.verdict == "failed")


def test_a_failed_audit_without_findings_is_a_failure() -> None:
    record = drills()[0]
    bare = replace(record, audits=(replace(record.audits[0], ok=False, findings=()),), objectives=())
    assert [check.verdict for check in parse_junit(junit([bare]))] == ["passed", "failed"]


def test_hostile_words_make_a_junit_file_all_the_same() -> None:
    checks = parse_junit(junit([hostile()]))
    assert [check.verdict for check in checks] == ["failed"] * 3
    assert "<script>" in checks[1].name
