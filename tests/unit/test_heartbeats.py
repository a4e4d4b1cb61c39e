"""The guests' heartbeats: what a record says, and what two readings of them mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.drills.heartbeats import (
    HEARTBEAT_AUDIT,
    Heartbeat,
    audit_heartbeats,
    parse_heartbeat,
    standing_still,
)

BEFORE = Heartbeat("a", 10, 0, "-")
AFTER = Heartbeat("a", 20, 0, "-")


def readings(brina: Heartbeat | None, piova: Heartbeat | None) -> dict[str, dict[str, Heartbeat | None]]:
    return {"brina": {"Passata": brina}, "piova": {"Passata": piova}}


def test_a_record_is_read() -> None:
    line = "heartbeat 57ea3936-cbc3-40c8-b2fa-d1eadf75cfcf 7 15175.39 1 e7f0e458-c952-4a8b-8c7a-e093d247ae46/3"
    assert parse_heartbeat(line) == Heartbeat(
        "57ea3936-cbc3-40c8-b2fa-d1eadf75cfcf", 7, 1, "e7f0e458-c952-4a8b-8c7a-e093d247ae46/3"
    )


@pytest.mark.parametrize(
    "line",
    ["", "heartbeat", "heartbeat a 7 1.0 x -", "heartbeat a -7 1.0 0 -", "other a 7 1.0 0 -", "heartbeat a 7 1.0 0"],
)
def test_anything_else_is_no_record(line: str) -> None:
    assert parse_heartbeat(line) is None


@given(st.text())
def test_reading_never_fails(line: str) -> None:
    parse_heartbeat(line)


@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_numbers_survive(sequence: int, strangers: int) -> None:
    assert parse_heartbeat(f"heartbeat a {sequence} 1.0 {strangers} b/1") == Heartbeat("a", sequence, strangers, "b/1")


def test_heartbeats_that_went_on_are_evidence() -> None:
    found = audit_heartbeats(readings(BEFORE, BEFORE), readings(AFTER, AFTER), ["Passata"])
    assert (found.name, found.ok) == (HEARTBEAT_AUDIT, True)
    assert found.findings == ("1 heartbeats went on, read on brina and piova",)


def test_a_guest_that_started_anew_has_gone_on() -> None:
    again = Heartbeat("b", 1, 0, "-")
    assert audit_heartbeats(readings(BEFORE, BEFORE), readings(again, again), ["Passata"]).ok


def test_another_writer_is_found_on_whichever_copy_tells_of_it() -> None:
    told = Heartbeat("a", 20, 3, "b/7")
    found = audit_heartbeats(readings(BEFORE, BEFORE), readings(AFTER, told), ["Passata"])
    assert not found.ok
    assert found.findings == ("Passata found another writer at its heartbeat, 3 times: b/7",)


def test_what_was_found_before_the_drill_is_no_matter_of_it() -> None:
    early, late = Heartbeat("a", 10, 2, "b/7"), Heartbeat("a", 20, 2, "b/7")
    assert audit_heartbeats(readings(early, early), readings(late, late), ["Passata"]).ok


def test_silence_proves_nothing() -> None:
    found = audit_heartbeats(readings(BEFORE, BEFORE), readings(AFTER, BEFORE), ["Passata"])
    assert not found.ok
    assert found.findings == ("Passata's heartbeat, read on piova, stood still",)
    found = audit_heartbeats(readings(None, None), readings(None, None), ["Passata"])
    assert not found.ok
    assert found.findings[0].startswith("Passata's heartbeat, read on brina, was never written (lab.down")
    assert audit_heartbeats({}, {}, ["Passata"]).findings == ("no node could be read",)
    # Written for the first time since the beginning.
    assert standing_still(readings(None, None), readings(AFTER, AFTER), ["Passata"]) == []
