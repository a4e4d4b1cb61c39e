"""Bad days of saves on a real lab: runs that are killed while the nodes stand still, and a disk that is full.

A run of its own, with the smallest lab: ``./inv test.lab --saves``. The lab's disks lie on a file system of their own,
because it is going to be filled.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.core.render.facts import POOLS_ROOT
from tests.end_to_end.conftest import domain_states, invoke, invoke_json, kill_while_running

NAME = "savetest"
LAB = ("--name", NAME, "-t", "smoke")
FOLDER = Path(POOLS_ROOT) / NAME
#: The disks of a lab that is up and has been saved once take about 1.5 GiB, a save of the memory about half a GiB.
SIZE_MIB = 6144
MIB = 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def small_disk() -> Iterator[None]:
    """A file system for the lab's disks alone, in memory, so that filling it harms nobody else."""
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    FOLDER.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}M", "savetest", FOLDER], check=True)
    try:
        yield
    finally:
        # The first one leaves the folder of the disks, because a file system is mounted there.
        invoke("lab.down", "--no-cache", *LAB, limit_s=120)
        subprocess.run(["umount", FOLDER], check=True)
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    assert not FOLDER.exists()


def boot_ids() -> dict[str, str]:
    """Boot ids of the nodes; the lab must be healthy."""
    document = invoke_json("lab.status", *LAB, limit_s=300)
    assert document["healthy"], document["problems"]
    return {name: node["seen"]["boot_id"] for name, node in document["nodes"].items()}


def saves() -> set[str]:
    return {one["save"] for one in invoke_json("lab.saves", *LAB)["saves"]}


def stand_still() -> bool:
    return "paused" in domain_states(NAME).values()


@pytest.fixture(scope="module")
def booted() -> dict[str, str]:
    invoke_json("lab.up", *LAB)
    return boot_ids()


def test_a_killed_save_leaves_the_lab_and_the_earlier_saves(booted: dict[str, str]) -> None:
    kill_while_running("lab.save", "cut", *LAB, when=stand_still)
    document = invoke_json("lab.up", *LAB)
    assert all(answer["ok"] for answer in document["services"])
    assert set(domain_states(NAME).values()) == {"running"}
    assert boot_ids() == booted
    # Their clocks stood for as long as nobody came; the checks look at them.
    assert invoke_json("lab.verify", *LAB, limit_s=900)["ok"]
    assert "ready" in saves()
    # What there is of the save that was cut is complete, or it is not loaded.
    invoke("lab.forget", "cut", *LAB, limit_s=120)
    assert saves() == {"ready"}
    invoke_json("lab.reset", *LAB, limit_s=300)
    assert boot_ids() == booted


def test_a_killed_load_is_done_again(booted: dict[str, str]) -> None:
    kill_while_running("lab.reset", *LAB, when=stand_still)
    refused = invoke("lab.save", "mixed", *LAB, limit_s=120)
    assert refused.returncode == 1
    assert "lab.load ready" in refused.stderr
    invoke_json("lab.reset", *LAB, limit_s=300)
    assert boot_ids() == booted
    assert saves() == {"ready"}


def test_a_full_disk_stops_a_save_and_nothing_else(booted: dict[str, str]) -> None:
    filler = FOLDER / "filler"
    left_mib = shutil.disk_usage(FOLDER).free // MIB - 160
    subprocess.run(["fallocate", "-l", f"{left_mib}M", filler], check=True)
    try:
        refused = invoke("lab.save", "toobig", *LAB, limit_s=300)
        assert refused.returncode == 1
        assert "space" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert "toobig" not in saves()
    finally:
        filler.unlink()
    assert boot_ids() == booted
    invoke_json("lab.reset", *LAB, limit_s=300)
    assert boot_ids() == booted


def test_after_a_full_disk_saves_work_again(booted: dict[str, str]) -> None:
    document: dict[str, Any] = invoke_json("lab.save", "after", *LAB, limit_s=300)
    assert document["save"] == "after"
    assert saves() == {"ready", "after"}
    invoke_json("lab.load", "after", *LAB, limit_s=300)
    assert boot_ids() == booted
