"""What results of probes add up to."""

from __future__ import annotations

import dataclasses

import pytest

from lab.core.service_result import ProbeResult, all_served, not_served, served_guests

GOOD = ProbeResult("dns", "Passata", "10.64.0.21:53", True, "www.provider.example is 192.0.2.80", 1.23456789)
BAD = ProbeResult("http", "Soldi", "10.64.0.24:80", False, "connection refused", 0.5)
NODE = ProbeResult("icmp", "", "10.64.0.11", True, "echo reply", 0.1)


def test_nothing_asked_is_nothing_proven() -> None:
    assert not all_served([])


def test_one_failure_is_enough() -> None:
    assert all_served([GOOD, NODE])
    assert not all_served([GOOD, BAD])
    assert not_served([GOOD, BAD, NODE]) == (BAD,)


def test_a_guest_serves_when_all_its_answers_were_right() -> None:
    second = dataclasses.replace(GOOD, ok=False)
    assert served_guests([GOOD, BAD, NODE]) == {"Passata": True, "Soldi": False}
    assert served_guests([GOOD, second]) == served_guests([second, GOOD]) == {"Passata": False}


def test_a_result_as_document_and_as_line() -> None:
    assert GOOD.as_document() == {
        "service": "dns",
        "guest": "Passata",
        "target": "10.64.0.21:53",
        "ok": True,
        "detail": "www.provider.example is 192.0.2.80",
        "latency_ms": 1.235,
    }
    assert BAD.as_line() == "http Soldi (10.64.0.24:80): FAILED, connection refused [0.5 ms]"
    assert NODE.as_line() == "icmp 10.64.0.11: ok, echo reply [0.1 ms]"


def test_a_result_is_never_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.ok = False  # type: ignore[misc]
