"""The maintenance script as a process: its interpreter, its commands, and how they fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lab.doors.process import run
from tests.golden.example import example_lab, rendered
from tests.unit.node_programs import maintenance

TREE = rendered(example_lab())
FILES = "nodes/brina/files/"


def installed(folder: Path) -> tuple[str, str]:
    """The rendered script and settings, written below a folder."""
    script, settings = folder / "lab-maintenance", folder / "lab.json"
    script.write_bytes(TREE[FILES + "usr/local/sbin/lab-maintenance"])
    settings.write_bytes(TREE[FILES + "etc/lab/lab.json"])
    return str(script), str(settings)


def test_a_machine_without_a_cluster_is_refused_and_told_why(tmp_path: Path) -> None:
    script, settings = installed(tmp_path)
    argv = ("/usr/bin/env", "PATH=/nonexistent", sys.executable, script, "--check", "-v", "--settings", settings)
    result = run(argv, timeout_s=60, check=False)
    assert result.returncode == 3
    assert result.stderr.startswith("lab-maintenance: refused, the cluster is not healthy: crm_mon: ")
    quiet = run((*argv[:5], *argv[6:]), timeout_s=60, check=False)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (3, "", "")


def test_settings_that_are_missing(tmp_path: Path) -> None:
    script, settings = installed(tmp_path)
    result = run((sys.executable, script, "--check", "-v", "--settings", settings + "x"), timeout_s=60, check=False)
    assert result.returncode == 11
    assert "lab.jsonx cannot be read" in result.stderr


def test_commands_of_the_real_world(monkeypatch: pytest.MonkeyPatch) -> None:
    world = maintenance.World(verbose=False)
    assert world.run("sh", "-c", "echo yes") == "yes\n"
    with pytest.raises(maintenance.CommandError, match=r"^sh -c .*: code 3, no, never$"):
        world.run("sh", "-c", "echo first >&2; echo no, never >&2; exit 3")
    with pytest.raises(maintenance.CommandError, match="No such file"):
        world.run("/nonexistent/crm_mon")
    monkeypatch.setattr(maintenance, "COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(maintenance.CommandError, match="timed out"):
        world.run("sleep", "60")
