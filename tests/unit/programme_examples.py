"""A finished programme and its records, for tests of tables, pages and pictures."""

from __future__ import annotations

from lab.core.drills.programme import Programme, Step
from lab.core.drills.record import DrillRecord
from tests.unit.drill_examples import Dark, maintenance, power_off, record

NODES = ("brina", "piova")


def reboot(node: str, number: int, node_s: float) -> DrillRecord:
    dark: dict[str, Dark] = {node: [(20.2, 20.2 + node_s)]}
    return record("reboot", node, number=number, length_s=node_s + 120, dark=dark)


def programme_records() -> tuple[DrillRecord, ...]:
    """The twelve drills of the study's programme."""
    return (
        power_off("brina", 1, 124.0, 81.0),
        power_off("piova", 2, 171.0, 75.0),
        power_off("brina", 3, 130.0, 91.0),
        power_off("piova", 4, 170.0, 78.0),
        reboot("brina", 5, 138.0),
        reboot("piova", 6, 166.0),
        reboot("brina", 7, 140.0),
        reboot("piova", 8, 168.0),
        maintenance("brina", 9, 145.0),
        maintenance("piova", 10, 172.0),
        maintenance("brina", 11, 146.0),
        maintenance("piova", 12, 174.0),
    )


def finished_programme() -> Programme:
    steps = tuple(Step(one.drill, one.node, "complete", one.identifier, "x", one.ok) for one in programme_records())
    return Programme("study-20261125T100000", "halab", "tcg", 3.0, "name: halab\n", steps)
