"""What is in front of Pacemaker's agent for guests, run by the shell with an agent behind it that shows itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "cloudinit/nodes/usr/lib/ocf/resource.d/lab/VirtualDomain.j2"
PID = 4242
ASKED = 7  # what the agent behind ends with here


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node on which the guest's QEMU runs."""
    (tmp_path / "qemu").mkdir()
    (tmp_path / "proc" / str(PID)).mkdir(parents=True)
    (tmp_path / "qemu" / "passata.pid").write_text(str(PID))
    stat(tmp_path, "(qemu-system-x86) S")
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\necho "asked: $*"\nexit {ASKED}\n')
    agent.chmod(0o755)
    return tmp_path


def stat(node: Path, words: str) -> None:
    """The process is this one, in this state; fields of proc(5)."""
    (node / "proc" / str(PID) / "stat").write_text(f"{PID} {words} 1 {PID} {PID} 0 -1 138428736 31 0\n")


def call(node: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "LAB_QEMU_PROCESSES": str(node / "qemu"),
        "LAB_PROC": str(node / "proc"),
        "LAB_GUEST_AGENT": str(node / "agent"),
        "OCF_RESKEY_config": "/etc/libvirt/qemu/passata.xml",
        "OCF_RESKEY_CRM_meta_interval": "30000",
        **settings,
    }
    return subprocess.run(
        ["sh", str(SOURCE), *words], env=environment, check=False, capture_output=True, text=True, timeout=30
    )


def test_the_template_has_no_gaps() -> None:
    """What is tested here is what is installed."""
    assert "{{" not in SOURCE.read_text() and "{%" not in SOURCE.read_text()


@pytest.mark.parametrize("state", ["S", "R", "D", "T", "t"])
def test_a_guest_whose_process_runs_is_well(node: Path, state: str) -> None:
    stat(node, f"(qemu-system-x86) {state}")
    result = call(node, "monitor")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_newline_after_the_process_number_changes_nothing(node: Path) -> None:
    (node / "qemu" / "passata.pid").write_text(f"{PID}\n")
    assert call(node, "monitor").returncode == 0


@pytest.mark.parametrize("words", ["(qemu-system-x86) Z", "(qemu-system-x86) X", "(bash) S", "(my qemu) S"])
def test_of_any_other_process_the_agent_is_asked(node: Path, words: str) -> None:
    stat(node, words)
    result = call(node, "monitor")
    assert (result.returncode, result.stdout, result.stderr) == (ASKED, "asked: monitor\n", "")


@pytest.mark.parametrize("missing", ["qemu/passata.pid", f"proc/{PID}/stat"])
def test_without_a_process_the_agent_is_asked(node: Path, missing: str) -> None:
    (node / missing).unlink()
    result = call(node, "monitor")
    assert (result.returncode, result.stdout, result.stderr) == (ASKED, "asked: monitor\n", "")


@pytest.mark.parametrize("text", ["", "\n", "no number", "../self"])
def test_a_damaged_process_number_is_no_process(node: Path, text: str) -> None:
    (node / "qemu" / "passata.pid").write_text(text)
    assert call(node, "monitor").returncode == ASKED


def test_another_guests_process_says_nothing(node: Path) -> None:
    assert call(node, "monitor", OCF_RESKEY_config="/etc/libvirt/qemu/soldi.xml").returncode == ASKED


@pytest.mark.parametrize(
    "action", ["start", "stop", "migrate_to", "migrate_from", "meta-data", "validate-all", "status"]
)
def test_every_other_operation_is_the_agents(node: Path, action: str) -> None:
    result = call(node, action)
    assert (result.returncode, result.stdout) == (ASKED, f"asked: {action}\n")


def test_a_probe_is_the_agents(node: Path) -> None:
    assert call(node, "monitor", OCF_RESKEY_CRM_meta_interval="0").returncode == ASKED


def test_the_deep_monitor_is_the_agents(node: Path) -> None:
    assert call(node, "monitor", OCF_CHECK_LEVEL="10").returncode == ASKED
    assert call(node, "monitor", OCF_CHECK_LEVEL="0").returncode == 0


def test_a_process_of_this_machine_is_read_as_it_is(node: Path, tmp_path: Path) -> None:
    """The kernel's own words: a process with the name of QEMU, and its zombie."""
    program = tmp_path / "qemu-system-x86_64"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "60"])
    try:
        (node / "qemu" / "passata.pid").write_text(str(child.pid))
        assert call(node, "monitor", LAB_PROC="/proc").returncode == 0
        child.kill()
        # Waited for without being reaped: it has ended and is a zombie.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert call(node, "monitor", LAB_PROC="/proc").returncode == ASKED
    finally:
        child.kill()
        child.wait()
