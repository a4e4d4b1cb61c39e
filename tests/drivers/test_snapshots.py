"""Snapshots of two tiny domains in real QEMU: their memory and disks at one instant, whatever state they are in."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from lab.core.errors import LabError
from lab.core.saved_memory import in_guest_mode
from lab.core.saves import Note, judge, snapshot_name
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run
from lab.drivers import snapshots
from lab.drivers.hypervisor import Hypervisor, OwnedDomain
from lab.drivers.save_room import make_room
from lab.drivers.saved_memory import caught_in_guests, devices_of
from lab.drivers.wind_back import SwitchedOffError, wind_back, wind_back_to_now
from lab.workflows import clocks, pending
from tests.drivers.lab_here import ROOT, BashHere, lab_of, session_here

NAME = f"snaptest{os.getpid()}"
LAB = lab_of("smoke")
NODES = ("one", "two")
NOTE = Note(NAME, "first", "a1" * 16, 1_800_000_000, "b" * 64, "tcg", "7.2.0")
SNAPSHOT = snapshot_name("first", NOTE.token)
DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<metadata><lab:lab xmlns:lab="urn:ha-lab:1" name="{lab}" node="{node}"/></metadata>
<memory unit='MiB'>16</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='{lab}' volume='{node}.qcow2'/>
<target dev='vda' bus='virtio'/></disk>
<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='{lab}' volume='{node}-seed'/>
<target dev='vdb' bus='virtio'/><readonly/></disk>
<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"""


COUNTER_ADDRESS = 0x7E00
#: A boot sector that for ever counts in memory, at 0x7e00, and writes that to the second sector of its disk.
COUNTING = (
    bytes.fromhex(
        "31c0 8ed8 8ec0"  # xor ax, ax; mov ds, ax; mov es, ax
        "66ff06007e"  # next: inc dword [0x7e00]
        "b80103 bb007e b90200 ba8000 cd13"  # BIOS: write one sector from es:0x7e00 to cylinder 0, head 0, sector 2
        "ebeb"  # jmp next
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)

#: A boot sector that does the same, only in a guest of its own that it never comes back from: assembled from
#: guest_mode_payload.S in this folder, which says how.
COUNTING_IN_A_GUEST = (
    bytes.fromhex(
        "ea057c0000fa31c08ed88ec00f0116e07c0f20c06683c8010f22c0ea207c080066b810008ed88ec08ed0b9800000c00f320d00100000"
        "0f30b9170101c031d2b800a000000f30bf0090000031c0b900040000fcf3abc7051090000001000000c7055890000001000000bf0294"
        "0000b90600000066c7079300c74702ffff000083c710e2ef66c705129400009b00c705d094000000100000c7055895000010000000c7"
        "057095000002000000c70578950000be7c0000b8009000000f01d8f466ff06007eebf98d74000000000000000000ffff0000009acf00"
        "ffff00000092cf001700c87c0000"
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)


def define(hypervisor: Hypervisor, node: str) -> None:
    name = f"{NAME}-{node}"
    number = uuid.uuid5(uuid.NAMESPACE_DNS, name)
    hypervisor.define_domain(DOMAIN.format(name=name, uuid=number, lab=NAME, node=node))


@pytest.fixture
def hypervisor(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Hypervisor]:
    """Two domains that boot from :data:`COUNTING`, or from what a test gives this fixture as its parameter."""
    payload: bytes = getattr(request, "param", COUNTING)
    # QEMU runs as another user and has to get to the disks.
    place = Path("/var/lib/libvirt/images") / NAME
    connected = Hypervisor("qemu:///system")
    try:
        connected.ensure_pool(f"<pool type='dir'><name>{NAME}</name><target><path>{place}</path></target></pool>")
        for node in NODES:
            raw, qcow2 = tmp_path / f"{node}.raw", tmp_path / f"{node}.qcow2"
            raw.write_bytes(payload.ljust(8 << 20, b"\0"))
            run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(qcow2)], timeout_s=30)
            connected.upload_volume(NAME, qcow2.name, qcow2)
            connected.upload_volume(NAME, f"{node}-seed", b"seed" * 128)
            define(connected, node)
            connected.start(f"{NAME}-{node}")
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


