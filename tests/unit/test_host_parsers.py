from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as some

from lab.core.errors import LabError
from lab.core.host_facts import Route
from lab.drivers.host import parse_memory_available_mib, parse_routes, parse_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", "7.2.22"),
        ("mmdebstrap 1.3.5", "1.3.5"),
        ("\nmke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS Library version 1.47.0", "1.47.0"),
        ("Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley", "2.90"),
        ("\n SIPp v3.6.1-SCTP-PCAP-RTPSTREAM.\n", "3.6.1"),
        ("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19 27 Jan 2026", "9.2p1"),
        ("*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***", "1.5.4"),
        ("ip utility, iproute2-6.1.0, libbpf 1.1.2", "6.1.0"),
        ("Usage: fence_virtd [options]", ""),
    ],
)
def test_versions_as_tools_tell_them(text: str, version: str) -> None:
    assert parse_version(text) == version


def test_memory_available() -> None:
    meminfo = "MemTotal:       24684000 kB\nMemFree:  1 kB\nMemAvailable:   20480000 kB\n"
    assert parse_memory_available_mib(meminfo) == 20000
    with pytest.raises(LabError):
        parse_memory_available_mib("MemTotal: 1 kB\n")


def test_routes_leave_out_the_default_and_keep_routes_to_nowhere() -> None:
    text = (
        '[{"dst":"default","gateway":"203.0.113.1","dev":"eth0"},{"dst":"203.0.113.0/24","dev":"eth0"},'
        '{"type":"blackhole","dst":"10.9.0.0/16"},{"dst":"10.1.1.1","dev":"wg0"}]'
    )
    assert parse_routes(text) == (
        Route(IPv4Network("203.0.113.0/24"), "eth0"),
        Route(IPv4Network("10.9.0.0/16"), ""),
        Route(IPv4Network("10.1.1.1/32"), "wg0"),
    )
    assert parse_routes("") == ()


@given(some.text())
def test_routes_are_parsed_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_routes(text), tuple)
    except LabError as error:
        assert "ip -j route" in error.message
