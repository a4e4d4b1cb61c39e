"""The host's facts for pre-flight: processors, memory, disks, tools, routes, and what its libvirt already holds."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import libvirt

from lab.core.errors import LabError
from lab.core.host_facts import HostFacts, Owned, Route, Space
from lab.core.parsers.sockets import listening_addresses
from lab.doors.process import ProcessError, run
from lab.drivers.probes.icmp import echo_refusal

LIBVIRT_URI = "qemu:///system"
IMAGES = Path("/var/lib/libvirt/images")
CACHE = IMAGES / "ha-lab-cache"
#: Each tool with the arguments that make it tell its version, some on standard error or with an odd exit code;
#: fence_virtd tells none, and anything but -h would start it.
TOOLS: Mapping[str, tuple[str, ...]] = {
    "qemu-system-x86_64": ("--version",),
    "qemu-img": ("--version",),
    "mmdebstrap": ("--version",),
    "mke2fs": ("-V",),
    "dnsmasq": ("--version",),
    "fence_virtd": ("-h",),
    "ovs-vswitchd": ("--version",),
    "ovsdb-server": ("--version",),
    "sipp": ("-v",),
    "ssh": ("-V",),
    "zstd": ("--version",),
    "ip": ("-V",),
}
DNS_PORT = 53
#: Sockets of this network namespace, readable by everybody (proc_net(5)).
LISTENERS = tuple(Path("/proc/net") / name for name in ("udp", "udp6", "tcp", "tcp6"))
_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_TOOL_LIMIT_S = 4.0


def gather(uri: str = "") -> HostFacts:
    """All facts of this host; nothing is created or changed.

    Args:
        uri: libvirt's URI; qemu:///system unless LIBVIRT_DEFAULT_URI says otherwise.

    Raises:
        LabError: a fact cannot be read that every Linux host has.
    """
    with ThreadPoolExecutor(max_workers=len(TOOLS)) as pool:
        versions = dict(zip(TOOLS, pool.map(tool_version, TOOLS), strict=True))
    held, version, error = _libvirt_facts(uri or os.environ.get("LIBVIRT_DEFAULT_URI", LIBVIRT_URI))
    return HostFacts(
        architecture=platform.machine(),
        cpu_count=len(os.sched_getaffinity(0)),
        memory_available_mib=parse_memory_available_mib(_text(Path("/proc/meminfo"))),
        pool_space=_space(IMAGES),
        cache_space=_space(CACHE),
        tools=versions,
        libvirt_version=version,
        libvirt_error=error,
        routes=_routes(),
        links=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        domains=held["domains"],
        networks=held["networks"],
        pools=held["pools"],
        images_baked=_holds_anything(CACHE),
        is_root=os.geteuid() == 0,
        dns_listeners=frozenset(
            address
            for path in LISTENERS
            if path.exists()
            for address in listening_addresses(_text(path), port=DNS_PORT)
        ),
        echo_refusal=echo_refusal(),
    )


def tool_version(tool: str) -> str:
    """Version of a tool; empty when it is missing, ``?`` when it tells none."""
    directories = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_DIRECTORIES))
    found = shutil.which(tool, path=directories)
    if not found:
        return ""
    try:
        result = run([found, *TOOLS[tool]], timeout_s=_TOOL_LIMIT_S, check=False)
    except ProcessError:
        return "?"
    return parse_version(result.stdout + "\n" + result.stderr) or "?"


def parse_version(text: str) -> str:
    """The first thing in a text that looks like a version, such as ``7.2.11`` or ``9.2p1``."""
    match = re.search(r"\d+\.\d+[\w.]*", text)
    return match.group(0).rstrip(".") if match else ""


def parse_memory_available_mib(meminfo: str) -> int:
    """MemAvailable of /proc/meminfo in MiB (proc_meminfo(5): its figures are KiB).

    Raises:
        LabError: there is no such line.
    """
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    if not match:
        raise LabError("/proc/meminfo has no MemAvailable", remedy="A Linux kernel of 3.14 or newer is needed")
    return int(match.group(1)) // 1024


def parse_routes(text: str) -> tuple[Route, ...]:
    """Routes with a destination from the output of ``ip -j -4 route``; default routes are left out.

    Raises:
        LabError: it is not such output.
    """
    try:
        entries = json.loads(text or "[]")
        return tuple(
            Route(IPv4Network(entry["dst"], strict=False), entry.get("dev", ""))
            for entry in entries
            if entry["dst"] != "default"
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"`ip -j route` said something unexpected: {error}", details=text.splitlines()[:5]) from error


def _routes() -> tuple[Route, ...]:
    try:
        return parse_routes(run(["ip", "-j", "-4", "route", "show"], timeout_s=_TOOL_LIMIT_S).stdout)
    except ProcessError as error:
        if error.result.returncode == 127:
            return ()  # the missing tool is a finding of its own
        raise


def _space(path: Path) -> Space:
    there = next(place for place in (path, *path.parents) if place.exists())
    return Space(str(path), there.stat().st_dev, shutil.disk_usage(there).free // 2**20)


def _holds_anything(directory: Path) -> bool:
    try:
        return any(directory.iterdir())
    except OSError:
        return False


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _libvirt_facts(uri: str) -> tuple[dict[str, dict[str, Owned]], str, str]:
    held: dict[str, dict[str, Owned]] = {"domains": {}, "networks": {}, "pools": {}}
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would print to the terminal
    try:
        # Not read-only: that is granted to everybody, also to who may not make a lab.
        connection = libvirt.open(uri)
    except libvirt.libvirtError as error:
        return held, "", error.get_error_message()
    try:
        listings: dict[str, Callable[[], list[Any]]] = {
            "domains": connection.listAllDomains,
            "networks": connection.listAllNetworks,
            "pools": connection.listAllStoragePools,
        }
        for kind, listing in listings.items():
            held[kind] = {item.name(): Owned(item.UUIDString(), bool(item.isActive())) for item in listing()}
        number = connection.getLibVersion()
    except libvirt.libvirtError as error:
        return held, "", error.get_error_message()
    finally:
        connection.close()
    return held, f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}", ""


__all__ = ["TOOLS", "gather", "parse_memory_available_mib", "parse_routes", "parse_version", "tool_version"]
