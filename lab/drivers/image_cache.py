"""The directory of baked images: who may write, what is trusted, what is left over.

An image is trusted when its manifest is there and every file has the size that the manifest says. The manifest gets
its name last, so a bake that was killed never leaves one. All of an image's files lie flat in the directory, because
a libvirt directory pool shows nothing deeper.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.core.errors import LabError
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run

WORK_PREFIX = ".work-"
#: Where builds of an ordinary user go when the cache is below a closed home (Debian makes them so): the users of
#: mmdebstrap's namespace are others than this one, and have to get there.
OPEN_PLACE = Path("/var/tmp")  # noqa: S108 (a new directory of a random name, not a known file)


@dataclass(frozen=True)
class BakedImage:
    """An image in the cache.

    Args:
        name: name of the recipe, or of the source.
        suite: Debian suite; empty for other sources.
        key: hash of all inputs, hexadecimal.
        root: the root file system as qcow2.
        kernel, initrd: for direct kernel boot; None for sources that bring only a disk.
        manifest: JSON with the version of every package, sizes and hashes.
        log: log of the bake.
        cached: whether it was there before.
    """

    name: str
    suite: str
    key: str
    root: Path
    kernel: Path | None
    initrd: Path | None
    manifest: Path
    log: Path
    cached: bool = False

    @property
    def packages(self) -> dict[str, str]:
        """Version of each package by ``name:architecture``."""
        packages: dict[str, str] = json.loads(self.manifest.read_text())["packages"]
        return packages


def prepare(cache_dir: Path) -> None:
    """Make the cache directory and what lies in it.

    Raises:
        LabError: it cannot be written.
    """
    try:
        for directory in (cache_dir, cache_dir / "logs", cache_dir / "locks"):
            directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(
            f"the image cache {cache_dir} cannot be written: {error.strerror}",
            remedy="run as a user who may write there, or choose another cache directory",
        ) from error


@contextmanager
def lock(cache_dir: Path, name: str, *, wait_s: float, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock ``name``; the kernel releases it when the process ends, however it ends.

    Args:
        cache_dir: the cache.
        name: what is locked.
        wait_s: how long to wait for another holder, seconds.
        waiting: called once when there is one.

    Raises:
        LabError: still held after ``wait_s``.
    """
    with (cache_dir / "locks" / name).open("w") as file:
        if not _try_lock(file.fileno()):
            if waiting:
                waiting()
            wait_until(
                lambda: _try_lock(file.fileno()),
                what=f"another bake of {name}",
                deadline=Deadline.after(wait_s),
                remedy="look for a second bake that hangs, and end it",
            )
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def work_directory(cache_dir: Path, name: str) -> Iterator[Path]:
    """A directory to build in; removed at the end, and at the next bake when this one is killed.

    Where the cache is closed to the users of a namespace, it is elsewhere, and a link in the cache tells where.
    The caller holds the lock ``name``. Leftovers of other names go too, when nobody holds their locks.
    """
    remove_leftovers(cache_dir, held=name)
    work = cache_dir / f"{WORK_PREFIX}{name}"
    if os.geteuid() and _closed(cache_dir):
        _make_elsewhere(work)
    else:
        work.mkdir()
    try:
        yield work.resolve()
    finally:
        _remove(work)


def _closed(directory: Path) -> bool:
    """Whether other users cannot get into a directory."""
    return any(not path.stat().st_mode & 0o001 for path in (directory.resolve(), *directory.resolve().parents))


def _make_elsewhere(link: Path) -> None:
    """A directory in :data:`OPEN_PLACE`, and a link that names it, so that it is found when this process is killed.

    Others may pass the outer one and cannot list it, so they do not find the inner one, which the build opens to all.
    """
    outer = OPEN_PLACE / f"ha-lab-{secrets.token_hex(8)}"
    inner = outer / secrets.token_hex(8)
    link.symlink_to(inner)
    outer.mkdir(mode=0o711)
    inner.mkdir()


def remove_leftovers(cache_dir: Path, *, held: str = "") -> list[str]:
    """Remove what killed bakes have left; returns names.

    Args:
        cache_dir: the cache.
        held: a lock that the caller holds.
    """
    removed = []
    for path in sorted(cache_dir.glob(f"{WORK_PREFIX}*")):
        name = path.name.removeprefix(WORK_PREFIX)
        if name == held:
            _remove(path)
            removed.append(name)
            continue
        with (cache_dir / "locks" / name).open("w") as file:
            # Its bake may have ended, and tidied up itself, since the directory was listed.
            if _try_lock(file.fileno()) and os.path.lexists(path):
                _remove(path)
                removed.append(name)
    return removed


def _remove(path: Path) -> None:
    """Remove a directory, also one with files of mmdebstrap's unshare mode, which belong to other users."""
    if path.is_symlink():
        inner = path.readlink()
        if inner.is_dir():
            _remove(inner)
        if inner.parent.parent == OPEN_PLACE and inner.parent.is_dir():
            inner.parent.rmdir()
        path.unlink()
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        run(["mmdebstrap", "--unshare-helper", "rm", "-rf", str(path)], timeout_s=120.0, check=False)
        shutil.rmtree(path, ignore_errors=True)


def find(cache_dir: Path, stem: str) -> BakedImage | None:
    """The image of this file name stem, when it is there and whole."""
    manifest = cache_dir / f"{stem}.json"
    try:
        document: dict[str, Any] = json.loads(manifest.read_text())
        files = {role: (cache_dir / entry["name"], entry["size"]) for role, entry in document["files"].items()}
        whole = all(path.stat().st_size == size for path, size in files.values())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not whole or "root" not in files:
        return None
    paths = {role: path for role, (path, _) in files.items()}
    return BakedImage(
        name=document["name"],
        suite=document["suite"],
        key=document["key"],
        root=paths["root"],
        kernel=paths.get("kernel"),
        initrd=paths.get("initrd"),
        manifest=manifest,
        log=cache_dir / "logs" / f"{stem}.log",
        cached=True,
    )


def store(cache_dir: Path, stem: str, files: dict[str, tuple[Path, str]], manifest: dict[str, Any]) -> None:
    """Give finished files their names, the manifest last.

    Args:
        cache_dir: the cache.
        stem: file name stem of the image.
        files: role to (path in the work directory, suffix of the file name).
        manifest: document to complete with the files.
    """
    entries = {
        role: {"name": f"{stem}{suffix}", "size": path.stat().st_size, "sha256": _sha256(path)}
        for role, (path, suffix) in files.items()
    }
    work = next(path.parent for path, _ in files.values())
    draft = work / "manifest.json"
    draft.write_text(json.dumps({**manifest, "files": entries}, indent=1, sort_keys=True) + "\n")
    for path, suffix in files.values():
        publish(path, cache_dir / f"{stem}{suffix}")
    publish(draft, cache_dir / f"{stem}.json")


def publish(draft: Path, target: Path) -> None:
    """Give a finished file its name in one step, once its content is on the disk."""
    draft.chmod(0o644)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    try:
        draft.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Built on another file system, see OPEN_PLACE.
        nearer = target.with_name(f".{target.name}.new")
        shutil.copyfile(draft, nearer)
        publish(nearer, target)
        draft.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
