"""One small lab for each suite: where it is described, what came of its steps, and the table at the end."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from lab.core.matrix import DEFAULT_SUITES, STEPS, StepResult, suites_of, table, topology_text
from lab.practice_tests import MATRIX_FOLDER
from lab.workflows.options import TOPOLOGIES

SUITES = suites_of(os.environ.get("HA_LAB_SUITES") or ",".join(DEFAULT_SUITES))
RESULTS = pytest.StashKey[dict[str, dict[str, StepResult]]]()
VERSIONS = pytest.StashKey[dict[str, dict[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = {suite: {} for suite in SUITES}
    config.stash[VERSIONS] = {}


def written_topology(suite: str) -> Path:
    """The suite's topology, written anew."""
    path = MATRIX_FOLDER / f"{suite}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(topology_text((TOPOLOGIES / "smoke.yaml").read_text(), suite))
    return path


# The scope makes pytest finish with a suite before it begins the next one.
@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """The suite, and its place in the table."""
    return str(request.param)


@pytest.fixture(params=[pytest.param(step, id=step) for step in STEPS])
def step(request: pytest.FixtureRequest, suite: str) -> str:
    """What is to be done now; skipped when the lab did not come up, but for its removal."""
    first = request.config.stash[RESULTS][suite].get("up")
    if request.param not in ("up", "down") and first is not None and first.verdict != "passed":
        pytest.skip("the lab did not come up")
    return str(request.param)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if {"suite", "step"} <= parameters.keys() and (report.when == "call" or not report.passed):
        result = StepResult(report.outcome, report.duration)
        suite = parameters["suite"]
        item.config.stash[RESULTS][suite][parameters["step"]] = result
        # They are in the JUnit file, too.
        item.config.stash[VERSIONS].setdefault(suite, {}).update(
            (name, str(value)) for name, value in item.user_properties
        )
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section("matrix")
    for line in table(config.stash[RESULTS], config.stash[VERSIONS]):
        terminalreporter.write_line(line)
