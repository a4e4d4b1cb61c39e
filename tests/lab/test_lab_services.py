"""Services as their clients see them, from the lab's gateway address on the host."""

from __future__ import annotations

import pytest

from lab.core.model import Guest
from lab.core.service_result import ProbeResult

Served = dict[str, list[ProbeResult]]


def require(served: Served, kind: str, count: int = 1) -> None:
    """So many requests of a kind were made, and every one was served."""
    results = served.get(kind, [])
    assert [result.as_line() for result in results if not result.ok] == []
    assert len(results) == count


def test_every_guest_was_asked_and_served(guest: Guest, served: Served) -> None:
    results = [result for kind in served.values() for result in kind]
    assert results, f"{guest.name} was not asked"
    assert [result.as_line() for result in results if not result.ok] == []


@pytest.mark.service("dns")
def test_recursive_server_resolves_new_and_known_names(served: Served) -> None:
    require(served, "dns", 2)


@pytest.mark.service("radius")
@pytest.mark.parametrize("kind", ["radius-access", "radius-reject", "radius-accounting"])
def test_radius_server_accepts_rejects_and_records(served: Served, kind: str) -> None:
    require(served, kind)


@pytest.mark.service("web")
def test_page_stores_a_row_and_shows_it(served: Served) -> None:
    require(served, "http")


@pytest.mark.service("telephony")
def test_two_extensions_register_and_talk(served: Served) -> None:
    require(served, "sip-call")
