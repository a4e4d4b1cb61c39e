"""What resource agents call as systemctl: run for real, with a stand-in for the systemctl behind it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "lab" / "recipes" / "node" / "rootfs"
SCRIPT = ROOT / "usr" / "local" / "lib" / "lab" / "agents" / "systemctl"
AT_BOOT = ROOT / "etc" / "systemd" / "system" / "resource-agents-deps.target.d"
#: What ocf-shellfuncs' systemd_drop_in writes when VirtualDomain calls it (resource-agents 4.12).
WRITTEN = {
    "99-VirtualDomain-libvirt.conf": "[Unit]\nAfter=libvirtd.service\n",
    "99-VirtualDomain-machines.conf": "[Unit]\nWants=virt-guest-shutdown.target\n",
}


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """The directory that agents write to, beside a systemctl that shows what it was called with and fails with 3."""
    real = tmp_path / "real"
    real.write_text('#!/bin/sh\necho "real: $*"\nexit 3\n')
    real.chmod(0o755)
    written = tmp_path / "run"
    written.mkdir()
    return written


def call(agents: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "LAB_DROP_INS": str(AT_BOOT),
        "LAB_AGENT_DROP_INS": str(agents),
        "LAB_SYSTEMCTL": str(agents.parent / "real"),
    }
    return subprocess.run(
        [str(SCRIPT), *words], env=environment, check=False, capture_output=True, text=True, timeout=30
    )


def test_a_reload_for_drop_ins_that_were_read_at_boot_is_left_out(agents: Path) -> None:
    for number, (name, text) in enumerate(WRITTEN.items()):
        (agents / name).write_text(text)
        result = call(agents, "daemon-reload")
        assert (result.returncode, result.stdout) == (0, ""), f"after {number + 1} drop-ins"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("99-VirtualDomain-libvirt.conf", "[Unit]\nAfter=libvirtd.service virtqemud.service\n"),
        ("99-LVM-activate.conf", "[Unit]\nAfter=blk-availability.service\n"),
    ],
)
def test_a_drop_in_that_is_new_is_read(agents: Path, name: str, text: str) -> None:
    for known, content in WRITTEN.items():
        (agents / known).write_text(content)
    (agents / name).write_text(text)
    result = call(agents, "daemon-reload")
    assert (result.returncode, result.stdout) == (3, "real: daemon-reload\n")


def test_a_reload_without_any_drop_in_is_done(agents: Path) -> None:
    assert call(agents, "daemon-reload").stdout == "real: daemon-reload\n"


def test_every_other_word_reaches_the_real_one(agents: Path) -> None:
    result = call(agents, "start", "virt-guest-shutdown.target")
    assert (result.returncode, result.stdout) == (3, "real: start virt-guest-shutdown.target\n")
