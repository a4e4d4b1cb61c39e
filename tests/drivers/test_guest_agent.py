"""What is in front of Pacemaker's agent for guests, run by the shell with an agent behind it that shows itself."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

OCF = Path(__file__).resolve().parents[2] / "cloudinit/nodes/usr/lib/ocf"
SOURCE = OCF / "resource.d/lab/VirtualDomain.j2"
LIBRARY = [OCF / "lib/lab/guest-state.sh.j2", OCF / "lib/lab/bin/virsh.j2"]
PID = 4242
ASKED = 7  # what the agent behind ends with here
DEFINITION = "<domain><name>passata</name></domain>\n"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node on which the guest's QEMU runs."""
    (tmp_path / "qemu").mkdir()
    (tmp_path / "proc" / str(PID)).mkdir(parents=True)
    (tmp_path / "qemu" / "passata.pid").write_text(str(PID))
    stat(tmp_path, "(qemu-system-x86) S")
    for source in LIBRARY:
        installed = tmp_path / source.relative_to(OCF).with_suffix("")
        installed.parent.mkdir(parents=True, exist_ok=True)
        installed.write_text(source.read_text())
        installed.chmod(0o755)
    (tmp_path / "passata.xml").write_text(DEFINITION)
    program(tmp_path / "agent", f'echo "asked: $*"\nexit {ASKED}')
    program(tmp_path / "virsh", 'echo "virsh: $*"\nexit 3')
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def stat(node: Path, words: str) -> None:
    """The process is this one, in this state; fields of proc(5)."""
    (node / "proc" / str(PID) / "stat").write_text(f"{PID} {words} 1 {PID} {PID} 0 -1 138428736 31 0\n")


def call(node: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "LAB_QEMU_PROCESSES": str(node / "qemu"),
        "LAB_PROC": str(node / "proc"),
        "LAB_GUEST_AGENT": str(node / "agent"),
        "LAB_LIBRARY": str(node / "lib/lab"),
        "LAB_VIRSH": str(node / "virsh"),
        "LAB_GUEST_DEFINITIONS": str(node / "kept"),
        "OCF_RESKEY_config": str(node / "passata.xml"),
        "OCF_RESKEY_CRM_meta_interval": "30000",
        **settings,
    }
    return subprocess.run(
        ["sh", str(SOURCE), *words], env=environment, check=False, capture_output=True, text=True, timeout=30
    )


def test_the_template_has_no_gaps() -> None:
    """What is tested here is what is installed."""
    for source in (SOURCE, *LIBRARY):
        assert "{{" not in source.read_text() and "{%" not in source.read_text()


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
    assert call(node, "monitor", OCF_RESKEY_config=str(node / "soldi.xml")).returncode == ASKED


@pytest.mark.parametrize(
    "action", ["start", "stop", "migrate_to", "migrate_from", "meta-data", "validate-all", "status"]
)
def test_every_other_operation_is_the_agents(node: Path, action: str) -> None:
    result = call(node, action)
    assert (result.returncode, result.stdout) == (ASKED, f"asked: {action}\n")


def test_a_definition_that_a_loss_of_power_has_emptied_is_put_back(node: Path) -> None:
    """The agent copies the definition before a start; a node that loses its power then has an empty file."""
    assert call(node, "monitor", OCF_RESKEY_CRM_meta_interval="0").returncode == ASKED
    assert (node / "kept" / "passata.xml").read_text() == DEFINITION
    config = node / "passata.xml"
    for lost in ("", None):
        config.unlink()
        if lost is not None:
            config.write_text(lost)
        assert call(node, "migrate_from").returncode == ASKED
        assert config.read_text() == DEFINITION
    # One that was changed on purpose is the one that counts from now on.
    config.write_text(DEFINITION.upper())
    assert call(node, "start").returncode == ASKED
    assert (node / "kept" / "passata.xml").read_text() == DEFINITION.upper()
    assert sorted(path.name for path in (node / "kept").iterdir()) == ["passata.xml"]


def test_a_guest_that_runs_without_any_definition_is_not_called_stopped(node: Path) -> None:
    (node / "passata.xml").write_text("")
    assert call(node, "monitor", OCF_RESKEY_CRM_meta_interval="0").returncode == 0
    assert call(node, "monitor", OCF_CHECK_LEVEL="10").returncode == 0
    for action in ("stop", "migrate_from", "start"):
        result = call(node, action)
        assert result.returncode == 1
        assert "ocf-exit-reason:passata runs, but its definition" in result.stderr
    # Of one that does not run the agent may say so.
    (node / "qemu" / "passata.pid").unlink()
    assert call(node, "stop").returncode == ASKED


