"""The parsers of cloud-init's files, on those of a running lab (see recorded/README.md) and on written ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.cloudinit import STAGES, CloudInitResult, parse_result, parse_status

RECORDED = Path(__file__).parent / "recorded"
SOURCE = "DataSourceNoCloud [seed=/dev/sr0][dsmode=net]"


def stage(start: float | None = 10.5, finished: float | None = 11.25, **more: Any) -> dict[str, Any]:
    return {"errors": [], "start": start, "finished": finished, **more}


def document(current: str | None = None, **stages: dict[str, Any]) -> str:
    whole = {name: stage() for name in STAGES} | {name.replace("_", "-"): value for name, value in stages.items()}
    return json.dumps({"v1": {"datasource": SOURCE, "stage": current, **whole}})


def test_the_files_of_a_running_lab() -> None:
    source = "DataSourceNoCloud [seed=/dev/vdd][dsmode=net]"
    assert parse_result((RECORDED / "lab-cloud-init-result.json").read_text()) == CloudInitResult(source, ())
    status = parse_status((RECORDED / "lab-cloud-init-status.json").read_text())
    assert (status.finished, status.datasource, status.errors, status.warnings) == (True, source, (), ())
    times = [time for stage in status.stages for time in (stage.started_s, stage.finished_s)]
    assert None not in times
    assert times == sorted(times, key=lambda time: time or 0)


def test_all_is_done() -> None:
    status = parse_status(document())
    assert status.finished
    assert (status.datasource, status.current, status.errors, status.warnings) == (SOURCE, "", (), ())
    assert [one.name for one in status.stages] == list(STAGES)
    assert (status.stages[0].started_s, status.stages[0].finished_s) == (10.5, 11.25)


def test_a_stage_is_at_work() -> None:
    status = parse_status(document("modules-config", modules_config=stage(5, None), modules_final=stage(None, None)))
    assert not status.finished
    assert status.current == "modules-config"
    assert [one.finished for one in status.stages] == [True, True, False, False]


def test_the_first_moments_have_no_datasource_and_no_later_stages() -> None:
    early = {"v1": {"datasource": None, "init": {"errors": [], "finished": None, "start": None}, "stage": "init-local"}}
    status = parse_status(json.dumps(early))
    assert (status.datasource, status.finished) == ("", False)


def test_between_two_stages_it_is_not_finished() -> None:
    assert not parse_status(document(modules_final=stage(None, None))).finished


def test_errors_and_warnings_carry_their_stage() -> None:
    failed = stage(errors=["('scripts_user', RuntimeError('1 failed'))"], recoverable_errors={"WARNING": ["a", "b"]})
    status = parse_status(document(modules_final=failed))
    assert status.errors == ("modules-final: ('scripts_user', RuntimeError('1 failed'))",)
    assert status.warnings == ("modules-final: WARNING: a", "modules-final: WARNING: b")


def test_the_result() -> None:
    assert parse_result(json.dumps({"v1": {"datasource": SOURCE, "errors": []}})) == CloudInitResult(SOURCE, ())
    failed = {"v1": {"datasource": None, "errors": ["x"], "recoverable_errors": {"DEPRECATED": ["y"]}}}
    assert parse_result(json.dumps(failed)) == CloudInitResult("", ("x",), ("DEPRECATED: y",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"v1": []}',
        '{"v1": {"stage": "other"}}',
        '{"v1": {"stage": ["init"]}}',
        '{"v1": {"datasource": 1}}',
        '{"v1": {"init": 1}}',
        '{"v1": {"init": {"errors": "x"}}}',
        '{"v1": {"init": {"start": "x"}}}',
        '{"v1": {"init": {"start": true}}}',
        '{"v1": {"init": {"recoverable_errors": {"WARNING": "x"}}}}',
    ],
)
def test_a_status_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(LabError, match=r"/var/lib/cloud/data/status\.json cannot be read"):
        parse_status(text)


@pytest.mark.parametrize("text", ["", '{"v1": {"datasource": "x"}}', '{"v1": {"errors": {}}}'])
def test_a_result_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(LabError, match=r"/var/lib/cloud/data/result\.json cannot be read"):
        parse_result(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*STAGES, "datasource", "stage", "errors", "recoverable_errors", "start", "finished"])


@given(st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES)))
def test_no_document_breaks_the_parsers_otherwise_than_with_their_own_error(inner: dict[str, Any]) -> None:
    for parse in (parse_status, parse_result):
        try:
            parse(json.dumps({"v1": inner}))
        except LabError:
            continue
