"""The DNS probe against a server that asks another one, and against that other one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from probe_daemons import AUTHORITY_PORT, GATEWAY, NOWHERE, PORTS, ZONE, address, name_servers, server_of

from lab.core.errors import LabError
from lab.core.service_result import ProbeResult
from lab.drivers.probes import CUSTOMER_ADDRESS, WWW_ADDRESS, probe_dns
from lab.drivers.probes.dns import fresh_name

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module", autouse=True)
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with name_servers(tmp_path_factory.mktemp("dns")):
        yield


def ask(
    name: str,
    expected: IPv4Address = WWW_ADDRESS,
    *,
    server: IPv4Address | None = None,
    source: IPv4Address = GATEWAY,
    timeout_s: float = 5,
    port: int = PORTS.dns,
) -> ProbeResult:
    return probe_dns(server or server_of("Passata"), source, name, expected, timeout_s, guest="Passata", port=port)


def test_a_name_never_asked_before_is_answered_by_recursion() -> None:
    first, second = fresh_name(ZONE), fresh_name(ZONE)
    assert first != second
    result = ask(first, CUSTOMER_ADDRESS)
    assert result.ok, result
    assert result.detail == f"{first} is {CUSTOMER_ADDRESS}, by recursion"
    assert (result.service, result.guest) == ("dns", "Passata")
    assert result.target == f"{server_of('Passata')}:{PORTS.dns}"
    assert 0 < result.latency_ms < 5000


def test_a_cached_answer_serves_too() -> None:
    assert ask(f"www.{ZONE}").ok
    assert ask(f"www.{ZONE}").ok


def test_an_authoritative_answer_is_not_recursion() -> None:
    result = ask(f"www.{ZONE}", server=GATEWAY, port=AUTHORITY_PORT)
    assert not result.ok
    assert "not recursion" in result.detail


@pytest.mark.parametrize(
    ("name", "expected", "fault"),
    [
        (f"www.{ZONE}", IPv4Address("192.0.2.99"), "expected 192.0.2.99, got 192.0.2.80"),
        (f"two.{ZONE}", WWW_ADDRESS, f"got {WWW_ADDRESS}, {CUSTOMER_ADDRESS}"),
        (f"text.{ZONE}", WWW_ADDRESS, "got no address"),
        (f"nobody.{ZONE}", WWW_ADDRESS, "answered NXDOMAIN"),
        ("www.elsewhere.example", WWW_ADDRESS, "answered REFUSED"),
    ],
)
def test_another_answer_does_not_serve(name: str, expected: IPv4Address, fault: str) -> None:
    result = ask(name, expected)
    assert not result.ok
    assert fault in result.detail


def test_a_client_that_the_server_refuses_is_not_served() -> None:
    result = ask(f"www.{ZONE}", source=IPv4Address("127.0.0.1"))
    assert not result.ok
    assert "REFUSED" in result.detail


def test_a_closed_port_is_told_at_once() -> None:
    result = ask(f"www.{ZONE}", server=address(99), timeout_s=30)
    assert not result.ok
    assert "refused" in result.detail
    assert result.latency_ms < 1000


def test_silence_ends_at_the_timeout() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((str(address(98)), PORTS.dns))
        result = ask(f"www.{ZONE}", server=address(98), timeout_s=0.3)
    assert not result.ok
    assert result.detail == "no valid answer within 0.3 s"
    assert 290 < result.latency_ms < 1000


def test_datagrams_that_answer_nothing_do_not_count_nor_extend_the_wait() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noisy:
        noisy.bind((str(address(97)), PORTS.dns))
        noisy.settimeout(2)

        def babble() -> None:
            query, client = noisy.recvfrom(4096)
            stranger = bytes([query[0] ^ 0xFF]) + query[1:2] + b"\x81\x80" + query[4:]
            for answer in (b"", b"no DNS", stranger) * 50:
                noisy.sendto(answer, client)

        thread = threading.Thread(target=babble)
        thread.start()
        result = ask(f"www.{ZONE}", server=address(97), timeout_s=0.3)
        thread.join()
    assert not result.ok
    assert "no valid answer" in result.detail
    assert result.latency_ms < 1000


def test_without_the_source_address_nothing_is_sent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((str(address(96)), PORTS.dns))
        server.settimeout(0.2)
        result = ask(f"www.{ZONE}", server=address(96), source=NOWHERE)
        assert not result.ok
        assert result.detail == f"the lab's network is not up: no interface of this machine has the address {NOWHERE}"
        with pytest.raises(TimeoutError):
            server.recv(1)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_probe_without_time_is_misuse(timeout_s: float) -> None:
    with pytest.raises(LabError, match="cannot end within"):
        ask(f"www.{ZONE}", timeout_s=timeout_s)


@pytest.mark.parametrize("source", ["0.0.0.0", "224.0.0.1", "255.255.255.255"])
def test_a_source_that_binds_to_nothing_is_misuse(source: str) -> None:
    with pytest.raises(LabError, match="cannot speak from"):
        ask(f"www.{ZONE}", source=IPv4Address(source))


def test_a_name_that_is_none_is_misuse() -> None:
    with pytest.raises(LabError, match="not a domain name"):
        ask("www..example")
