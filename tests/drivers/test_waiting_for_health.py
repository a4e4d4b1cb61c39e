"""Waiting until a lab is healthy: what was only too slow is cleaned up, everything else is waited for and told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.doors.clock import WaitError
from lab.workflows import observe
from tests.drivers.lab_here import ROOT, Recorder, session_here
from tests.unit.test_health import CLUSTER, FAILURE, LAB, LATE, with_cluster


def waiting(
    monkeypatch: pytest.MonkeyPatch, *failed: tuple[Any, ...], limit_s: float = 10
) -> tuple[list[str], list[str]]:
    """What was sent to the nodes and warned of, while one look after the other found these actions failed."""
    recorder = Recorder("brina", Path("ssh_config"), ROOT, output="")
    session = replace(session_here(recorder, ROOT), lab=LAB)
    warnings: list[str] = []
    monkeypatch.setattr(session.reporter, "warn", warnings.append)
    looks: Iterator[Any] = iter([with_cluster(replace(CLUSTER, failed_actions=actions)) for actions in failed])
    last: list[Any] = []

    def look(_session: Any) -> observe.Look:
        last[:] = [next(looks, *last)]
        return observe.Look(last[0])

    monkeypatch.setattr(observe, "look", look)
    observe.wait_healthy(session, limit_s=limit_s)
    return recorder.scripts, warnings


def test_actions_that_were_too_slow_are_cleaned_up_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, warnings = waiting(monkeypatch, (LATE,), ())
    assert scripts == ["crm_resource --cleanup"]
    assert len(warnings) == 1
    assert "too short for VM_1_monitor_30000 on piova" in warnings[0]
    assert "section timing" in warnings[0]


def test_actions_that_failed_are_waited_for_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WaitError) as caught:
        waiting(monkeypatch, (LATE, FAILURE), limit_s=0.1)
    assert any("VM_1_monitor_10000" in line for line in caught.value.details)


def test_a_healthy_lab_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting(monkeypatch, ()) == ([], [])
