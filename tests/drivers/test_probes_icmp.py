"""The echo probe on the loopback interface, by each of its ways that this process is permitted."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from probe_daemons import GATEWAY, NOWHERE, address

from lab.drivers.probes import icmp, probe_icmp

pytestmark = pytest.mark.filterwarnings("error")


def test_a_machine_answers() -> None:
    result = probe_icmp(address(21), GATEWAY, 5, guest="Passata")
    assert result.ok, result
    assert (result.service, result.target) == ("icmp", str(address(21)))
    assert result.latency_ms < 1000


def test_many_echoes_at_once_are_told_apart() -> None:
    with ThreadPoolExecutor(max_workers=16) as pool:
        assert all(pool.map(lambda _: probe_icmp(address(21), GATEWAY, 5).ok, range(64)))


def test_silence_ends_at_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    # A type that no machine answers (RFC 4727 keeps 253 for experiments): nothing on loopback is silent otherwise.
    monkeypatch.setattr(icmp, "ECHO_REQUEST", 253)
    monkeypatch.setattr(
        icmp, "_echo_socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    )
    result = probe_icmp(address(21), GATEWAY, 0.3)
    assert not result.ok
    assert result.detail == "no valid answer within 0.3 s"
    assert 290 < result.latency_ms < 1000


def test_ping_helps_where_there_is_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp, "_echo_socket", lambda: None)
    result = probe_icmp(address(21), GATEWAY, 5)
    assert result.ok, result
    assert result.detail == "echo reply (by ping)"


def test_a_missing_ping_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp, "_echo_socket", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    result = probe_icmp(address(21), GATEWAY, 5)
    assert not result.ok
    assert "cannot start ping" in result.detail


def test_who_may_open_a_socket_may_send_an_echo() -> None:
    assert icmp.echo_refusal() == ""


@pytest.mark.parametrize(
    ("script", "refusal"),
    [
        ("exit 0", ""),
        ("exit 1", ""),
        (
            "printf 'ping: socktype: SOCK_RAW\\nping: socket: Operation not permitted\\n' >&2; exit 2",
            "ping: socktype: SOCK_RAW ping: socket: Operation not permitted",
        ),
    ],
    ids=["answered", "not answered", "not permitted"],
)
def test_without_a_socket_ping_tells_whether_an_echo_may_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, refusal: str
) -> None:
    ping = tmp_path / "ping"
    ping.write_text(f"#!/bin/sh\n{script}\n")
    ping.chmod(0o755)
    monkeypatch.setattr(icmp, "_echo_socket", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert icmp.echo_refusal() == refusal


def test_without_the_source_address_the_network_is_not_up() -> None:
    result = probe_icmp(address(21), NOWHERE, 5)
    assert not result.ok
    assert "the lab's network is not up" in result.detail
