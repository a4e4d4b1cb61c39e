"""One real lab from nothing: killed, finished, verified, reset, broken."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.drivers.hypervisor import Hypervisor
from lab.workflows.options import ROOT
from tests.end_to_end.conftest import (
    GUESTS,
    LAB,
    NAME,
    boot_ids,
    domain_states,
    host_state,
    invoke,
    invoke_json,
    kill_while_running,
    status,
)


def break_lab(number: int) -> None:
    """One of the ways in which a lab can be broken."""
    commands = {
        0: ("brina", "kill -9 $(cat /run/libvirt/qemu/soldi.pid)"),
        1: ("piova", "kill -9 $(pidof corosync)"),
        2: ("brina", "dd if=/dev/zero of=/var/lib/libvirt/images/ocfs/full bs=1M count=64; drbdadm disconnect vms"),
    }
    if number in commands:
        node, command = commands[number]
        invoke("lab.ssh", node, *LAB, "--command", command, limit_s=120)
        return
    hypervisor = Hypervisor()
    try:
        domains = hypervisor.owned_domains(NAME)
        for domain in domains if number == 3 else domains[:1]:
            hypervisor.power_off(domain.name)
    finally:
        hypervisor.close()


def disk_use_mib() -> int:
    """What the lab's disks take on the host, MiB."""
    folder = Path("/var/lib/libvirt/images") / NAME
    return sum(path.stat().st_blocks for path in folder.glob("*.qcow2")) * 512 // 1024 // 1024


def emulators() -> int:
    """How many QEMU processes run for the lab."""
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return sum("qemu-system" in line and f"guest={NAME}-" in line for line in lines)


def test_preflight_creates_nothing(before: dict[str, Any]) -> None:
    document = invoke_json("lab.doctor", *LAB, limit_s=60)
    assert document["ok"]
    assert document["accelerator"]["accelerator"] in {"kvm", "tcg"}
    assert document["accelerator"]["reason"]
    assert host_state() == before


def test_bad_input_changes_nothing(before: dict[str, Any], tmp_path: Any) -> None:
    text = (ROOT / "topologies" / "two-node.yaml").read_text().replace("home: piova", "home: pivoa", 1)
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    assert invoke("lab.up", "-t", str(bad), *LAB).returncode == 2
    assert host_state() == before


def test_up_killed_and_down_leaves_the_host_as_it_was(before: dict[str, Any]) -> None:
    invoke("lab.bake", *LAB)
    kill_while_running("lab.up", *LAB, when=lambda: "running" in domain_states().values())
    assert host_state() != before
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    assert host_state() == before


@pytest.mark.takes(330, always=True)
def test_up_finishes_what_a_killed_run_began(before: dict[str, Any]) -> None:
    events = ROOT / "build" / NAME / "events.jsonl"
    kill_while_running("lab.up", *LAB, when=lambda: events.exists() and "copy the guests" in events.read_text())
    document = invoke_json("lab.up", *LAB)
    assert all(answer["ok"] for answer in document["services"])
    assert {answer["guest"] for answer in document["services"]} == GUESTS


def test_status_shows_a_healthy_lab() -> None:
    document = status()
    assert document["healthy"], document["problems"]
    assert document["fencing"] == "fence_virt"
    assert set(document["cluster"]["online"]) == {"brina", "piova"}
    for guest in document["guests"].values():
        assert guest["on"] == guest["home"]


@pytest.mark.takes(90, always=True)
def test_verify_passes() -> None:
    document = invoke_json("lab.verify", *LAB, limit_s=900)
    print(json.dumps(document)[:2000])
    assert (ROOT / "build" / NAME / "verify.xml").exists()


def test_second_up_changes_nothing() -> None:
    before_ids = boot_ids(status())
    result = invoke("lab.up", *LAB, limit_s=300)
    assert result.returncode == 0
    assert boot_ids(status()) == before_ids


@pytest.mark.takes(280)
def test_resets_bring_the_lab_back_from_any_state() -> None:
    """Ten in a row, every second one out of a lab that is broken: disks and processes do not grow, all is served."""
    seen, disk_mib = [], []
    for number in range(10):
        if number % 2:
            break_lab(number // 2)
        document = invoke_json("lab.reset", *LAB, limit_s=300)
        seen.append(document["duration_s"])
        disk_mib.append(disk_use_mib())
    print(f"resets: {sorted(seen)} s, disks {disk_mib} MiB")
    assert status()["healthy"]
    # Nothing else looks as closely at what a load brought back: files, units, connections, clocks.
    assert invoke_json("lab.verify", *LAB, limit_s=900)["ok"]
    # What a lab writes between two resets is used again by the next one.
    assert disk_mib[-1] - disk_mib[1] < 512
    assert emulators() == 2
