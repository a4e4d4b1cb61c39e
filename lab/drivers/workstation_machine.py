"""The emulated workstation as a machine: its disk, its seed, the clone on it, and QEMU while a block of code runs."""

from __future__ import annotations

import io
import socket
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lab.core import saved_memory
from lab.core.errors import LabError
from lab.core.workstation import plan
from lab.doors import background, files
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run
from lab.doors.ssh import Shell
from lab.drivers import client_settings, qemu_monitor
from lab.drivers.image_cache import BakedImage

BOOT_LIMIT_S = 240.0
#: A machine that goes on from a snapshot answers as soon as its memory has been read.
RESUME_LIMIT_S = 120.0
QUIT_LIMIT_S = 60.0
SNAPSHOT = "passed"
SNAPSHOT_LIMIT_S = 120.0
SAVE_ATTEMPTS = 12


@dataclass(frozen=True)
class Workstation:
    """A machine's folder, ``build/workstation/<suite>``.

    Args:
        folder: absolute.
        image: what its disk is based on.
    """

    folder: Path
    image: BakedImage

    @property
    def disk(self) -> Path:
        """The overlay; what the machine has written since its first boot."""
        return self.folder / "disk.qcow2"

    @property
    def console(self) -> Path:
        """The serial console."""
        return self.folder / "console.log"

    @property
    def monitor(self) -> Path:
        """QEMU's socket, while it runs."""
        return self.folder / "monitor.sock"

    @property
    def shell(self) -> Shell:
        """The user's shell; every command is a login of its own."""
        return Shell("workstation", self.folder / "ssh_config", self.folder)


def make(machine: Workstation, suite: str) -> None:
    """A new disk and a new seed; whatever there was of the machine is replaced."""
    folder = machine.folder
    for path in (machine.disk, folder / "key", folder / "key.pub", folder / "host_key", folder / "host_key.pub"):
        path.unlink(missing_ok=True)
    overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(machine.image.root.resolve())]
    run([*overlay, str(machine.disk)], timeout_s=60)
    for name, comment in (("key", plan.USER), ("host_key", "workstation")):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(folder / name)], timeout_s=30)
    public = (folder / "host_key.pub").read_text().split()
    files.write_atomically(folder / "known_hosts", f"workstation {public[0]} {public[1]}\n".encode())
    files.write_atomically(folder / "seed.tar", seed(folder, suite), files.SECRET_MODE)


def seed(folder: Path, suite: str) -> bytes:
    """The seed as a tar: ssh keys, and the settings of this host's package clients.

    Args:
        folder: where the keys are.
        suite: code name of the machine's release.
    """
    home = f"home/{plan.USER}/.ssh"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        directory = tarfile.TarInfo(home)
        directory.type, directory.mode = tarfile.DIRTYPE, 0o700
        directory.uid = directory.gid = plan.USER_ID
        archive.addfile(directory)
        _add(archive, f"{home}/authorized_keys", (folder / "key.pub").read_bytes(), 0o600, plan.USER_ID)
        _add(archive, "etc/ssh/ssh_host_ed25519_key", (folder / "host_key").read_bytes(), 0o600)
        # The address at which QEMU's user networking answers DNS with this host's resolver.
        _add(archive, "etc/resolv.conf", b"nameserver 10.0.2.3\n")
        for path, content in client_settings.settings(suite).items():
            _add(archive, path, content)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644, owner: int = 0) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    member.uid = member.gid = owner
    archive.addfile(member, io.BytesIO(content))


