"""What a guest's agent runs to have the clock set: the script itself, with a clock on a file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "lab/recipes/guest-common/rootfs/sbin/hwclock"


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    shim = folder / "busybox"
    shim.write_text('#!/bin/sh\necho "$@"\n')
    shim.chmod(0o755)
    settings = {"PATH": "/usr/bin:/bin", "LAB_RTC": str(folder), "LAB_BUSYBOX": str(shim)}
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *words], env=settings, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_clock_is_set_by_the_hardware_clock(tmp_path: Path) -> None:
    (tmp_path / "since_epoch").write_text("1796026937\n")
    done = call(tmp_path, "-s")
    assert (done.returncode, done.stdout) == (0, "date -u -s @1796026937\n")


def test_without_a_hardware_clock_the_agent_hears_of_it(tmp_path: Path) -> None:
    assert call(tmp_path, "-s").returncode != 0


@pytest.mark.parametrize("words", [["-w"], []])
def test_the_hardware_clock_is_left_alone(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "since_epoch").write_text("1796026937\n")
    done = call(tmp_path, *words)
    assert (done.returncode, done.stdout) == (0, "")