def counted(hypervisor: Hypervisor, node: str) -> int:
    """What a domain has counted to, read from its memory."""
    domain = hypervisor.connection.lookupByName(f"{NAME}-{node}")
    return int.from_bytes(domain.memoryPeek(COUNTER_ADDRESS, 4, libvirt.VIR_MEMORY_PHYSICAL), "little")


def written(hypervisor: Hypervisor, node: str, folder: Path) -> int:
    """What a domain that is off has written to its disk."""
    volume = hypervisor.connection.storagePoolLookupByName(NAME).storageVolLookupByName(f"{node}.qcow2")
    raw = folder / "read.raw"
    run(["qemu-img", "convert", "-O", "raw", volume.path(), str(raw)], timeout_s=30)
    return int.from_bytes(raw.read_bytes()[512:516], "little")


def wait_counting(hypervisor: Hypervisor, above: int = 0) -> None:
    for node in NODES:
        wait_until(
            lambda node=node: counted(hypervisor, node) > above,  # type: ignore[misc]
            what=f"{node} to count",
            deadline=Deadline.after(120),
            interval_s=0.05,
        )


def test_memory_and_disk_go_back_to_the_same_moment(hypervisor: Hypervisor, tmp_path: Path) -> None:
    wait_counting(hypervisor)
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    snapshots.suspend_all(hypervisor, domains(hypervisor))
    later = {node: counted(hypervisor, node) for node in NODES}
    snapshots.resume_all(hypervisor, domains(hypervisor))
    wait_counting(hypervisor, max(later.values()))
    snapshots.revert_all(hypervisor, domains(hypervisor), SNAPSHOT)
    saved = {node: counted(hypervisor, node) for node in NODES}
    assert all(0 < saved[node] <= later[node] for node in NODES)
    snapshots.resume_all(hypervisor, domains(hypervisor))
    wait_counting(hypervisor, max(later.values()))
    snapshots.revert_all(hypervisor, domains(hypervisor), SNAPSHOT)
    assert {node: counted(hypervisor, node) for node in NODES} == saved
    for node in NODES:
        hypervisor.power_off(f"{NAME}-{node}")
        assert written(hypervisor, node, tmp_path) in (saved[node] - 1, saved[node])