def pack_images(images: Sequence[BakedImage], more: Sequence[Path], target: Path) -> None:
    """Files of this host's image cache as a tar, which the machine sees as a read-only disk.

    Args:
        images: baked images; their manifests come last, as in the cache.
        more: other files of the cache.
        target: the tar.
    """
    names = [path for image in images for path in (image.root, image.kernel, image.initrd) if path is not None]
    names += [*more, *(image.manifest for image in images)]
    draft = target.with_suffix(".new")
    with tarfile.open(draft, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in dict.fromkeys(names):
            archive.add(path, arcname=path.name, recursive=False)
    draft.replace(target)


def packed_clone(repository: Path) -> tuple[str, bytes]:
    """A fresh clone of the repository's last commit, as a tar, and that commit.

    Args:
        repository: the working copy.

    Raises:
        LabError: it is no clone itself.
    """
    remedy = "Run this task in a clone made by git"
    commit = run(["git", "rev-parse", "HEAD"], timeout_s=20, cwd=repository, remedy=remedy).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / plan.CLONE
        run(["git", "clone", "-q", "--depth", "1", f"file://{repository}", str(place)], timeout_s=120, remedy=remedy)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.add(place, arcname=plan.CLONE)
    return commit, buffer.getvalue()


def has_snapshot(machine: Workstation) -> bool:
    """Whether the machine was saved after a step; only to be asked while it is off."""
    if not machine.disk.exists():
        return False
    return SNAPSHOT in run(["qemu-img", "snapshot", "-l", str(machine.disk)], timeout_s=60, check=False).stdout.split()


@contextmanager
def running(machine: Workstation, disks: Mapping[str, Path], processor: str = "") -> Iterator[Shell]:
    """The machine, on for as long as the block runs; it goes on from its snapshot when there is one.

    Nothing stays behind: QEMU ends with the block, and the kernel kills it when this process is killed.

    Args:
        machine: the machine.
        disks: read-only disks by serial number.
        processor: boot with this one, from the disk as it was saved last; memory of another processor cannot go on.

    Yields:
        The user's shell, once it answers.

    Raises:
        LabError: it does not come up; with the last lines of its console.
    """
    folder = machine.folder
    saved = has_snapshot(machine)
    if saved and processor:
        run(["qemu-img", "snapshot", "-a", SNAPSHOT, str(machine.disk)], timeout_s=SNAPSHOT_LIMIT_S)
    resumed = saved and not processor
    port = _free_port()
    image = machine.image
    argv = plan.qemu_arguments(
        plan.Machine(
            kernel=str(image.kernel),
            initrd=str(image.initrd),
            disk=machine.disk.name,
            disks={serial: str(path) for serial, path in disks.items()},
            ssh_port=port,
            monitor=machine.monitor.name,
            console=machine.console.name,
            snapshot=SNAPSHOT if resumed else "",
            processor=processor or plan.PROCESSOR,
            suite=image.suite,
        )
    )
    files.write_atomically(folder / "ssh_config", plan.ssh_config(str(folder), port).encode())
    machine.monitor.unlink(missing_ok=True)
    remedy = "QEMU comes with the system packages that ./inv installs"
    with background.beside(argv, work=folder, name="qemu", remedy=remedy, extra=plan.ENVIRONMENT) as program:
        wait_until(
            lambda: machine.shell.reachable(15),
            what="ssh to the workstation",
            deadline=Deadline.after(RESUME_LIMIT_S if resumed else BOOT_LIMIT_S),
            interval_s=1,
            hopeless=lambda: f"QEMU ended: {program.errors.read_text().strip()[-300:]}" if program.ended() else "",
            remedy=f"See {machine.console}",
            details=lambda: console_tail(machine),
        )
        try:
            yield machine.shell
        finally:
            # Its disk is written to the end before it goes; killed at once it might lose the table of its snapshots.
            with suppress(LabError):
                qemu_monitor.human(machine.monitor, "quit", timeout_s=QUIT_LIMIT_S)
            program.result(QUIT_LIMIT_S)
            machine.monitor.unlink(missing_ok=True)


def save(machine: Workstation) -> None:
    """Keep the machine as it is now for the next run, memory included.

    Raises:
        LabError: it cannot be saved, or a CPU was at work in a virtual machine of its own each time, so that QEMU could
            not load it (:mod:`lab.core.saved_memory`).
    """
    for _ in range(SAVE_ATTEMPTS):
        qemu_monitor.save(machine.monitor, SNAPSHOT)
        with machine.disk.open("rb") as disk:
            saved = saved_memory.devices(partial(_read_at, disk), SNAPSHOT)
        if not any(saved_memory.in_guest_mode(saved)):
            return
    qemu_monitor.human(machine.monitor, f"delvm {SNAPSHOT}", timeout_s=qemu_monitor.SNAPSHOT_LIMIT_S)
    raise LabError(
        f"no moment was found to save at, {SAVE_ATTEMPTS} times: a CPU was at work in a machine of its own",
        remedy="Do the step again",
    )


def _read_at(disk: BinaryIO, offset: int, length: int) -> bytes:
    disk.seek(offset)
    return disk.read(length)


def console_tail(machine: Workstation, lines: int = 15) -> list[str]:
    """Last lines of the console."""
    try:
        text = machine.console.read_bytes()[-8000:].decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


__all__ = [
    "Workstation",
    "has_snapshot",
    "make",
    "pack_images",
    "packed_clone",
    "running",
    "save",
]
