"""What pre-flight looks at, and what it finds. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Literal

Severity = Literal["ok", "warning", "failure"]

#: icmp(7): who may open the kernel's echo socket. Debian 13's ping has no privilege of its own and needs that, too; the
#: package with the setting is only recommended.
ECHO_SETTING = "sysctl -w net.ipv4.ping_group_range='0 2147483647'"
ECHO_REMEDY = f"As root, install linux-sysctl-defaults (Debian 13 and later), or type {ECHO_SETTING}"
#: Name of the finding about it.
ECHO = "ICMP echo"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: what was looked at, a short noun.
        severity: ``failure`` keeps the lab from coming up, ``warning`` does not.
        message: what was found, one sentence without a final full stop.
        remedy: what to do about it; empty when all is well.
    """

    name: str
    severity: Severity
    message: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether it does not keep the lab from coming up."""
        return self.severity != "failure"


@dataclass(frozen=True)
class Owned:
    """An object of the host's libvirt: its UUID as text, and whether it is running."""

    uuid: str
    active: bool


@dataclass(frozen=True)
class Route:
    """A route of the host: an IPv4 network and the device it leads to (empty for none)."""

    destination: IPv4Network
    device: str


@dataclass(frozen=True)
class Space:
    """Free space where something will be written: path, the file system's device number, MiB."""

    path: str
    device: int
    free_mib: int


@dataclass(frozen=True)
class HostFacts:
    """What pre-flight looks at, all of it.

    Args:
        architecture: as ``uname -m`` tells it.
        cpu_count: CPUs this process may use.
        memory_available_mib: memory that can be given to new processes, MiB.
        pool_space, cache_space: where the lab's volumes and the baked images go.
        tools: tool to its version; empty for one that is missing, ``?`` for one that tells no version.
        libvirt_version: empty when libvirt cannot be reached.
        libvirt_error: why it cannot be reached.
        routes: routes of the main table with a destination; default routes are not among them.
        links: names of all network devices.
        domains, networks, pools: the host's libvirt objects by name.
        images_baked: whether the image cache holds anything.
        is_root: whether this is root, who alone can make network devices.
        dns_listeners: addresses at which a program of this host listens on port 53.
        echo_refusal: why this user may send no ICMP echo; empty when it may.
    """

    architecture: str
    cpu_count: int
    memory_available_mib: int
    pool_space: Space
    cache_space: Space
    tools: Mapping[str, str]
    libvirt_version: str = ""
    libvirt_error: str = ""
    routes: tuple[Route, ...] = ()
    links: frozenset[str] = frozenset()
    domains: Mapping[str, Owned] = field(default_factory=dict)
    networks: Mapping[str, Owned] = field(default_factory=dict)
    pools: Mapping[str, Owned] = field(default_factory=dict)
    images_baked: bool = False
    is_root: bool = True
    dns_listeners: frozenset[str] = frozenset()
    echo_refusal: str = ""
