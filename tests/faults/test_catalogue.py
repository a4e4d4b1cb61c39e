"""Every fault of the catalogue on a real lab: made, proven by its own proof, healed, gone.

The faults of a quick campaign have ``quick`` in the name of their test; they are the small fixed set.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from lab.core.faults.catalogue import FAULTS
from lab.core.faults.fault import Fault, FaultOrder
from lab.surface import options_from
from lab.workflows.fault import broken
from lab.workflows.fault_stage import Stage
from lab.workflows.opening import opened
from lab.workflows.options import load_lab
from tests.faults.conftest import ARGV, LAB, NAME, ROOT, invoke, invoke_json, on_node


def named(fault: Fault) -> str:
    return f"{fault.name}-quick" if fault.quick else fault.name


def require_healthy() -> None:
    document = invoke_json("lab.status", limit_s=300)
    assert document["healthy"], document["problems"]


@pytest.fixture
def ready_again() -> Iterator[None]:
    """The lab goes back to its save, however the test ends: a fault that did not heal fails no other test."""
    yield
    assert invoke("lab.reset", *LAB, limit_s=600).returncode == 0


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.quick], ids=named)
def test_a_fault_shows_and_heals(fault: Fault) -> None:
    show_and_heal(fault)


@pytest.mark.usefixtures("ready_again")
@pytest.mark.parametrize("fault", [one for one in FAULTS if not one.quick], ids=named)
def test_a_heavy_fault_shows_and_heals(fault: Fault) -> None:
    show_and_heal(fault)


def show_and_heal(fault: Fault) -> None:
    made = invoke_json("lab.fault", fault.name, limit_s=900)
    assert made["evidence"]
    # Nobody decides by a rule what to throw away when both sides wrote.
    decision = ("--discard", "piova") if fault.name == "split-brain" else ()
    if decision:
        assert invoke("lab.heal", *LAB).returncode == 1
    healed = invoke_json("lab.heal", *decision, limit_s=1500)
    if fault.quick and fault.lasting:
        assert healed["undone"]
    require_healthy()


def test_a_guest_moves_to_a_node_that_has_lost_its_definition_quick() -> None:
    """As a node comes back whose power was cut just after it had started the guest."""
    lab = load_lab(options_from(LAB[1], NAME))
    guest = lab.guests[0]
    elsewhere = next(node.name for node in lab.nodes if node.name != guest.home)
    definition = f"/etc/libvirt/qemu/{guest.domain}.xml"
    assert on_node(elsewhere, f"test -s {definition} && : > {definition} && stat -c %s {definition}") == "0\n"
    (record,) = invoke_json("lab.drill", "live-migrate", "--guest", guest.name)["drills"]
    assert {one["name"] for one in record["audits"] if not one["ok"]} == set()
    assert on_node(elsewhere, f"test -s {definition} && echo there") == "there\n"


def test_a_second_fault_is_refused_quick() -> None:
    invoke_json("lab.fault", "leg-down")
    refused = invoke("lab.fault", "packet-loss", *LAB)
    assert refused.returncode == 1
    assert "netem" not in on_node("brina", "tc qdisc show dev bond0")
    invoke_json("lab.heal")


def test_what_a_killed_command_left_is_found_quick() -> None:
    argv = [*ARGV, "lab.fault", "packet-loss", "--seconds", "600", *LAB]
    process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while "netem" not in on_node("brina", "tc qdisc show dev bond0"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert any("netem" in one for one in invoke_json("lab.heal")["undone"])
    assert "netem" not in on_node("brina", "tc qdisc show dev bond0")


def test_a_program_has_a_fault_as_a_context_quick() -> None:
    options = options_from(LAB[1], NAME)
    with opened(options, "test") as (session, hypervisor):
        with broken(Stage(session, hypervisor), FaultOrder("delay", "brina", amount=50)) as evidence:
            assert "ms" in evidence
            assert "delay 50ms" in on_node("brina", "tc qdisc show dev bond0")
        assert "netem" not in on_node("brina", "tc qdisc show dev bond0")


def test_an_unknown_fault_is_no_fault_quick() -> None:
    assert invoke("lab.fault", "freze", *LAB).returncode == 2
    require_healthy()
