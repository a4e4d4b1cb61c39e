"""Drills as a JUnit file: a case for each audit, for each declared objective, and one for what else went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from lab.core.drills.record import DrillRecord, ObjectiveResult
from lab.core.report.wording import NOT_ENDED, ground_of, printable, seconds

Element = ElementTree.Element

PROBLEMS_CASE = "the drill went through"


def junit(records: Sequence[DrillRecord]) -> str:
    """The file as text.

    Args:
        records: the drills; each becomes a suite.
    """
    root = Element("testsuites", name="drills")
    for record in records:
        root.append(_suite(record))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(record: DrillRecord) -> Element:
    cases = [_case(record, PROBLEMS_CASE, record.problems)]
    # Nothing but a name tells audits apart, and a failure without a finding is still one.
    cases += [
        _case(record, audit.name, () if audit.ok else audit.findings or ("it does not hold",))
        for audit in record.audits
    ]
    cases += [_case(record, f"objective: {one.service}", _missed(one)) for one in record.objectives]
    suite = Element(
        "testsuite",
        name=printable(f"{record.identifier} ({ground_of(record)})"),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors="0",
        skipped="0",
        time=f"{record.duration_s:.3f}",
        timestamp=printable(record.fault_at),
    )
    suite.extend(cases)
    return suite


def _missed(objective: ObjectiveResult) -> tuple[str, ...]:
    if objective.ok:
        return ()
    measured = seconds(objective.measured_s, f"it {NOT_ENDED} or was not measured")
    return (f"longest outage: {measured}, allowed: {seconds(objective.limit_s)}",)


def _case(record: DrillRecord, name: str, wrong: Sequence[str]) -> Element:
    case = Element("testcase", classname=printable(f"drills.{record.identifier}"), name=printable(name), time="0.000")
    if wrong:
        failure = ElementTree.SubElement(case, "failure", message=printable("; ".join(wrong)))
        failure.text = printable("\n".join(wrong))
    return case
