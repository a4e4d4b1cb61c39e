"""What pytest leaves behind with ``--junit-xml``: the outcome of every check, counted here and not by its summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# The text comes from a process that this one has started.
from xml.etree import ElementTree

from lab.core.errors import LabError

Verdict = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One check.

    Args:
        name: as ``file::test[parameters]``.
        verdict: ``failed`` for an error in its preparation, too.
        message: what the failure said, with the lines of evidence that followed; empty when it passed.
        duration_s: how long it took.
    """

    name: str
    verdict: Verdict
    message: str = ""
    duration_s: float = 0.0


def parse_junit(text: str) -> tuple[Check, ...]:
    """Read a JUnit file of pytest (``junit_family`` xunit2).

    Args:
        text: the whole file.

    Returns:
        The checks in the order in which they were made; none when no check was made.

    Raises:
        LabError: it is not such a file.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise LabError(f"the JUnit file cannot be read: not XML ({error})") from error
    if root.tag not in ("testsuites", "testsuite"):
        raise LabError(f"the JUnit file cannot be read: the document is a <{root.tag}>")
    return tuple(_check(case) for case in root.iter("testcase"))


def _check(case: ElementTree.Element) -> Check:
    module = case.get("classname", "").rpartition(".")[2]
    name = f"{module}::{case.get('name', '')}"
    try:
        duration_s = float(case.get("time", "0"))
    except ValueError:
        raise LabError(f"the JUnit file cannot be read: {case.get('time')!r} is no time of {name}") from None
    bad = [element for element in case if element.tag in ("failure", "error")]
    if bad:
        return Check(name, "failed", bad[0].get("message", "").strip(), duration_s)
    skipped = case.find("skipped")
    if skipped is not None:
        return Check(name, "skipped", skipped.get("message", "").strip(), duration_s)
    return Check(name, "passed", "", duration_s)