def test_nodes_that_a_killed_save_left_paused_go_on(
    hypervisor: Hypervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The session's nodes are this machine, whose clock is none of a test's business.
    clocks_set: list[str] = []
    monkeypatch.setattr(clocks, "set_clocks", lambda session: clocks_set.append(session.lab.name))
    session = replace(session_here(BashHere("here", tmp_path, tmp_path), tmp_path), lab=replace(LAB, name=NAME))
    pending.begin(session, "save", "first")
    killed = (
        "import os; from lab.drivers import snapshots; from lab.drivers.hypervisor import Hypervisor\n"
        f"there = Hypervisor('qemu:///system'); snapshots.suspend_all(there, there.owned_domains({NAME!r}))\n"
        "os.kill(os.getpid(), 9)"
    )
    run([sys.executable, "-c", killed], timeout_s=60, check=False, cwd=ROOT)
    assert states(hypervisor) == ["paused", "paused"]
    pending.settle(session, hypervisor)
    assert states(hypervisor) == ["running", "running"]
    assert clocks_set == [NAME]
    # Paused by a person: nothing of ours, so it stays as it is.
    snapshots.suspend_all(hypervisor, domains(hypervisor))
    pending.settle(session, hypervisor)
    assert states(hypervisor) == ["paused", "paused"]
    assert clocks_set == [NAME]


def test_nodes_that_a_killed_load_left_do_not_meet(hypervisor: Hypervisor, tmp_path: Path) -> None:
    session = replace(session_here(BashHere("here", tmp_path, tmp_path), tmp_path), lab=replace(LAB, name=NAME))
    pending.begin(session, "load", "first")
    snapshots.suspend_all(hypervisor, domains(hypervisor))
    with pytest.raises(LabError, match="loading first was interrupted") as caught:
        pending.settle(session, hypervisor)
    assert "lab.load first" in caught.value.remedy
    assert states(hypervisor) == ["paused", "paused"]


def test_a_save_is_made_listed_loaded_and_forgotten(hypervisor: Hypervisor) -> None:
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    assert states(hypervisor) == ["running", "running"]
    found = snapshots.parts(hypervisor, domains(hypervisor))
    assert [(part.node, part.save, part.note) for part in found] == [("one", "first", NOTE), ("two", "first", NOTE)]
    assert all(part.size_bytes and part.size_bytes > 1000 for part in found)
    assert faults(hypervisor) == {"first": ""}
    snapshots.revert_all(hypervisor, domains(hypervisor), SNAPSHOT)
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
    snapshots.revert_all(hypervisor, domains(hypervisor), SNAPSHOT)
    assert states(hypervisor) == ["paused", "paused"]


def test_half_a_save_is_told_and_removed(hypervisor: Hypervisor) -> None:
    snapshots.save_all(hypervisor, domains(hypervisor)[:1], NOTE)
    assert faults(hypervisor) == {"first": "two has no snapshot of it"}
    with pytest.raises(LabError, match="node two has no snapshot lab-save"):
        snapshots.revert_all(hypervisor, domains(hypervisor), SNAPSHOT)
    assert states(hypervisor) == ["running", "running"]
    snapshots.save_all(hypervisor, domains(hypervisor)[1:], replace(NOTE, token="a1" * 6 + "b2" * 10))
    assert faults(hypervisor) == {"first": "the snapshots of the nodes are not of the same moment"}
    assert snapshots.forget(hypervisor, domains(hypervisor), "first") == ["one", "two"]


def test_a_save_that_fails_leaves_no_half_and_goes_on(hypervisor: Hypervisor) -> None:
    hypervisor.power_off(f"{NAME}-two")
    with pytest.raises(LabError, match="node two is off"):
        snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    assert faults(hypervisor) == {}
    assert states(hypervisor) == ["running", "off"]


def test_a_save_is_replaced_when_the_new_one_is_complete(hypervisor: Hypervisor) -> None:
    newer = replace(NOTE, token="c3" * 16, created_s=NOTE.created_s + 1)
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    snapshots.save_all(hypervisor, domains(hypervisor), newer)
    found = snapshots.parts(hypervisor, domains(hypervisor))
    assert [(part.node, part.note) for part in found] == [("one", newer), ("two", newer)]


def test_a_save_that_fails_leaves_the_older_one(hypervisor: Hypervisor) -> None:
    newer = replace(NOTE, token="c3" * 16, created_s=NOTE.created_s + 1)
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    hypervisor.power_off(f"{NAME}-two")
    with pytest.raises(LabError, match="node two is off"):
        snapshots.save_all(hypervisor, domains(hypervisor), newer)
    (save,) = judge(NAME, NODES, snapshots.parts(hypervisor, domains(hypervisor)))
    assert (save.note, save.fault, save.leftovers) == (NOTE, "", ())
    snapshots.revert_all(hypervisor, domains(hypervisor), save.snapshot)


def test_what_a_killed_replacement_left_is_told_and_goes(hypervisor: Hypervisor) -> None:
    newer = replace(NOTE, token="c3" * 16, created_s=NOTE.created_s + 1)
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    snapshots.save_all(hypervisor, domains(hypervisor)[:1], newer)
    # Half of it is newer: node one has lost its older half, so neither is whole.
    (save,) = judge(NAME, NODES, snapshots.parts(hypervisor, domains(hypervisor)))
    assert save.fault
    assert save.leftovers
    snapshots.save_all(hypervisor, domains(hypervisor), replace(newer, token="d4" * 16))
    (save,) = judge(NAME, NODES, snapshots.parts(hypervisor, domains(hypervisor)))
    assert (save.fault, save.leftovers) == ("", ())


def test_domains_that_were_undefined_come_back_from_their_disks(hypervisor: Hypervisor) -> None:
    wait_counting(hypervisor)
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    snapshots.revert_all(hypervisor, domains(hypervisor), SNAPSHOT)
    saved = {node: counted(hypervisor, node) for node in NODES}
    snapshots.resume_all(hypervisor, domains(hypervisor))
    wait_counting(hypervisor, max(saved.values()))
    for node in NODES:
        hypervisor.remove_domain(f"{NAME}-{node}")
    assert domains(hypervisor) == []
    for node in NODES:
        define(hypervisor, node)
    assert snapshots.parts(hypervisor, domains(hypervisor)) == []
    snapshots.redefine_all(hypervisor, domains(hypervisor), NOTE)
    assert faults(hypervisor) == {"first": ""}
    snapshots.revert_all(hypervisor, domains(hypervisor), SNAPSHOT)
    assert {node: counted(hypervisor, node) for node in NODES} == saved
    snapshots.resume_all(hypervisor, domains(hypervisor))
    wait_counting(hypervisor, max(saved.values()))
    assert snapshots.forget(hypervisor, domains(hypervisor), "first") == ["one", "two"]


def test_a_snapshot_that_is_not_in_the_disks_is_refused(hypervisor: Hypervisor) -> None:
    for node in NODES:
        hypervisor.power_off(f"{NAME}-{node}")
    snapshots.redefine_all(hypervisor, domains(hypervisor), NOTE)
    with pytest.raises(LabError, match="cannot be put back"):
        snapshots.revert_all(hypervisor, domains(hypervisor), SNAPSHOT)


def test_a_save_with_no_cpu_in_a_guest_is_known(hypervisor: Hypervisor) -> None:
    wait_counting(hypervisor)
    assert 0 < snapshots.save_all(hypervisor, domains(hypervisor), NOTE) < 60
    assert caught_in_guests(hypervisor, domains(hypervisor), SNAPSHOT) == []
    for domain in domains(hypervisor):
        # One CPU is found, so "none in a guest" is an answer and not ignorance.
        assert in_guest_mode(devices_of(hypervisor, domain, SNAPSHOT)) == [False]


def allocated_kib(hypervisor: Hypervisor, node: str) -> int:
    pool = hypervisor.connection.storagePoolLookupByName(NAME)
    pool.refresh(0)
    return int(pool.storageVolLookupByName(f"{node}.qcow2").info()[2]) // 1024


def test_room_for_the_memory_is_made_before_and_used(hypervisor: Hypervisor) -> None:
    handle = hypervisor.connection.lookupByName(f"{NAME}-one")
    wait_counting(hypervisor)
    assert make_room(handle, chunk_kib=64) == 0, "nobody knows how much before the first save"
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    # The place of the memory is that of the save that was loaded now, so what is written there is copied first.
    snapshots.revert_all(hypervisor, domains(hypervisor), SNAPSHOT)
    snapshots.resume_all(hypervisor, domains(hypervisor))
    before_kib = allocated_kib(hypervisor, "one")
    room_kib = make_room(handle, chunk_kib=64)
    with_room_kib = allocated_kib(hypervisor, "one")
    assert room_kib >= 128
    assert room_kib <= with_room_kib - before_kib < room_kib + 512
    second = replace(NOTE, save="second", token="c3" * 16)
    without_kib = allocated_kib(hypervisor, "two")
    snapshots.save_all(hypervisor, domains(hypervisor), second)
    assert allocated_kib(hypervisor, "one") - with_room_kib < (allocated_kib(hypervisor, "two") - without_kib) / 2
    for note in (NOTE, second):
        snapshots.revert_all(hypervisor, domains(hypervisor), snapshot_name(note.save, note.token))
        saved = counted(hypervisor, "one")
        snapshots.resume_all(hypervisor, domains(hypervisor))
        wait_counting(hypervisor, saved)
    hypervisor.power_off(f"{NAME}-one")
    assert make_room(handle, chunk_kib=64) == 0
    volume = hypervisor.connection.storagePoolLookupByName(NAME).storageVolLookupByName("one.qcow2")
    assert "No errors" in run(["qemu-img", "check", volume.path()], timeout_s=30).stdout


@pytest.mark.parametrize("hypervisor", [COUNTING_IN_A_GUEST], indirect=True, ids=["in a guest"])
def test_a_save_that_qemu_could_not_load_is_refused(hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU saves a CPU that is inside a guest and does not load it again; here it never is anywhere else."""
    wait_counting(hypervisor)
    monkeypatch.setattr(snapshots, "ATTEMPTS", 2)
    with pytest.raises(LabError, match="no moment was found to save at: a CPU of one, two was at work in a guest"):
        snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    assert faults(hypervisor) == {}
    assert states(hypervisor) == ["running", "running"]
    # With the accelerator that can load such a CPU, nobody looks. Here that shows QEMU's own refusal.
    with pytest.raises(SwitchedOffError, match="cannot go on from what they have just saved") as caught:
        snapshots.save_all(hypervisor, domains(hypervisor), replace(NOTE, accelerator="kvm"))
    assert [line.partition(":")[0] for line in caught.value.details] == list(NODES)
    assert all("vCPU set in guest-mode" in line for line in caught.value.details)
    assert states(hypervisor) == ["off", "off"]
    assert faults(hypervisor) == {}


def processes(hypervisor: Hypervisor) -> list[str]:
    """The process identifiers of the domains' QEMUs."""
    return [Path(f"/run/libvirt/qemu/{NAME}-{node}.pid").read_text() for node in NODES]


def test_paused_domains_load_what_they_saved_where_they_are(hypervisor: Hypervisor) -> None:
    wait_counting(hypervisor)
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    before = processes(hypervisor)
    saved = {}
    for node in NODES:
        handle = hypervisor.connection.lookupByName(f"{NAME}-{node}")
        handle.suspend()
        saved[node] = counted(hypervisor, node)
        handle.snapshotCreateXML("<domainsnapshot><name>by-hand</name></domainsnapshot>", 0)
        handle.resume()
    wait_counting(hypervisor, max(saved.values()))
    snapshots.suspend_all(hypervisor, domains(hypervisor))
    wind_back(hypervisor, domains(hypervisor), "by-hand")
    assert states(hypervisor) == ["paused", "paused"]
    assert {node: counted(hypervisor, node) for node in NODES} == saved
    assert processes(hypervisor) == before


def test_a_save_under_kvm_is_loaded_at_once(hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def loading(hypervisor: Hypervisor, domains: list[OwnedDomain], snapshot: str) -> None:
        assert [each.state for each in hypervisor.owned_domains(NAME)] == ["paused", "paused"]
        wind_back(hypervisor, domains, snapshot)
        loaded.append(snapshot)

    monkeypatch.setattr(snapshots, "wind_back", loading)
    wait_counting(hypervisor)
    snapshots.save_all(hypervisor, domains(hypervisor), NOTE)
    assert loaded == [], "an emulated processor's counter stands still with it"
    second = replace(NOTE, accelerator="kvm", token="c3" * 16)
    snapshots.save_all(hypervisor, domains(hypervisor), second)
    assert loaded == [snapshot_name("first", second.token)]
    wait_counting(hypervisor, max(counted(hypervisor, node) for node in NODES))


def test_winding_back_to_now_leaves_no_snapshot(hypervisor: Hypervisor) -> None:
    wait_counting(hypervisor)
    snapshots.suspend_all(hypervisor, domains(hypervisor))
    now = {node: counted(hypervisor, node) for node in NODES}
    # What a killed run has left is replaced.
    handle = hypervisor.connection.lookupByName(f"{NAME}-one")
    handle.snapshotCreateXML("<domainsnapshot><name>lab-moment</name></domainsnapshot>", 0)
    wind_back_to_now(hypervisor, domains(hypervisor))
    assert {node: counted(hypervisor, node) for node in NODES} == now
    assert handle.listAllSnapshots(0) == []
    snapshots.resume_all(hypervisor, domains(hypervisor))
    wait_counting(hypervisor, max(now.values()))


def test_the_payloads_bytes_are_those_of_its_source(tmp_path: Path) -> None:
    source = Path(__file__).with_name("guest_mode_payload.S")
    run(["as", "--64", "-o", "payload.o", str(source)], timeout_s=30, cwd=tmp_path)
    link = ["ld", "-m", "elf_x86_64", "-Ttext", "0x7c00", "--oformat", "binary", "-o", "payload.bin", "payload.o"]
    run(link, timeout_s=30, cwd=tmp_path)
    assert COUNTING_IN_A_GUEST.startswith((tmp_path / "payload.bin").read_bytes())
