"""A guest that does not serve: what is found of it is kept, and only a dead one is reset."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.core.model import Lab
from lab.core.topology import parse_topology
from lab.workflows import observe, reviving

TWO_NODE = Path(__file__).resolve().parents[2] / "topologies" / "two-node.yaml"


class Machine:
    """A node or guest that answers by the first word that occurs in the command; None for no answer at all."""

    def __init__(self, answers: dict[str, str | None]) -> None:
        self.answers = answers
        self.asked_for: list[str] = []

    def asked(self, command: str, *arguments: str, timeout_s: float) -> Any:
        self.asked_for.append(command % arguments if arguments else command)
        for word, answer in self.answers.items():
            if word in command:
                return None if answer is None else SimpleNamespace(stdout=answer, ok=answer != "error")
        return SimpleNamespace(stdout="", ok=True)


class Paper:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)

    warn = note


def looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running_on: str, node: Machine, guest: Machine
) -> tuple[str, Paper]:
    lab: Lab = parse_topology(TWO_NODE.read_text(), source="two-node.yaml")
    facts = {
        name: SimpleNamespace(running_guests=("soldi",) if name == running_on else ()) for name in ("brina", "piova")
    }
    monkeypatch.setattr(observe, "look", lambda _session: SimpleNamespace(nodes=facts))
    paper = Paper()
    session = SimpleNamespace(
        lab=lab, folder=tmp_path, reporter=paper, shell=lambda member: guest if member == "soldi" else node
    )
    soldi = next(one for one in lab.guests if one.name == "Soldi")
    return reviving.look_after(cast("Any", session), soldi), paper


def test_a_dead_guest_is_reset_and_its_console_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Machine({"guest-ping": "error", "domstate": "running (booted)\nKernel panic"})
    found, paper = looked(tmp_path, monkeypatch, "piova", node, Machine({}))
    assert found == "reset"
    assert node.asked_for[-1] == "virsh -q reset soldi"
    assert "Kernel panic" in (tmp_path / "logs" / "soldi-not-serving.txt").read_text()
    assert any("does not answer; it is reset" in line for line in paper.lines)
    assert "soldi: Kernel panic" in paper.lines


def test_a_living_guest_is_left_alone_and_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Machine({"guest-ping": "{}", "domstate": "running (booted)"})
    found, _paper = looked(tmp_path, monkeypatch, "brina", node, Machine({"uptime": "up 3 min, mariadbd is not there"}))
    assert found == "alive"
    assert not any("reset" in line for line in node.asked_for)
    assert "mariadbd is not there" in (tmp_path / "logs" / "soldi-not-serving.txt").read_text()


def test_a_guest_that_runs_nowhere_is_pacemakers_affair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Machine({})
    assert looked(tmp_path, monkeypatch, "", node, Machine({}))[0] == "not running"
    assert node.asked_for == []


def test_a_node_that_does_not_answer_resets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Machine({"guest-ping": None, "domstate": "running (booted)"})
    assert looked(tmp_path, monkeypatch, "brina", node, Machine({}))[0] == "unknown"
    assert not any("reset" in line for line in node.asked_for)
