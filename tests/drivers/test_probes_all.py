"""All guests of a lab asked at once, with a real daemon for each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from probe_daemons import (
    LAB,
    PORTS,
    SECRETS,
    exchange,
    name_servers,
    radius_servers,
    server_of,
    web_server,
)

from lab.core.errors import LabError
from lab.core.service_result import all_served, not_served, served_guests
from lab.drivers.probes import probe_all

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """All the daemons; the rows of the web page."""
    work = tmp_path_factory.mktemp("all")
    with name_servers(work), radius_servers(work), exchange(work), web_server(server_of("Soldi")) as stored:
        yield stored


def test_every_service_is_really_used(rows: list[str], tmp_path: Path) -> None:
    results = probe_all(LAB, SECRETS, timeout_s=15, thorough=True, work=tmp_path, ports=PORTS)
    assert not_served(results) == ()
    assert [(result.guest, result.service) for result in results] == [
        ("Passata", "dns"),
        ("Passata", "dns"),
        ("Speedauth", "radius-access"),
        ("Speedauth", "radius-reject"),
        ("Speedauth", "radius-accounting"),
        ("Masterauth", "radius-access"),
        ("Masterauth", "radius-reject"),
        ("Masterauth", "radius-accounting"),
        ("Soldi", "http"),
        ("SimplesIP", "sip-call"),
    ]
    assert len(rows) == 1
    assert (tmp_path / "call-101.csv").exists()


def test_a_quick_look_is_one_request_each_and_writes_nothing(rows: list[str]) -> None:
    before = list(rows)
    results = probe_all(LAB, SECRETS, timeout_s=5, thorough=False, ports=PORTS)
    assert all_served(results), results
    assert [result.service for result in results] == ["dns", "radius-access", "radius-access", "http", "sip-options"]
    assert rows == before


def test_the_one_that_is_down_is_named(rows: list[str]) -> None:
    ports = dataclasses.replace(PORTS, http=1)
    results = probe_all(LAB, SECRETS, timeout_s=5, thorough=False, ports=ports)
    verdicts = {"Passata": True, "Speedauth": True, "Masterauth": True, "Soldi": False, "SimplesIP": True}
    assert served_guests(results) == verdicts
    assert not all_served(results)


@pytest.mark.parametrize("thorough", [False, True])
def test_a_lab_that_is_down_is_told_without_a_packet(thorough: bool) -> None:
    down = dataclasses.replace(
        LAB, network=dataclasses.replace(LAB.network, service_subnet=IPv4Network("192.0.2.0/24"))
    )
    results = probe_all(down, SECRETS, timeout_s=5, thorough=thorough)
    assert len(results) == (10 if thorough else 5)
    assert all("the lab's network is not up" in result.detail and not result.ok for result in results)


def test_a_lab_without_guests_serves_nobody() -> None:
    assert probe_all(dataclasses.replace(LAB, guests=()), SECRETS, timeout_s=5, thorough=True) == []


def test_no_time_is_misuse() -> None:
    with pytest.raises(LabError, match="cannot end within"):
        probe_all(LAB, SECRETS, timeout_s=0, thorough=False)
