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
