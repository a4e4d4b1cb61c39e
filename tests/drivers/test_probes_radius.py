"""The RADIUS probes against FreeRADIUS."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from probe_daemons import GATEWAY, NOWHERE, PORTS, SECRETS, address, radius_servers, server_of

from lab.core.errors import LabError
from lab.core.service_result import ProbeResult
from lab.drivers.probes import probe_radius_accept, probe_radius_accounting, probe_radius_reject

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module", autouse=True)
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of accounting records."""
    with radius_servers(tmp_path_factory.mktemp("radius")) as accounting:
        yield accounting


def accept(
    *,
    server: IPv4Address | None = None,
    source: IPv4Address = GATEWAY,
    secret: str = SECRETS.radius_secret,
    password: str = SECRETS.radius_password,
    timeout_s: float = 5,
) -> ProbeResult:
    return probe_radius_accept(
        server or server_of("Speedauth"),
        source,
        secret,
        password,
        timeout_s,
        guest="Speedauth",
        port=PORTS.radius_authentication,
    )


def account(session: str = "", secret: str = SECRETS.radius_secret, timeout_s: float = 5) -> ProbeResult:
    return probe_radius_accounting(
        server_of("Masterauth"), GATEWAY, secret, timeout_s, session=session, port=PORTS.radius_accounting
    )


def reject(username: str) -> ProbeResult:
    return probe_radius_reject(
        server_of("Speedauth"),
        GATEWAY,
        SECRETS.radius_secret,
        5,
        username=username,
        guest="Speedauth",
        port=PORTS.radius_authentication,
    )


def test_the_subscriber_is_let_in() -> None:
    result = accept()
    assert result.ok, result
    assert result.detail == "Access-Accept for subscriber"
    assert (result.service, result.guest) == ("radius-access", "Speedauth")


def test_a_refused_subscriber_is_not_served() -> None:
    result = accept(password="another password")
    assert not result.ok
    assert result.detail == "subscriber: Access-Reject instead of Access-Accept"


def test_a_wrong_password_is_rejected() -> None:
    result = reject("subscriber")
    assert result.ok, result
    assert "Access-Reject" in result.detail


def test_a_server_that_lets_anybody_in_is_found_out() -> None:
    result = reject("anyone")
    assert not result.ok
    assert "Access-Accept instead of Access-Reject" in result.detail


def test_an_accounting_record_is_kept(records: Path) -> None:
    result = account("session-of-this-test")
    assert result.ok, result
    kept = records.read_text()
    assert '"session-of-this-test"' in kept
    assert "Acct-Status-Type = Start" in kept
    assert f"NAS-IP-Address = {GATEWAY}" in kept


def test_sessions_have_names_of_their_own() -> None:
    first, second = account(), account()
    assert first.ok and second.ok
    assert first.detail != second.detail


@pytest.mark.parametrize("probe", [accept, account])
def test_another_shared_secret_gets_no_valid_answer(probe: object) -> None:
    assert callable(probe)
    result = probe(secret="not-the-shared-secret", timeout_s=0.5)
    assert not result.ok
    assert result.detail == "no valid answer within 0.5 s"
    assert result.latency_ms < 1500


def test_a_client_that_the_server_does_not_know_is_not_answered() -> None:
    result = accept(source=address(7), timeout_s=0.4)
    assert not result.ok
    assert "no valid answer" in result.detail


def test_a_forged_accept_does_not_count() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
        forger.bind((str(address(98)), PORTS.radius_authentication))
        forger.settimeout(2)

        def forge() -> None:
            request, client = forger.recvfrom(4096)
            forger.sendto(b"\x02" + request[1:2] + b"\x00\x14" + bytes(16), client)

        thread = threading.Thread(target=forge)
        thread.start()
        result = accept(server=address(98), timeout_s=0.4)
        thread.join()
    assert not result.ok
    assert "no valid answer" in result.detail


def test_a_closed_port_is_told_at_once() -> None:
    result = accept(server=address(99), timeout_s=30)
    assert not result.ok
    assert "refused" in result.detail
    assert result.latency_ms < 1000


def test_without_the_source_address_the_network_is_not_up() -> None:
    result = accept(source=NOWHERE)
    assert not result.ok
    assert "the lab's network is not up" in result.detail


def test_a_request_without_a_secret_is_misuse() -> None:
    with pytest.raises(LabError, match="needs a secret"):
        accept(secret="")
