"""Work on several domains at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab.drivers.hypervisor import OwnedDomain


def side_by_side(domains: Sequence[OwnedDomain], work: Callable[[OwnedDomain], Any]) -> list[Any]:
    """Do the work for every domain at the same time; all end before the first failure is raised."""
    if not domains:
        return []
    with ThreadPoolExecutor(max_workers=len(domains)) as pool:
        futures = [pool.submit(work, domain) for domain in domains]
    return [future.result() for future in futures]
