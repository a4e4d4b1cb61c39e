"""Drills on the whole lab: a node without power, and planned maintenance; measured and audited.

They take a quarter of an hour on two emulated cores; ``./inv test.lab --drills`` is nothing but them. What they have to
hold are the audits: the default topology has no objectives, because how long services are away depends on
the machine.
"""

from __future__ import annotations

from typing import Any

import pytest

from lab.workflows.options import ROOT
from tests.end_to_end.conftest import LAB, NAME, boot_ids, invoke, invoke_json, status


def longest_outage_s(record: dict[str, Any], kind: str) -> float:
    """The longest absence that a client saw of one kind of service; an outage without an end counts as endless."""
    return max(
        (
            float("inf") if outage["end_s"] is None else outage["end_s"] - outage["start_s"]
            for stream in record["streams"]
            if stream["kind"] == kind
            for outage in stream["outages"]
        ),
        default=0.0,
    )


def drills_in_report() -> list[str]:
    """The drills that the lab's report tells of; its page must name them."""
    document = invoke_json("lab.report", *LAB, limit_s=120)
    page = (ROOT / document["report"]).read_text()
    names = [drill["drill"] for drill in document["drills"]]
    assert all(name in page for name in names)
    return names


@pytest.mark.takes(600)
def test_power_off_is_survived_and_measured(before: dict[str, Any]) -> None:
    assert NAME not in str(before)
    invoke_json("lab.up", *LAB)
    before_ids = boot_ids(status())
    document = invoke_json("lab.drill", "power-off", "--node", "piova", *LAB)
    (record,) = document["drills"]
    assert {audit["name"] for audit in record["audits"] if not audit["ok"]} == set()
    assert record["boot_ids"]["piova"][0] == before_ids["piova"] != record["boot_ids"]["piova"][1]
    assert record["boot_ids"]["brina"] == [before_ids["brina"]] * 2
    reached = {phase["name"] for phase in record["phases"]}
    assert {"fault", "node lost", "fenced", "storage promoted", "storage recovered", "guest started"} <= reached
    assert [phase["subject"] for phase in record["phases"] if phase["name"] == "heartbeat ended"] == ["piova"]
    away_s = longest_outage_s(record, "dns")
    print(f"power-off: DNS away {away_s:.1f} s")
    # On a machine without power nobody answers; whoever measured nothing would say so.
    assert away_s > 1
    assert drills_in_report() == ["power-off"]


@pytest.mark.takes(500)
def test_maintenance_moves_guests_live() -> None:
    assert invoke("lab.reset", *LAB, limit_s=300).returncode == 0
    document = invoke_json("lab.drill", "maintenance", "--node", "brina", *LAB)
    (record,) = document["drills"]
    assert {audit["name"] for audit in record["audits"] if not audit["ok"]} == set()
    assert "every guest moved live, none was restarted" in {audit["name"] for audit in record["audits"]}
    print(f"maintenance: RADIUS away {longest_outage_s(record, 'radius-access'):.1f} s")
    assert drills_in_report() == ["power-off", "maintenance"]
