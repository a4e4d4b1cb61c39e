"""The workstation's machine, without booting it: QEMU's monitor, its disk and snapshot, seed, images and clone."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.core.workstation import plan
from lab.doors import background
from lab.doors.clock import Deadline, wait_until
from lab.drivers import client_settings, qemu_monitor, workstation_machine
from lab.drivers.image_cache import BakedImage
from lab.drivers.workstation_machine import SNAPSHOT, Workstation


@pytest.fixture
def machine(tmp_path: Path) -> Workstation:
    """A machine whose image is an empty disk."""
    root = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(root), "8M"], check=True)
    image = BakedImage("workstation", "bookworm", "k", root, None, None, tmp_path / "image.json", tmp_path / "log")
    folder = tmp_path / "machine"
    folder.mkdir()
    made = Workstation(folder, image)
    workstation_machine.make(made, "bookworm")
    return made


@contextmanager
def running(machine: Workstation, *more: str) -> Iterator[None]:
    """A QEMU that executes nothing."""
    argv = [
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-machine",
        "q35",
        "-m",
        "16",
        "-S",
        "-nodefaults",
        "-display",
        "none",
    ]
    argv += ["-display", "none", *more, "-qmp", f"unix:{machine.monitor.name},server=on,wait=off"]
    with background.beside(argv, work=machine.folder, name="qemu") as program:
        wait_until(machine.monitor.exists, what="the monitor", deadline=Deadline.after(20), interval_s=0.05)
        yield
        qemu_monitor.human(machine.monitor, "quit", timeout_s=10)
        assert program.result(10).returncode == 0


def test_a_saved_machine_is_known_by_its_disk(machine: Workstation) -> None:
    assert not workstation_machine.has_snapshot(machine)
    disk = ("-drive", f"file={machine.disk},if=none,id=system", "-device", "virtio-blk-pci,drive=system")
    with running(machine, *disk):
        assert "paused" in qemu_monitor.human(machine.monitor, "info status", timeout_s=10)
        # The second one takes the place of the first.
        for _ in range(2):
            workstation_machine.save(machine)
        listed = qemu_monitor.human(machine.monitor, "info snapshots", timeout_s=10)
        assert listed.split().count(SNAPSHOT) == 1
    assert workstation_machine.has_snapshot(machine)
    workstation_machine.make(machine, "bookworm")
    assert not workstation_machine.has_snapshot(machine)


def test_another_processor_starts_with_the_disk_as_it_was_saved(
    machine: Workstation, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = str(machine.disk)
    write, read = (
        ["qemu-io", "-c", f"{verb} -P {pattern} 0 64k", disk] for verb, pattern in (("write", 7), ("read", 7))
    )
    subprocess.run(write, check=True, capture_output=True)
    subprocess.run(["qemu-img", "snapshot", "-c", SNAPSHOT, disk], check=True)
    subprocess.run(["qemu-io", "-c", "write -P 9 0 64k", disk], check=True, capture_output=True)
    seen: list[plan.Machine] = []

    def arguments(wanted: plan.Machine) -> list[str]:
        seen.append(wanted)
        return ["false"]

    monkeypatch.setattr(plan, "qemu_arguments", arguments)
    with pytest.raises(LabError, match="QEMU ended"), workstation_machine.running(machine, {}, plan.OTHER_PROCESSOR):
        pass
    assert [(one.processor, one.snapshot) for one in seen] == [(plan.OTHER_PROCESSOR, "")]
    assert "Pattern verification failed" not in subprocess.run(read, check=True, capture_output=True, text=True).stdout
    with pytest.raises(LabError, match="QEMU ended"), workstation_machine.running(machine, {}):
        pass
    assert (seen[1].processor, seen[1].snapshot) == (plan.PROCESSOR, SNAPSHOT)


def test_a_refusal_of_the_monitor_is_an_error(machine: Workstation) -> None:
    with running(machine):
        with pytest.raises(LabError, match="no block device can store"):
            workstation_machine.save(machine)
        assert "unknown command" in qemu_monitor.human(machine.monitor, "sing", timeout_s=10)


def test_a_monitor_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="does not answer to `info status`"):
        qemu_monitor.human(tmp_path / "none.sock", "info status", timeout_s=2)


def test_the_seed_holds_keys_and_the_settings_of_this_host(machine: Workstation) -> None:
    assert (machine.folder / "seed.tar").stat().st_mode & 0o777 == 0o600
    with tarfile.open(machine.folder / "seed.tar") as archive:
        members = {member.name: member for member in archive.getmembers()}
        keys = members[f"home/{plan.USER}/.ssh/authorized_keys"]
        assert (keys.uid, keys.mode) == (plan.USER_ID, 0o600)
        assert archive.extractfile(keys).read() == (machine.folder / "key.pub").read_bytes()  # type: ignore[union-attr]
        assert members["etc/ssh/ssh_host_ed25519_key"].mode == 0o600
    public = (machine.folder / "host_key.pub").read_text().split()
    assert (machine.folder / "known_hosts").read_text() == f"workstation {public[0]} {public[1]}\n"
    handed = client_settings.settings("bookworm")
    assert handed.keys() <= members.keys()
    assert {"etc/apt/apt.conf.d/90host", "etc/pip.conf", "etc/environment"} <= handed.keys()


def test_images_are_packed_with_their_manifests_last(machine: Workstation, tmp_path: Path) -> None:
    for name in ("k", "i", "store", "image.json"):
        (tmp_path / name).write_text(name)
    image = BakedImage(
        "n", "s", "k", machine.image.root, tmp_path / "k", tmp_path / "i", tmp_path / "image.json", tmp_path / "log"
    )
    workstation_machine.pack_images([image, image], [tmp_path / "store"], tmp_path / "images.tar")
    with tarfile.open(tmp_path / "images.tar") as archive:
        assert archive.getnames() == ["image.qcow2", "k", "i", "store", "image.json"]


def test_the_clone_is_of_the_last_commit(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "kept").write_text("committed")
    subprocess.run([*git, "add", "kept"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    (tmp_path / "kept").write_text("changed since")
    commit, archive = workstation_machine.packed_clone(tmp_path)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert commit == head
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        kept = opened.extractfile(f"{plan.CLONE}/kept")
        assert kept is not None
        assert kept.read() == b"committed"


def test_what_is_no_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError) as refused:
        workstation_machine.packed_clone(tmp_path)
    assert "clone made by git" in refused.value.remedy
