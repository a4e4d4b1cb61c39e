"""A lab for faults: brought up when it is not there, and removed again by the one who brought it up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.drivers.hypervisor import Hypervisor

ROOT = Path(__file__).resolve().parents[2]
NAME = os.environ.get("HA_LAB_NAME") or "faulttest"
LAB = ("--topology", os.environ.get("HA_LAB_TOPOLOGY") or str(Path(__file__).with_name("lab.yaml")), "--name", NAME)
ARGV = [sys.executable, "-m", "invoke", "--search-root", str(ROOT)]


def invoke(*words: str, limit_s: float = 2400) -> subprocess.CompletedProcess[str]:
    """Type a command as a person would; its progress goes to the test's output."""
    print(f"\n$ ./inv {' '.join(words)}", flush=True)
    result = subprocess.run(
        [*ARGV, *words],
        check=False,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=limit_s,
        stdin=subprocess.DEVNULL,
    )
    print(f"{result.stdout[-3000:]}\n[exit code {result.returncode}]", flush=True)
    return result


def invoke_json(*words: str, limit_s: float = 2400) -> dict[str, Any]:
    """A command's JSON document; the command must succeed."""
    result = invoke(*words, *LAB, "--json", limit_s=limit_s)
    assert result.returncode == 0, result.stdout[-2000:]
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def on_node(node: str, command: str, limit_s: float = 60) -> str:
    """What a command on a node or guest prints."""
    argv = ["ssh", "-F", f"build/{NAME}/ssh_config", "-o", "BatchMode=yes", node, "--", command]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, timeout=limit_s).stdout


@pytest.fixture(scope="session", autouse=True)
def running_lab() -> Iterator[None]:
    """The lab, healthy."""
    hypervisor = Hypervisor()
    try:
        was_there = bool(hypervisor.owned_domains(NAME))
    finally:
        hypervisor.close()
    try:
        assert invoke("lab.up", *LAB).returncode == 0
        yield
    finally:
        if not was_there:
            invoke("lab.down", *LAB)
