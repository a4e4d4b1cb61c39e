"""Verifying a running lab: the suite in ``tests/lab`` in a process of its own, and what it found.

The suite gets the options through the environment, because pytest has no say in a lab; :func:`options_of` is its end.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.core.parsers.junit import Check, parse_junit
from lab.doors import files
from lab.doors.process import Result, follow, masked
from lab.drivers.hypervisor import Hypervisor
from lab.workflows.options import ROOT, Options, shown_path
from lab.workflows.session import Session, open_session

SUITE = "tests/lab"
REPORT_FILE = "verify.xml"
LOG_FILE = "logs/verify.log"
#: The whole suite takes about a minute on an emulated lab that is well.
LIMIT_S = 300.0
#: pytest(1): 0 all passed, 1 some failed; anything else means that the suite itself did not run as it should.
PYTEST_VERDICTS = (0, 1)
_SHOWN_LINES = 6
_TOPOLOGY, _NAME, _BUILD = "HA_LAB_TOPOLOGY", "HA_LAB_NAME", "HA_LAB_BUILD"


def environment_of(options: Options) -> dict[str, str]:
    """The options as variables for the suite."""
    return {_TOPOLOGY: str(options.topology.absolute()), _NAME: options.name, _BUILD: str(options.build.absolute())}


def options_of(environment: Mapping[str, str]) -> Options:
    """The options that the suite was started with; the defaults where it was started by hand."""
    plain = Options()
    return Options(
        topology=Path(environment.get(_TOPOLOGY) or plain.topology),
        name=environment.get(_NAME, ""),
        build=Path(environment.get(_BUILD) or plain.build),
    )


def verify(options: Options) -> Outcome:
    """Check the real state of a running lab; not ok when a check fails, when one is skipped, or when there is none.

    Raises:
        LabError: there is no such lab, or the suite cannot run.
    """
    with open_session(options, "verify") as session:
        _require_running(session)
        report = session.folder / REPORT_FILE
        report.unlink(missing_ok=True)
        with session.reporter.step(f"checks of {SUITE}"):
            result = _run_suite(session, report)
        log = session.folder / LOG_FILE
        files.write_atomically(log, masked(result.stdout).encode(), files.SECRET_MODE)
        checks = _checks(result, report, log)
        return outcome_of(session.lab.name, checks, result, report)


def _require_running(session: Session) -> None:
    """Say in one sentence what hundreds of failed checks would say otherwise."""
    hypervisor = Hypervisor()
    try:
        states = {domain.node: domain.state for domain in hypervisor.owned_domains(session.lab.name)}
    finally:
        hypervisor.close()
    off = [
        f"{name} is {states.get(name, 'missing')}" for name in session.lab.node_names if states.get(name) != "running"
    ]
    if len(off) == len(session.lab.nodes):
        raise LabError(
            f"the lab {session.lab.name} does not run, so there is nothing to verify",
            remedy="./inv lab.up brings it up",
            details=off,
        )


def _run_suite(session: Session, report: Path) -> Result:
    def tell(line: str) -> None:
        # One line per file of the suite as it goes on; evidence of failures follows in the outcome and the log.
        if line.startswith(f"{SUITE}/"):
            session.reporter.note(line)

    return follow(
        [
            *(sys.executable, "-m", "pytest", SUITE, "--tb=short", "--color=no", "-p", "no:cacheprovider"),
            *("-o", "junit_family=xunit2", f"--junit-xml={report}"),
        ],
        timeout_s=LIMIT_S * max(1.0, session.lab.time_scale),
        on_line=tell,
        # Paths in the lab's ssh_config are relative to the repository's root.
        cwd=ROOT,
        env={**environment_of(session.options), "PYTHONUNBUFFERED": "1", "COLUMNS": "100"},
    )


def _checks(result: Result, report: Path, log: Path) -> tuple[Check, ...]:
    if not report.exists():
        raise LabError(
            f"the suite did not run: pytest ended with exit code {result.returncode}",
            remedy=f"See {log}",
            details=masked(result.stdout).splitlines()[-15:],
        )
    text = masked(report.read_text(encoding="utf-8"))
    files.write_atomically(report, text.encode())
    return parse_junit(text)


def _told(checks: Sequence[Check]) -> list[str]:
    """What did not pass, for a person; the same message of many checks is told once."""
    by_message: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        by_message.setdefault((check.verdict, masked(check.message)), []).append(check.name)
    lines: list[str] = []
    for (verdict, message), names in by_message.items():
        first, *rest = message.splitlines() or [""]
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(f"{verdict.upper()} {names[0]}{others}: {first}")
        lines += [f"    {line}" for line in rest[: _SHOWN_LINES - 1]]
    return lines


def outcome_of(lab_name: str, checks: Sequence[Check], result: Result, report: Path) -> Outcome:
    """What the checks add up to.

    Args:
        lab_name: name of the lab.
        checks: every check that was made.
        result: of pytest.
        report: the JUnit file, for the reader.
    """
    failed = [check for check in checks if check.verdict == "failed"]
    skipped = [check for check in checks if check.verdict == "skipped"]
    passed = len(checks) - len(failed) - len(skipped)
    sound = result.returncode in PYTEST_VERDICTS
    ok = bool(checks) and not failed and not skipped and result.returncode == 0
    lines = _told([*failed, *skipped])
    if not checks:
        lines.append("No check was made, so nothing is proven.")
    elif not sound:
        lines.append(f"pytest ended with exit code {result.returncode}, so not all checks may have been made.")
    lines.append(
        f"Lab {lab_name}: {passed} of {len(checks)} checks passed, {len(failed)} failed, {len(skipped)} skipped, "
        f"in {result.duration_s:.0f} s; JUnit file {shown_path(report)}"
    )
    document: dict[str, Any] = {
        "lab": lab_name,
        "ok": ok,
        "checks": len(checks),
        "passed": passed,
        "failed": len(failed),
        "skipped": len(skipped),
        "failures": [{"name": check.name, "message": masked(check.message)} for check in failed],
        "skips": [check.name for check in skipped],
        "duration_s": round(result.duration_s, 1),
        "junit": str(report),
    }
    return Outcome("\n".join(lines), document, ok=ok)
