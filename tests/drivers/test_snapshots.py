"""Snapshots of two tiny domains in real QEMU: their memory and disks at one instant, whatever state they are in."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.core.saves import Note, judge
from lab.drivers import snapshots
from lab.drivers.hypervisor import Hypervisor, OwnedDomain

NAME = f"snaptest{os.getpid()}"
NODES = ("one", "two")
NOTE = Note(NAME, "first", "token-1", 1_800_000_000, "b" * 64, "tcg", "7.2.0")
DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<metadata><lab:lab xmlns:lab="urn:ha-lab:1" name="{lab}" node="{node}"/></metadata>
<memory unit='MiB'>16</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='{lab}' volume='{node}.qcow2'/>
<target dev='vda' bus='virtio'/></disk>
<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='{lab}' volume='{node}-seed'/>
<target dev='vdb' bus='virtio'/><readonly/></disk>
<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"""


@pytest.fixture
def hypervisor(tmp_path: Path) -> Iterator[Hypervisor]:
    # QEMU runs as another user and has to get to the disks.
    place = Path("/var/lib/libvirt/images") / NAME
    connected = Hypervisor("qemu:///system")
    try:
        connected.ensure_pool(f"<pool type='dir'><name>{NAME}</name><target><path>{place}</path></target></pool>")
        for node in NODES:
            connected.create_volume(
                NAME,
                f"<volume><name>{node}.qcow2</name><capacity unit='MiB'>8</capacity>"
                "<target><format type='qcow2'/><compat>1.1</compat></target></volume>",
            )
            connected.upload_volume(NAME, f"{node}-seed", b"seed" * 128)
            name = f"{NAME}-{node}"
            connected.define_domain(DOMAIN.format(name=name, uuid=uuid.uuid4(), lab=NAME, node=node))
            connected.start(name)
        yield connected
    finally:
        for node in NODES:
            with contextlib.suppress(LabError):
                connected.remove_domain(f"{NAME}-{node}")
        connected.remove_pool(NAME)
        connected.close()


def domains(hypervisor: Hypervisor) -> list[OwnedDomain]:
    return hypervisor.owned_domains(NAME)


def states(hypervisor: Hypervisor) -> list[str]:
    return [each.state for each in domains(hypervisor)]


def faults(hypervisor: Hypervisor) -> dict[str, str]:
    return {one.name: one.fault for one in judge(NAME, NODES, snapshots.parts(hypervisor, domains(hypervisor)))}


def test_a_save_is_made_listed_loaded_and_forgotten(hypervisor: Hypervisor) -> None:
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    assert states(hypervisor) == ["running", "running"]
    found = snapshots.parts(hypervisor, domains(hypervisor))
    assert [(part.node, part.save, part.note) for part in found] == [("one", "first", NOTE), ("two", "first", NOTE)]
    assert all(part.size_bytes and part.size_bytes > 1000 for part in found)
    assert faults(hypervisor) == {"first": ""}
    snapshots.revert_all(hypervisor, domains(hypervisor), "first")
    assert states(hypervisor) == ["paused", "paused"]
    assert len(snapshots.resume_all(hypervisor, domains(hypervisor))) == 2
    assert states(hypervisor) == ["running", "running"]
    assert snapshots.forget(hypervisor, domains(hypervisor), "first") == ["one", "two"]
    assert faults(hypervisor) == {}


def test_a_save_is_loaded_from_any_state(hypervisor: Hypervisor) -> None:
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    hypervisor.power_off(f"{NAME}-one")
    hypervisor.connection.lookupByName(f"{NAME}-two").suspend()
    assert states(hypervisor) == ["off", "paused"]
    snapshots.revert_all(hypervisor, domains(hypervisor), "first")
    assert states(hypervisor) == ["paused", "paused"]


def test_half_a_save_is_told_and_removed(hypervisor: Hypervisor) -> None:
    snapshots.save_all(hypervisor, domains(hypervisor)[:1], NOTE)
    assert faults(hypervisor) == {"first": "two has no snapshot of it"}
    with pytest.raises(LabError, match="node two has no snapshot of first"):
        snapshots.revert_all(hypervisor, domains(hypervisor), "first")
    assert states(hypervisor) == ["running", "running"]
    snapshots.save_all(hypervisor, domains(hypervisor)[1:], replace(NOTE, token="token-2"))
    assert faults(hypervisor) == {"first": "the snapshots of the nodes are not of the same moment"}
    assert snapshots.forget(hypervisor, domains(hypervisor), "first") == ["one", "two"]


def test_a_save_that_fails_leaves_no_half_and_goes_on(hypervisor: Hypervisor) -> None:
    hypervisor.power_off(f"{NAME}-two")
    with pytest.raises(LabError, match="node two is off"):
        snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    assert faults(hypervisor) == {}
    assert states(hypervisor) == ["running", "off"]
