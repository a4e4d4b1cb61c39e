"""Volumes that come out of a bundle: filled under their names, counted only when all of the bundle was right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from lab.core.addressing import pool_uuid
from lab.core.errors import LabError
from lab.core.model import LabImages
from lab.drivers import volume_stream
from lab.drivers.hypervisor import CACHE_POOL, Hypervisor


def images_of(images: LabImages) -> list[str]:
    """Names of the volumes of the cache pool that a lab needs."""
    names = {
        *images.node_volume.values(),
        *images.kernel_volume.values(),
        *images.initrd_volume.values(),
        images.guest_store_volume,
    }
    return sorted(name for name in names if name)


class Volumes:
    """What one import has put into libvirt's pools.

    Args:
        hypervisor: the connection.
        pool: the lab's own pool, which was made for it.
        mark: ending of the tiny volumes that say of images that they are complete.
    """

    def __init__(self, hypervisor: Hypervisor, pool: str, mark: str) -> None:
        self._hypervisor, self._pool, self._mark = hypervisor, pool, mark
        self._there = hypervisor.volume_names(CACHE_POOL)
        self._new: list[str] = []

    def require_space(self, size: int) -> None:
        """Refuse to begin what cannot fit.

        Raises:
            LabError: the pool has less free space than this many bytes.
        """
        free = self._hypervisor.connection.storagePoolLookupByName(self._pool).info()[3]
        if free < size:
            raise LabError(
                f"the disks of the bundle need {size // 2**20} MiB, and {free // 2**20} MiB are free",
                remedy="Free some disk space; nothing was changed",
            )

    def take_disk(self, name: str, size: int, blocks: Iterator[bytes]) -> None:
        """Fill a new volume of the lab's own pool."""
        self._fill(self._pool, name, size, blocks)

    def take_image(self, name: str, size: int, blocks: Iterator[bytes], *, used: Sequence[str]) -> None:
        """Fill a volume of the cache pool, unless it has this very content already.

        Images of one name are made of the same recipe, and yet differ when packages had other versions on the day.

        Args:
            name: name of the volume.
            size: size of the content in bytes.
            blocks: the content.
            used: labs whose disks may be based on an image of that name.

        Raises:
            LabError: there is another image of this name, and it is in use.
        """
        if {name, name + self._mark} <= self._there:
            if self._same(name, size, blocks):
                return
            remedy = f"Remove {', '.join(used)} with ./inv lab.down --no-cache first" if used else ""
            raise LabError(
                f"the image {name} of this machine was baked of other package versions than that in the bundle",
                remedy=remedy or "./inv lab.prune removes it, then import again",
            )
        self._hypervisor.delete_volume(CACHE_POOL, name + self._mark)
        self._hypervisor.delete_volume(CACHE_POOL, name)
        self._new.append(name)
        self._fill(CACHE_POOL, name, size, blocks)

    def finish(self) -> None:
        """Note that the images are complete."""
        for name in self._new:
            self._hypervisor.upload_volume(CACHE_POOL, name + self._mark, b"complete\n")

    def undo(self) -> None:
        """Remove everything again; what cannot be removed does not count."""
        for name in self._new:
            for each in (name + self._mark, name):
                with suppress(LabError):
                    self._hypervisor.delete_volume(CACHE_POOL, each)
        with suppress(LabError):
            self._hypervisor.remove_pool(self._pool, str(pool_uuid(self._pool, "host")))

    def _same(self, name: str, size: int, blocks: Iterator[bytes]) -> bool:
        ours, theirs = hashlib.sha256(), hashlib.sha256()
        for block in blocks:
            theirs.update(block)
        volume = self._volume(CACHE_POOL, name)
        if volume_stream.size_of(volume) != size:
            return False
        for block in volume_stream.blocks_of(self._hypervisor.connection, volume, size):
            ours.update(block)
        return ours.digest() == theirs.digest()

    def _volume(self, pool: str, name: str) -> Any:
        return self._hypervisor.connection.storagePoolLookupByName(pool).storageVolLookupByName(name)

    def _fill(self, pool: str, name: str, size: int, blocks: Iterator[bytes]) -> None:
        xml = (
            f"<volume><name>{name}</name><capacity unit='bytes'>{size}</capacity>"
            "<allocation unit='bytes'>0</allocation><target><format type='raw'/>"
            "<permissions><mode>0600</mode></permissions></target></volume>"
        )
        volume = self._hypervisor.connection.storagePoolLookupByName(pool).createXML(xml, 0)
        volume_stream.fill_with(self._hypervisor.connection, volume, blocks, size)
