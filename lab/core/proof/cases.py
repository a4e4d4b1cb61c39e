"""Results of somebody else's tests as cases: passed, failed, or skipped with the reason; and as a JUnit file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from lab.core.parsers.junit import Verdict
from lab.core.report.wording import printable


@dataclass(frozen=True)
class Case:
    """One result.

    Args:
        name: of the test.
        verdict: ``passed``, ``failed`` or ``skipped``.
        message: why it failed or was skipped, one sentence; may be empty for one that passed.
        lines: what was seen, for the reader of the file.
        duration_s: how long it took.
    """

    name: str
    verdict: Verdict
    message: str = ""
    lines: tuple[str, ...] = ()
    duration_s: float = 0.0


def junit_text(suite: str, cases: Sequence[Case]) -> str:
    """The cases as a JUnit file.

    Args:
        suite: name of the suite.
        cases: in order.
    """
    root = ElementTree.Element(
        "testsuite",
        name=printable(suite),
        tests=str(len(cases)),
        failures=str(sum(case.verdict == "failed" for case in cases)),
        errors="0",
        skipped=str(sum(case.verdict == "skipped" for case in cases)),
        time=f"{sum(case.duration_s for case in cases):.3f}",
    )
    for case in cases:
        element = ElementTree.SubElement(
            root,
            "testcase",
            classname=printable(suite),
            name=printable(case.name),
            time=f"{case.duration_s:.3f}",
        )
        if case.verdict != "passed":
            kind = "failure" if case.verdict == "failed" else "skipped"
            ElementTree.SubElement(element, kind, message=printable(case.message))
        if case.lines:
            ElementTree.SubElement(element, "system-out").text = printable("\n".join(case.lines))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def proven(cases: Sequence[Case]) -> bool:
    """Whether nothing failed and something passed: a suite of skipped tests proves nothing."""
    return any(case.verdict == "passed" for case in cases) and all(case.verdict != "failed" for case in cases)


def told(cases: Sequence[Case]) -> list[str]:
    """A line for each case, for a terminal."""
    return [
        f"  {case.verdict:<8} {case.name}{f': {case.message}' if case.message and case.verdict != 'passed' else ''}"
        for case in cases
    ]


def document(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """The cases as JSON knows them."""
    return [
        {
            "name": case.name,
            "verdict": case.verdict,
            "message": case.message,
            "lines": list(case.lines),
            "duration_s": round(case.duration_s, 1),
        }
        for case in cases
    ]
