"""The guest store: one tar with the disks, kernels and initrds of all guests, which the nodes see as a raw disk."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.core.errors import LabError
from lab.drivers import image_cache
from lab.drivers.image_cache import BakedImage

#: A raw disk has whole sectors; libvirt pools round to this anyway.
BLOCK_BYTES = 2**20


def guest_store(
    images: Sequence[BakedImage], cache_dir: Path, *, report: Callable[[str], None] = lambda _step: None
) -> Path:
    """The store of these images, out of the cache or made now; the same images give the same bytes and name.

    Members: ``<image name>.qcow2`` per image, ``guest-<suite>-vmlinuz`` and ``guest-<suite>-initrd`` per suite (of the
    image whose name comes first; any guest of the suite runs with it, because guests hold no modules themselves).

    Args:
        images: the baked images of guests, each once or more often.
        cache_dir: directory of the image cache.
        report: told when the store has to be made.

    Raises:
        LabError: an image has no kernel or initrd, or two different images have the same name.
    """
    members = _members(images)
    store = cache_dir / store_name(images)
    if store.is_file():
        return store
    image_cache.prepare(cache_dir)
    with image_cache.lock(cache_dir, "guests", wait_s=600.0):
        if store.is_file():
            return store
        report("collecting the guests' disks")
        with image_cache.work_directory(cache_dir, "guests") as work:
            draft = work / store.name
            _write(draft, {name: path for name, (path, _) in members.items()})
            image_cache.publish(draft, store)
    return store


def store_name(images: Sequence[BakedImage]) -> str:
    """File name of the store of these images, whether it has been made or not; it changes with any of them."""
    digest = hashlib.sha256()
    for name, (_, identity) in _members(images).items():
        digest.update(f"{name} {identity}\n".encode())
    return f"guests-{digest.hexdigest()[:16]}.tar"


def _members(images: Sequence[BakedImage]) -> dict[str, tuple[Path, str]]:
    """Name of each member to its file and what identifies its content, sorted by name."""
    members: dict[str, tuple[Path, str]] = {}
    for image in sorted(images, key=lambda each: (each.name, each.suite, each.key)):
        disk = f"{image.name}.qcow2"
        if members.get(disk, (image.root, ""))[0] != image.root:
            raise LabError(
                f"two different images are called {image.name}",
                remedy="use one suite for each recipe of guests in a lab",
            )
        if image.kernel is None or image.initrd is None:
            raise LabError(
                f"the image {image.name} has no kernel and initrd",
                remedy="guests start by direct kernel boot: bake them from a recipe",
            )
        members[disk] = (image.root, image.key)
        members.setdefault(f"guest-{image.suite}-vmlinuz", (image.kernel, image.key))
        members.setdefault(f"guest-{image.suite}-initrd", (image.initrd, image.key))
    return dict(sorted(members.items()))


def _write(path: Path, members: dict[str, Path]) -> None:
    try:
        with tarfile.open(path, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, source in members.items():
                member = tarfile.TarInfo(name)
                member.size = source.stat().st_size
                member.mode = 0o644
                with source.open("rb") as file:
                    archive.addfile(member, file)
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(size + -size % BLOCK_BYTES)
    except OSError as error:
        raise LabError(
            f"the guest store cannot be written: {error.strerror}",
            remedy="make room, or empty the image cache with lab.prune",
            details=[str(path)],
        ) from error
