"""The matrix of releases: its topologies, its options and its table."""

from __future__ import annotations

import pytest

from lab.core.matrix import STEPS, StepResult, lab_name, suites_of, table, topology_text
from lab.core.recipe import SUITES
from lab.core.topology import parse_topology
from tests.golden.example import ROOT

SMOKE = (ROOT / "topologies/smoke.yaml").read_text()


@pytest.mark.parametrize("suite", SUITES)
def test_the_topology_of_a_suite_is_the_small_lab_with_its_nodes(suite: str) -> None:
    lab = parse_topology(topology_text(SMOKE, suite), source="x", name=lab_name(suite))
    assert {(node.image.recipe, node.image.suite) for node in lab.nodes} == {("node", suite)}
    small = parse_topology(SMOKE, source="x", name=lab_name(suite))
    assert lab.guests == small.guests
    assert lab.network == small.network
    assert lab.fencing.method == "fence_virt"


def test_names_are_different() -> None:
    assert len({lab_name(suite) for suite in SUITES}) == len(SUITES)


def test_suites_from_the_command_line() -> None:
    assert suites_of("trixie, bookworm,trixie") == ("trixie", "bookworm")
    for bad in ("", ",", "jessie", "trixie,sid"):
        with pytest.raises(ValueError, match="is no suite; known are bullseye, bookworm, trixie"):
            suites_of(bad)


def test_table() -> None:
    passed = {step: StepResult("passed", 12.3) for step in STEPS}
    failed = {"up": StepResult("failed", 100.0), "verify": StepResult("skipped", 0.0)}
    lines = table({"bookworm": passed, "trixie": failed}, {"bookworm": {"corosync": "3.1.7-1", "crmsh": "4.4.1"}})
    assert lines == [
        "suite     up            versions     verify       live-migrate  down",
        "bookworm  passed 12 s   passed 12 s  passed 12 s  passed 12 s   passed 12 s",
        "trixie    failed 100 s  not run      skipped      not run       not run",
        "bookworm: corosync 3.1.7-1, crmsh 4.4.1",
    ]
