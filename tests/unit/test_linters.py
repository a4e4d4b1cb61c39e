"""Linters as tests: what they object to fails the build like anything else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lab.doors.process import run

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = (sys.executable, "-m")


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param((*PYTHON, "ruff", "check", "--output-format", "concise", "."), id="ruff-check"),
        pytest.param((*PYTHON, "ruff", "format", "--check", "."), id="ruff-format"),
        pytest.param((*PYTHON, "mypy"), id="mypy"),
        pytest.param(("shellcheck", "inv", ".ci/run"), id="shellcheck"),
    ],
)
def test_linter_is_content(argv: tuple[str, ...]) -> None:
    result = run(argv, timeout_s=180, check=False, cwd=ROOT)
    assert result.ok, result.stdout + result.stderr
