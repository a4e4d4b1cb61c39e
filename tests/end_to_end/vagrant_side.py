"""What Vagrant does to a host, and Vagrant as a person types it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from lab.drivers.hypervisor import CACHE_POOL, Hypervisor
from tests.end_to_end.conftest import host_state

VAGRANT_LIMIT_S = 900


def vagrant_state(name: str) -> dict[str, Any]:
    """The host as far as a lab of this name and Vagrant can change it; images in the cache stay."""
    hypervisor = Hypervisor()
    try:
        pools = [pool for pool in hypervisor.connection.listAllStoragePools() if pool.isActive()]
        volumes = {pool.name(): sorted(pool.listVolumes()) for pool in pools if pool.name() != CACHE_POOL}
        cached = {volume for volume in hypervisor.volume_names(CACHE_POOL) if name in volume or "vagrant" in volume}
    finally:
        hypervisor.close()
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    home = Path.home() / ".vagrant.d"
    return host_state() | {
        "volumes": volumes,
        "cached": cached,
        "processes": sorted(line for line in lines if name in line and "pytest" not in line),
        "home": sorted(str(path) for path in home.rglob("*")) if home.exists() else [],
        "logs": sorted(path.name for path in Path("/var/log/libvirt/qemu").glob(f"{name}*")),
    }


def vagrant(*words: str, folder: Path, home: Path) -> str:
    """Vagrant as a person types it in the lab's folder; what it printed."""
    done = subprocess.run(
        ["vagrant", *words],
        cwd=folder,
        env={**os.environ, "VAGRANT_HOME": str(home), "VAGRANT_NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=VAGRANT_LIMIT_S,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def drivers_of(name: str) -> set[str]:
    """Who has defined the domains of the lab that there are."""
    hypervisor = Hypervisor()
    try:
        return {domain.driver for domain in hypervisor.owned_domains(name)}
    finally:
        hypervisor.close()
