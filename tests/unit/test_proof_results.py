"""What is kept of other projects' tests: a file that is there before the last of them has ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

from lab.core.proof.cases import Case
from lab.workflows.proof_results import keep, outcome


def test_cases_are_kept_and_told(tmp_path: Path) -> None:
    session = cast("Any", SimpleNamespace(folder=tmp_path, lab=SimpleNamespace(name="mine")))
    first = Case("kill-corosync", "passed", "fenced")
    path = keep(session, "somebody's tests", [first], junit_file="own.xml")
    assert [one.get("name") for one in ElementTree.parse(path).iter("testcase")] == ["kill-corosync"]
    told = outcome(session, "somebody's tests", [first, Case("fence-node", "failed", "alive")], junit_file="own.xml")
    assert not told.ok
    assert told.text.startswith("somebody's tests on lab mine:\n")
    assert "FAILED; JUnit file " in told.text
    assert len(list(ElementTree.parse(path).iter("failure"))) == 1
    on = outcome(session, "somebody's tests", [first], junit_file="own.xml", on="brina")
    assert on.ok and on.text.startswith("somebody's tests on brina of lab mine:\n")
