"""The command that builds a lab, as a remedy names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.workflows.options import TOPOLOGIES, Options


@pytest.mark.parametrize(
    ("options", "command"),
    [
        (Options(), "./inv lab.up"),
        (Options(name="mine"), "./inv lab.up --name mine"),
        (Options(topology=TOPOLOGIES / "smoke.yaml"), "./inv lab.up -t smoke"),
        (Options(topology=Path("my labs/one.yaml"), name="one"), "./inv lab.up -t 'my labs/one.yaml' --name one"),
    ],
    ids=["default", "named", "shipped", "of one's own"],
)
def test_a_remedy_builds_the_lab_that_was_meant(options: Options, command: str) -> None:
    assert options.up_command == command
