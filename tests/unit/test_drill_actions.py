"""What drills do to nodes, in which order; without any machine."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.core.drills.catalogue import Order, planned
from lab.core.model import Node
from lab.core.topology import parse_topology
from lab.doors import clock
from lab.workflows import drill_actions, observe
from lab.workflows.drill_actions import Scene

TOPOLOGY = Path(__file__).resolve().parent.parent.parent / "topologies/smoke.yaml"


class Machines:
    """A host, and a cluster that has fenced the node at the third look."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def power_off(self, name: str) -> bool:
        self.calls.append(f"power off {name}")
        return True

    def look(self, _session: object, node: Node) -> object:
        self.calls.append(f"look from {node.name}")
        looks = len(self.calls) - 1
        brina = SimpleNamespace(name="brina", online=looks < 2, unclean=looks == 2)
        return SimpleNamespace(cluster=SimpleNamespace(nodes=[brina]))

    def start(self, name: str) -> bool:
        self.calls.append(f"start {name}")
        return False


@pytest.mark.parametrize("method", ["fence_virt", "none"])
def test_a_node_is_switched_on_again_after_it_was_fenced(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No guest was on it, so services answer at once; a start in the middle of its fencing failed on a slow machine."""
    lab = parse_topology(TOPOLOGY.read_text(encoding="utf-8"), source="smoke.yaml")
    lab = replace(lab, fencing=replace(lab.fencing, method=method))  # type: ignore[arg-type]
    monkeypatch.setattr(clock.time, "sleep", lambda _seconds: None)
    reporter = SimpleNamespace(step=lambda *_words, **_more: nullcontext())
    session: Any = SimpleNamespace(lab=lab, reporter=reporter, shell=lambda _node: SimpleNamespace(close=lambda: None))
    machines: Any = Machines()
    (plan,) = planned(lab, Order("power-off", "brina"))
    monkeypatch.setattr(observe, "look_at_node", machines.look)
    monkeypatch.setattr(drill_actions, "_wait_steady", lambda _scene, since_s: None)
    drill_actions.power_off(Scene(session, machines, plan.drill, plan.node, None, lambda: []))
    looks = ["look from piova"] * 3 if method == "fence_virt" else []
    assert machines.calls == ["power off smoke-brina", *looks, "start smoke-brina"]


def test_the_whole_look_is_taken_only_when_a_glance_finds_nothing_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look starts clients of libvirt and of Pacemaker on both nodes, which the guests that come home pay for."""
    lab = parse_topology(TOPOLOGY.read_text(encoding="utf-8"), source="smoke.yaml")
    monkeypatch.setattr(clock.time, "sleep", lambda _seconds: None)
    reporter = SimpleNamespace(step=lambda *_words, **_more: nullcontext())
    session: Any = SimpleNamespace(lab=lab, reporter=reporter)
    calls: list[str] = []
    missing = iter([["Passata is not at home on piova"]] * 3 + [[]] * 2)
    ill = iter([["MS_DRBD is not promoted on both nodes"], []])

    def seen(kind: str) -> object:
        calls.append(kind)
        return SimpleNamespace(nodes={}, problems=lambda _lab: next(ill))

    monkeypatch.setattr(observe, "glance", lambda _session: seen("glance"))
    monkeypatch.setattr(observe, "look", lambda _session: seen("look"))
    monkeypatch.setattr(drill_actions, "unsettled", lambda _lab, _nodes: next(missing))
    monkeypatch.setattr(drill_actions, "away_from_home", lambda _lab, _nodes: [])
    (plan,) = planned(lab, Order("power-off", "brina"))
    scene = Scene(session, None, plan.drill, plan.node, None, lambda: [])  # type: ignore[arg-type]
    drill_actions.wait_home(scene)
    assert calls == ["glance"] * 4 + ["look", "glance", "look"]
    assert [phase.name for phase in scene.phases] == ["healthy"]
