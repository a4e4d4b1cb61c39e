"""What a drill asks for before it breaks anything; without any machine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.core.errors import LabError
from lab.core.measurement.samples import Recording, Sample, StreamSpec
from lab.workflows import drill

NOTHING: Any = None


def asking(icmp_per_s: float) -> Any:
    """A session with a lab that asks for so many echoes."""
    return SimpleNamespace(lab=SimpleNamespace(probes=SimpleNamespace(icmp_per_s=icmp_per_s)))


def test_who_may_send_no_echo_begins_no_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill, "echo_refusal", lambda: "ping: socket: Operation not permitted")
    with pytest.raises(LabError, match="you may send none: ping: socket: Operation not permitted") as caught:
        drill.perform(asking(10.0), NOTHING, NOTHING)
    assert "ping_group_range" in caught.value.remedy


def test_a_lab_whose_drills_ask_by_no_echo_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_session: object) -> None:
        raise LabError("looked at the lab's health")

    monkeypatch.setattr(drill, "echo_refusal", lambda: "not permitted")
    monkeypatch.setattr(drill, "_require_healthy", look)
    with pytest.raises(LabError, match="looked at the lab's health"):
        drill.perform(asking(0.0), NOTHING, NOTHING)


def test_a_probe_that_is_not_answered_is_named_with_its_reason() -> None:
    def recording(target: str, *samples: Sample) -> Recording:
        return Recording(StreamSpec("icmp", target, "10.81.26.21", 0.1, 1.0), samples)

    recordings = [
        recording("Passata", Sample(1, 0.0, 0.1, True), Sample(2, 0.1, 0.2, False, "late")),
        recording("brina", Sample(1, 0.0, 1.0, False, "no valid answer within 1 s")),
        recording("piova"),
    ]
    session: Any = SimpleNamespace(lab=SimpleNamespace(time_scale=0.0001))
    scene: Any = SimpleNamespace(recorded=lambda: recordings)
    with pytest.raises(LabError, match="every probe to be answered before the fault") as caught:
        drill._wait_answering(session, scene)
    assert caught.value.details == ("icmp brina: no valid answer within 1 s", "icmp piova")
