"""The workflow for hosted runners: YAML of the right form, whose shell steps are tasks that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from invoke.parser import Parser

import tasks

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


def document(path: Path) -> dict[Any, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def jobs() -> list[dict[str, Any]]:
    return [job for path in WORKFLOWS for job in document(path)["jobs"].values()]


def steps() -> list[dict[str, Any]]:
    return [step for job in jobs() for step in job["steps"]]


def commands() -> list[str]:
    """Every line that a runner would type, for every entry of its job's matrix."""
    lines = []
    for job in jobs():
        for value in job["strategy"]["matrix"]["accelerator"]:
            for step in job["steps"]:
                text = step.get("run", "").replace("${{ matrix.accelerator }}", value)
                lines += [line for line in text.splitlines() if line]
    return lines


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_it_is_a_workflow(path: Path) -> None:
    loaded = document(path)
    # `on` is a boolean in YAML 1.1, which is how it is read here.
    assert {"name", True, "jobs"} <= loaded.keys()
    for job in loaded["jobs"].values():
        assert {"runs-on", "timeout-minutes", "steps"} <= job.keys()
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_is_a_task_with_options_that_it_has(command: str) -> None:
    assert EXPRESSION.findall(command) == []
    words = shlex.split(command)
    assert words[0] == "./inv"
    assert words[1] in tasks.namespace.task_names
    # Invoke's own parser: an unknown option, or a value too much, is an error.
    (context,) = Parser(contexts=tasks.namespace.to_contexts()).parse_argv(words[1:])
    assert context.name == words[1]


def test_expressions_name_what_there_is() -> None:
    known = {f"matrix.{key}" for job in jobs() for key in job["strategy"]["matrix"]} | {"github.ref"}
    for path in WORKFLOWS:
        for expression in EXPRESSION.findall(path.read_text(encoding="utf-8")):
            if expression.startswith("hashFiles("):
                globs = re.findall(r"'([^']+)'", expression)
                assert globs
                assert [one for one in globs if not list(ROOT.glob(one))] == []
            else:
                assert expression in known


def test_the_lab_is_installed_built_checked_kept_and_removed_in_this_order() -> None:
    for job in jobs():
        order = [step.get("run", step.get("uses", "")) for step in job["steps"]]
        marks = ("lab.doctor", "actions/cache", "lab.up", "lab.verify", "upload-artifact", "lab.down")
        places = [next(place for place, text in enumerate(order) if mark in text) for mark in marks]
        assert places == sorted(places)
        removal = job["steps"][places[-1]]
        kept = job["steps"][places[-2]]
        assert removal["if"] == kept["if"] == "always()"
        # Both with the accelerator that the host has, and without.
        assert {"kvm", "tcg"} <= set(job["strategy"]["matrix"]["accelerator"])


def test_actions_are_of_a_fixed_version() -> None:
    assert [
        step["uses"] for step in steps() if "uses" in step and not re.search(r"@(v\d|[0-9a-f]{40})", step["uses"])
    ] == []
