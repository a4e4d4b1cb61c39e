"""Emptying the cache: the baked images, their copies in libvirt's cache pool, and the kept saves of labs."""

from __future__ import annotations

import shutil

from lab.core.addressing import pool_uuid
from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.drivers import kept_saves, source_package
from lab.drivers.hypervisor import CACHE_POOL, Hypervisor
from lab.drivers.lab_images import cache_folder
from lab.workflows.options import Options


def prune(_options: Options) -> Outcome:
    """Empty the image cache, forget kept saves and fetched sources; refused while a lab uses it.

    Raises:
        LabError: there are labs whose disks are overlays on cached images.
    """
    hypervisor = Hypervisor()
    try:
        labs = sorted({domain.lab for domain in hypervisor.owned_domains()})
        if labs:
            raise LabError(
                f"the cached images are in use by: {', '.join(labs)}",
                remedy="Remove these labs first with ./inv lab.down",
            )
        kept = remove_kept(hypervisor)
        removed = hypervisor.has_pool(CACHE_POOL) and hypervisor.remove_pool(CACHE_POOL)
    finally:
        hypervisor.close()
    folder = cache_folder()
    size_mib = (
        sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 2**20 if folder.exists() else 0
    )
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(source_package.cache_folder(), ignore_errors=True)
    text = (
        f"The image cache is empty; {size_mib} MiB were removed."
        if size_mib or removed
        else "The image cache was empty."
    )
    if kept:
        text += f" Kept saves were removed of: {', '.join(kept)}."
    return Outcome(text, {"removed_mib": size_mib, "kept": kept})


def remove_kept(hypervisor: Hypervisor) -> list[str]:
    """Remove the saves that are kept of labs that are down; returns the names of these labs."""
    names = kept_saves.names()
    for name in names:
        kept_saves.discard(name)
        hypervisor.remove_pool(name, str(pool_uuid(name, "host")))
    return names
