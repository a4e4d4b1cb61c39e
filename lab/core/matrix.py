"""The matrix of releases: a small lab for each Debian suite, and what came of it as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.core.recipe import SUITES

#: What is done with each suite's lab, in this order.
STEPS = ("up", "versions", "verify", "live-migrate", "down")
DEFAULT_SUITES = ("bookworm", "trixie")
#: Packages of the nodes whose versions the table shows.
SHOWN_PACKAGES = ("corosync", "pacemaker", "crmsh", "drbd-utils", "ocfs2-tools")


@dataclass(frozen=True)
class StepResult:
    """What came of one step.

    Args:
        verdict: ``passed``, ``failed`` or ``skipped``.
        duration_s: how long it took, seconds.
    """

    verdict: str
    duration_s: float

    def __str__(self) -> str:
        """As a cell of the table."""
        return "skipped" if self.verdict == "skipped" else f"{self.verdict} {self.duration_s:.0f} s"


def suites_of(text: str) -> tuple[str, ...]:
    """The suites of a list with commas.

    Raises:
        ValueError: one is unknown, or there is none; the message says which are known.
    """
    suites = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    unknown = [suite for suite in suites if suite not in SUITES]
    if unknown or not suites:
        raise ValueError(f"{unknown[0] if unknown else 'nothing'} is no suite; known are {', '.join(SUITES)}")
    return suites


def lab_name(suite: str) -> str:
    """Name of a suite's lab, of at most ten characters."""
    return f"mx{suite}"[:10]


def topology_text(base: str, suite: str) -> str:
    """A topology whose nodes are of a suite.

    Args:
        base: text of a topology without a section images.
        suite: Debian suite.
    """
    images = f"# Nodes of Debian {suite}, for the matrix.\nimages:\n  node:\n    recipe: node\n    suite: {suite}\n"
    return f"{base.rstrip()}\n\n{images}"


def table(results: Mapping[str, Mapping[str, StepResult]], versions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The results as lines of text: a row for each suite, and below it the versions of its software.

    Args:
        results: by suite and step.
        versions: by suite and package, of the suites whose lab came up.
    """
    rows: list[Sequence[str]] = [("suite", *STEPS)]
    for suite, steps in results.items():
        rows.append((suite, *(str(steps[step]) if step in steps else "not run" for step in STEPS)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for suite, packages in versions.items():
        if packages:
            lines.append(f"{suite}: " + ", ".join(f"{name} {version}" for name, version in packages.items()))
    return lines
