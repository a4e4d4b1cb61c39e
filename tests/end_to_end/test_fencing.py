"""What fencing is for: the same failure with it and without it, judged by the same audits.

A run of its own, with the smallest lab twice: ``./inv test.lab --fencing``. Corosync's packets are dropped while
storage still works, so each node believes the other one dead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.workflows.options import TOPOLOGIES
from tests.end_to_end.conftest import host_state, invoke, invoke_json

NAMES = {"fence_virt": "fenced", "none": "unfenced"}
NEVER_TWICE = "no guest at any time twice"
#: Long enough for the other node to lose it, and to start its guest where nobody is fenced.
HOLD_S = "60"


@pytest.fixture(params=sorted(NAMES))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A lab with this way of fencing, up and healthy; the method, and how it is named on a command line."""
    method = str(request.param)
    topology = tmp_path / "smoke.yaml"
    smoke = (TOPOLOGIES / "smoke.yaml").read_text(encoding="utf-8")
    topology.write_text(f"{smoke}\nfencing:\n  method: {method}\n", encoding="utf-8")
    words = ("--topology", str(topology), "--name", NAMES[method])
    assert invoke("lab.down", "--no-cache", *words, limit_s=120).returncode == 0
    before = host_state()
    try:
        assert invoke_json("lab.up", "--no-save", *words)["services"]
        yield method, words
    finally:
        assert invoke("lab.down", "--no-cache", *words, limit_s=120).returncode == 0
    assert host_state() == before


def test_nobody_runs_twice_where_somebody_is_fenced(lab: tuple[str, tuple[str, ...]]) -> None:
    method, words = lab
    drill = ("lab.drill", "fault:corosync-link-down", "--node", "piova", "--seconds", HOLD_S)
    result = invoke(*drill, *words, "--json")
    (record,) = json.loads(result.stdout)["drills"]
    audits: dict[str, dict[str, Any]] = {audit["name"]: audit for audit in record["audits"]}
    fenced = [phase for phase in record["phases"] if phase["name"] == "fenced"]
    twice = audits[NEVER_TWICE]
    print(f"{method}: exit code {result.returncode}, fenced {len(fenced)}, {NEVER_TWICE}: {twice}")
    if method == "none":
        # The guest was started beside itself, and the drill says so and fails.
        assert not fenced
        assert not twice["ok"]
        assert re.search(r"passata ran on \w+ and on \w+ at once", str(twice))
        assert result.returncode == 1
    else:
        assert fenced
        assert {name for name, audit in audits.items() if not audit["ok"]} == set()
        assert result.returncode == 0
