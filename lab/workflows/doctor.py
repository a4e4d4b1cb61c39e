"""Pre-flight: look at everything a lab needs before the first effect, and create nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.core import preflight
from lab.core.acceleration import Choice
from lab.core.errors import LabError
from lab.core.host_facts import Finding
from lab.core.model import Lab
from lab.core.outcome import Outcome
from lab.drivers import accelerator, host
from lab.workflows.options import Options, load_lab

_MARKS = {"ok": "ok", "warning": "WARNING", "failure": "FAILURE"}


@dataclass(frozen=True)
class Examination:
    """What pre-flight found.

    Args:
        lab: the lab it was for.
        choice: the accelerator that it will run under, and why.
        findings: everything that was looked at.
    """

    lab: Lab
    choice: Choice
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What keeps the lab from coming up."""
        return tuple(finding for finding in self.findings if not finding.ok)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What a person should know, though the lab can come up."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def require(self) -> None:
        """Go on only when nothing keeps the lab from coming up.

        Raises:
            LabError: with every failure and its remedy.
        """
        failures = self.failures
        if failures:
            count = len(failures)
            raise LabError(
                f"this host is not ready for the lab {self.lab.name}: {count} failure{'s' if count != 1 else ''}",
                remedy="Correct them and run the command again; ./inv lab.doctor shows everything that was looked at",
                details=[_sentence(finding) for finding in failures],
            )


def examine(lab: Lab, options: Options) -> Examination:
    """Look at this host for this lab; nothing is created. Under 5 s when all is well.

    Raises:
        LabError: a fact of the host could not be read at all.
    """
    insisted = options.accelerator == "kvm"
    choice = accelerator.choose("auto" if insisted else options.accelerator)
    findings = preflight.judge(lab, host.gather(), choice, insisted=insisted)
    return Examination(lab, choice, tuple(findings))


def doctor(options: Options) -> Outcome:
    """The examination as a table and a document; not ok when anything keeps the lab from coming up."""
    return as_outcome(examine(load_lab(options), options))


def as_outcome(examination: Examination) -> Outcome:
    """An examination for a person and for a program."""
    failures, warnings = len(examination.failures), len(examination.warnings)
    document = {
        "lab": examination.lab.name,
        "ok": not failures,
        "accelerator": {
            "accelerator": examination.choice.accelerator,
            "reason": examination.choice.reason,
            "evidence": list(examination.choice.evidence),
        },
        "findings": [
            {
                "name": finding.name,
                "ok": finding.ok,
                "severity": finding.severity,
                "message": finding.message,
                "remedy": finding.remedy,
            }
            for finding in examination.findings
        ],
    }
    if failures:
        end = f"This host is not ready for the lab {examination.lab.name}: {failures} to correct, {warnings} to know."
    else:
        end = f"This host is ready for the lab {examination.lab.name}" + (f"; {warnings} to know." if warnings else ".")
    return Outcome(_table(examination.findings) + "\n" + end, document, ok=not failures)


def _table(findings: Sequence[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.severity]:<8} {finding.name:<{width}}  {finding.message}")
        if finding.remedy and finding.severity != "ok":
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)


def _sentence(finding: Finding) -> str:
    return f"{finding.name}: {finding.message}." + (f" {finding.remedy}." if finding.remedy else "")


__all__ = ["Examination", "as_outcome", "doctor", "examine"]
