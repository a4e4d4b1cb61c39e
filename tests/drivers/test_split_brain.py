"""A split brain is resolved on what DRBD and the cluster really do: the cluster may take the storage down late."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.parsers.drbd import DrbdDevice
from lab.workflows import split_brain
from tests.drivers.lab_here import ROOT, Recorder, session_here

DOWN = DrbdDevice(0, "Unconfigured")
ALONE = DrbdDevice(0, "StandAlone", "Secondary", "Unknown", "Consistent", "DUnknown", out_of_sync_kib=4)
CONNECTED = DrbdDevice(0, "Connected", "Secondary", "Primary", "UpToDate", "UpToDate")


def resolved(monkeypatch: pytest.MonkeyPatch, victim: list[DrbdDevice]) -> list[str]:
    """What is sent to the nodes while piova's device is seen in these states, one after the other."""
    looks = iter({"brina": CONNECTED if state is CONNECTED else ALONE, "piova": state} for state in victim)
    monkeypatch.setattr(split_brain, "devices", lambda _session: next(looks))
    recorder = Recorder("brina", Path("ssh_config"), ROOT)
    session = session_here(recorder, ROOT)
    split_brain.resolve(replace(session, lab=replace(session.lab, time_scale=0.05)), "piova")
    return recorder.scripts


def test_the_cluster_has_done_everything_before_storage_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = resolved(monkeypatch, [ALONE, DOWN, CONNECTED])
    order = (
        "crm_standby --node piova -v on",
        "crm_resource --wait",
        "--discard-my-data",
        "crm_standby --node piova -D",
    )
    places = [next(n for n, script in enumerate(sent) if words in script) for words in order]
    assert places == sorted(places)
    assert sum("--discard-my-data" in script for script in sent) == 1


def test_storage_that_the_cluster_took_down_late_is_brought_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = resolved(monkeypatch, [ALONE, ALONE, DOWN, CONNECTED])
    assert sum("--discard-my-data" in script for script in sent) == 2
