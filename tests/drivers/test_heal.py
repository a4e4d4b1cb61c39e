"""Undoing on nodes: what was seen decides what is sent, in its order, and the key never becomes an argument."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.core.faults.traces import MARK
from lab.core.parsers.drbd import DrbdDevice
from lab.doors.process import Result
from lab.workflows import heal
from lab.workflows.fault_stage import Stage
from lab.workflows.heal import look_for_remains, undo_on_nodes
from tests.drivers.lab_here import ROOT, Recorder, session_here


def stage(output: str) -> tuple[Stage, list[str]]:
    recorder = Recorder("brina", Path("ssh_config"), ROOT, output=output)
    return Stage(session_here(recorder, ROOT), cast(Any, None)), recorder.scripts


def test_nothing_is_sent_to_a_sound_node() -> None:
    made, scripts = stage(f"{MARK}shaping\n{MARK}clock\n")
    assert undo_on_nodes(made) == []
    assert len(scripts) == len(made.session.lab.nodes)
    assert all(MARK in script for script in scripts)


def test_what_was_found_is_undone_once_for_each_node_in_order() -> None:
    made, scripts = stage(f"{MARK}shaping\nnetem bond0\nnetem eth0\n{MARK}filter\n3 rules\n")
    done = undo_on_nodes(made)
    assert done == [
        f"{node}: {what}"
        for node in made.session.lab.node_names
        for what in (
            "packets are dropped by the chain LABFAULT: 3 rules",
            "a queueing discipline disturbs packets: netem bond0",
            "a queueing discipline disturbs packets: netem eth0",
        )
    ]
    undoing = [script for script in scripts if MARK not in script]
    assert len(undoing) == 2 * len(made.session.lab.nodes)
    assert sum("iptables -w -X LABFAULT" in script for script in undoing) == len(made.session.lab.nodes)
    assert undoing.index(next(one for one in undoing if "iptables" in one)) < undoing.index(
        next(one for one in undoing if "tc qdisc del" in one)
    )


def test_the_look_names_its_node() -> None:
    made, _ = stage(f"{MARK}filler\n/var/tmp/lab-fault-filler\n")
    assert {remain.node for remain in look_for_remains(made.session)} == set(made.session.lab.node_names)


class Clocked(Recorder):
    """A node whose look for traces was late or finds a wrong clock, and which tells the time when it is asked."""

    def run(self, command: str, *arguments: str, timeout_s: float = 60, stdin: bytes | None = None) -> Result:
        result = super().run(command, *arguments, timeout_s=timeout_s, stdin=stdin)
        return (
            replace(result, stdout=f"{time.time() + AHEAD_S[self.output]:.3f}")
            if command.startswith("date")
            else result
        )


AHEAD_S = {f"{MARK}clock\n16 s\n": 0.0, f"{MARK}clock\n3600 s\n": 3600.0}


@pytest.mark.parametrize("output", AHEAD_S)
def test_a_late_look_is_no_wrong_clock_and_a_wrong_one_is_set(output: str) -> None:
    recorder = Clocked("brina", Path("ssh_config"), ROOT, output=output)
    session = session_here(recorder, ROOT)
    done = undo_on_nodes(Stage(session, cast(Any, None)))
    wrong = AHEAD_S[output] > 0
    assert len(done) == (len(session.lab.nodes) if wrong else 0)
    assert any(script.startswith("date -s") for script in recorder.scripts) == wrong


def looks_of(connections: list[str]) -> Iterator[Any]:
    """Looks at a lab, one for each word about DRBD's connection; a connected one is healthy."""
    for connection in connections:
        device = DrbdDevice(0, connection, "Secondary", "Unknown", "Consistent", "DUnknown", out_of_sync_kib=4)
        facts = SimpleNamespace(drbd=SimpleNamespace(device=lambda _minor, found=device: found), mount="")
        problems = [] if connection == "Connected" else [f"DRBD is {connection}"]
        yield SimpleNamespace(
            nodes={"brina": facts, "piova": facts}, cluster=None, problems=lambda _lab, found=problems: found
        )


@pytest.mark.parametrize(
    ("connections", "resolved"),
    [
        (["StandAlone", "WFConnection", "StandAlone", "StandAlone", "Connected"], 0),
        (["StandAlone", "StandAlone", "StandAlone", "Connected"], 1),
    ],
    ids=["coming up", "split"],
)
def test_drbd_that_is_coming_up_is_not_split(
    connections: list[str], resolved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = looks_of(connections)
    monkeypatch.setattr(heal.observe, "look", lambda _session: next(looks))
    monkeypatch.setattr(heal, "undo_on_host", lambda _stage: [])
    monkeypatch.setattr(heal, "undo_on_nodes", lambda _stage: [])
    monkeypatch.setattr(heal.split_brain, "resolve", lambda _session, _named: "resolved")
    session = session_here(Recorder("brina", Path("ssh_config"), ROOT), ROOT)
    quick = replace(session, lab=replace(session.lab, time_scale=0.01))
    assert heal._until_healthy(Stage(quick, cast(Any, None)), "") == ["resolved"] * resolved