def test_a_probe_is_the_agents(node: Path) -> None:
    assert call(node, "monitor", OCF_RESKEY_CRM_meta_interval="0").returncode == ASKED


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_deep_monitor_is_the_agents_and_asks_libvirt(node: Path) -> None:
    age(node / "qemu/passata.pid", 3600)
    program(node / "agent", "virsh --quiet domstate passata")
    program(node / "virsh", 'echo "the real one: $*"')
    environment = {"OCF_CHECK_LEVEL": "10", "OCF_RESKEY_CRM_meta_interval": "180000"}
    found = call(node, "monitor", **environment, PATH=f"{node}:/usr/bin:/bin")
    assert found.stdout == "the real one: --quiet domstate passata\n"
    assert call(node, "monitor", OCF_CHECK_LEVEL="0").returncode == 0


def test_a_guest_that_libvirt_has_just_started_needs_no_deep_monitor(node: Path) -> None:
    deep = {"OCF_CHECK_LEVEL": "10", "OCF_RESKEY_CRM_meta_interval": "180000"}
    assert call(node, "monitor", **deep).returncode == 0
    age(node / "qemu/passata.pid", 150)
    assert call(node, "monitor", **deep).returncode == 0
    age(node / "qemu/passata.pid", 190)
    assert call(node, "monitor", **deep).returncode == ASKED
    age(node / "qemu/passata.pid", 0)
    stat(node, "(bash) S")
    assert call(node, "monitor", **deep).returncode == ASKED


# What the agent behind finds out by virsh


def virsh(node: Path, *words: str, action: str = "stop", interval: str = "0") -> subprocess.CompletedProcess[str]:
    """What an agent reads that runs virsh with these words."""
    program(node / "agent", "virsh " + " ".join(f"'{word}'" for word in words))
    return call(node, action, OCF_RESKEY_CRM_meta_interval=interval)


ASK = ("--connect=qemu:///system", "--quiet", "domstate", "passata")


@pytest.mark.parametrize("action", ["start", "stop", "migrate_to", "migrate_from", "monitor", "status"])
def test_a_guest_whose_process_runs_is_running(node: Path, action: str) -> None:
    found = virsh(node, *ASK, action=action)
    assert (found.returncode, found.stdout, found.stderr) == (0, "running\n", "")


@pytest.mark.parametrize("action", ["start", "stop", "migrate_to", "migrate_from", "monitor", "status"])
def test_a_guest_of_which_libvirt_has_no_note_is_not_there(node: Path, action: str) -> None:
    """In the words that the agent takes for it (VirtualDomain_status)."""
    (node / "qemu/passata.pid").unlink()
    found = virsh(node, *ASK, action=action)
    assert (found.returncode, found.stdout, found.stderr) == (1, "", "error: failed to get domain 'passata'\n")


def test_where_notes_and_processes_disagree_libvirt_is_asked(node: Path) -> None:
    real = (3, f"virsh: {' '.join(ASK)}\n", "")

    def answer() -> tuple[int, str, str]:
        found = virsh(node, *ASK)
        return found.returncode, found.stdout, found.stderr

    stat(node, "(qemu-system-x86) Z")
    assert answer() == real
    (node / "proc" / str(PID) / "stat").unlink()
    assert answer() == real
    (node / "qemu/passata.pid").unlink()
    (node / "qemu/passata.xml").write_text("<domstatus/>")
    assert answer() == real
    (node / "qemu/passata.xml").unlink()
    (node / "qemu").rmdir()
    assert answer() == real


@pytest.mark.parametrize(
    "words",
    [
        ("--quiet", "create", "/etc/libvirt/qemu/passata.xml"),
        ("migrate", "--live", "passata", "qemu+ssh://piova/system"),
        ("destroy", "passata"),
        ("domstate",),
        ("domstate", "passata", "--reason"),
        (),
    ],
)
def test_everything_else_is_virshs(node: Path, words: tuple[str, ...]) -> None:
    found = virsh(node, *words)
    assert (found.returncode, found.stdout) == (3, f"virsh: {' '.join(words)}\n")


def test_without_a_guest_to_name_the_agent_has_the_last_word(node: Path) -> None:
    """Pacemaker asks for the description without any parameter."""
    environment = {
        "LAB_GUEST_AGENT": str(node / "agent"),
        "LAB_LIBRARY": str(node / "lib/lab"),
        "PATH": "/usr/bin:/bin",
    }
    found = subprocess.run(
        ["sh", str(SOURCE), "meta-data"], env=environment, check=False, capture_output=True, text=True, timeout=30
    )
    assert (found.returncode, found.stdout, found.stderr) == (ASKED, "asked: meta-data\n", "")


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
