"""How tests are run by tasks, and those tests that are tasks of their own, for ``tasks.py``."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from lab import surface
from lab.core.errors import LabError
from lab.core.matrix import DEFAULT_SUITES, suites_of
from lab.core.workstation.plan import STEP_NAMES, STEPS, SUITES, wishes_of
from lab.help_option import task
from lab.practice import JSON, finish
from lab.workflows.options import ROOT

ONLY = {"only": "run only tests whose names match this pytest expression"}
#: The smallest lab whose drills keep a ledger.
FAULTS_LAB = str(ROOT / "tests" / "faults" / "lab.yaml")
#: Where the matrix leaves its topologies and its JUnit file; no lab can bear the name.
MATRIX_FOLDER = ROOT / "build" / "matrix-runs"
#: How long all tests may take, minutes: with the time in which a fresh machine installs what is missing, less than
#: the 90 minutes after which many runners of continuous integration end a job.
WITHIN_MIN = "75"
#: The files of tests of the real lab by part, those first whose loss would hide the most when time is short.
END_TO_END = {
    "whole": ("whole_lab", "drills", "faults", "continued", "bundles", "removal", "by_vagrant"),
    "drills": ("drills", "removal"),
    "saves": ("saves",),
    "fencing": ("fencing",),
}


def run_pytest(context: Context, places: list[str], only: str, *more: str) -> None:
    """Run pytest on some places; its exit code, that of no test at all included, ends the command unless it is 0."""
    argv = [sys.executable, "-m", "pytest", *more, *places, *(["-k", only] if only else [])]
    with context.cd(str(ROOT)):
        # Unbuffered, so that a long test can be followed; on a terminal of its own when there is one, for colours.
        result = context.run(
            shlex.join(argv), warn=True, in_stream=False, pty=sys.stdout.isatty(), env={"PYTHONUNBUFFERED": "1"}
        )
    finish(result.exited if result is not None else 1)


def refused(message: str, remedy: str) -> Exit:
    """Say what is wrong with an option; what is returned ends the command with the exit code of bad input."""
    surface.print_error(LabError(message, remedy=remedy), sys.stderr)
    return Exit(code=2)


def moment_after(minutes: str) -> float | None:
    """The moment on the monotonic clock after so many minutes, s; ``None`` for 0, which is no limit.

    Raises:
        Exit: no whole number, or one of more than four digits.
    """
    if not re.fullmatch(r"[0-9]{1,4}", minutes):
        raise refused(f"--within {minutes}: not a number of minutes", "Give minutes, or 0 for no limit")
    return time.monotonic() + int(minutes) * 60 if int(minutes) else None


def run_end_to_end(context: Context, part: str, only: str, until_s: float | None) -> None:
    """Run tests of the real lab: one of the parts, and of it what can be over at a moment on the monotonic clock."""
    places = [f"tests/end_to_end/test_{name}.py" for name in END_TO_END[part]]
    limit = [] if until_s is None else [f"--until={until_s:.0f}"]
    with_libvirt(lambda: run_pytest(context, places, only, "-s", "--durations=0", "--durations-min=1", *limit))


def with_libvirt(action: Callable[[], None]) -> None:
    """Do something that needs libvirt; where it cannot be started, the command ends with the reason."""
    try:
        surface.start_libvirt()
    except LabError as error:
        surface.print_error(error, sys.stderr)
        raise Exit(code=error.exit_code) from error
    action()


@task(
    name="faults",
    help={
        **ONLY,
        "topology": "topology of the lab",
        "name": "the lab; one that runs is used and kept, else it is built",
    },
)
def catalogue(context: Context, only: str = "", topology: str = FAULTS_LAB, name: str = "faulttest") -> None:
    """Every fault of the catalogue on a real lab; not part of all tests. `--only quick` is the small fixed set.

    Example: ./inv test.faults --only quick
    """
    os.environ |= {"HA_LAB_TOPOLOGY": topology, "HA_LAB_NAME": name}
    with_libvirt(lambda: run_pytest(context, ["tests/faults"], only, "-s"))


@task(help={**ONLY, "suites": "Debian suites with commas between: bullseye, bookworm, trixie"})
def matrix(context: Context, only: str = "", suites: str = ",".join(DEFAULT_SUITES)) -> None:
    """For each Debian suite a small lab of it: brought up, verified, drilled, removed; not part of all tests.

    Ends with a table; the JUnit file is build/matrix-runs/junit.xml.

    Examples: ./inv test.matrix
              ./inv test.matrix --suites bullseye,bookworm,trixie
    """
    try:
        wanted = suites_of(suites)
    except ValueError as error:
        raise refused(f"--suites {suites}: {error}", "Name suites that are known") from error
    os.environ["HA_LAB_SUITES"] = ",".join(wanted)
    report = ("-o", "junit_family=xunit1", f"--junit-xml={MATRIX_FOLDER / 'junit.xml'}")
    with_libvirt(lambda: run_pytest(context, ["tests/matrix"], only, "-s", *report))


@task(
    help={
        **JSON,
        "suite": "Debian suite of the machine: bookworm or trixie",
        "steps": f"only these, with commas between: {', '.join(STEP_NAMES)}; those that have not passed when not given,"
        f" but for {', '.join(step.name for step in STEPS if step.on_request)}",
        "fresh": "throw the machine away and begin with the first step",
        "bake-inside": "bake the lab's images on the machine too, instead of handing in those of this host",
    }
)
def workstation(
    _context: Context,
    suite: str = SUITES[0],
    steps: str = "",
    *,
    fresh: bool = False,
    bake_inside: bool = False,
    json: bool = False,
) -> None:
    """A fresh, emulated machine with systemd and KVM, on which an ordinary user types the README's commands.

    Each step has a deadline and begins where the last one that passed has ended, also in a later run; the machine is
    off when the command ends. Logs, console and JUnit file are in build/workstation. Not part of all tests.

    Examples: ./inv test.workstation
              ./inv test.workstation --suite trixie --steps bake,boot,install,doctor
    """
    try:
        wishes = wishes_of(suite, steps, fresh, bake_inside)
    except ValueError as error:
        raise refused(str(error), "Name what is known") from error
    finish(surface.carry_out("workstation", wishes, as_json=json))


TASKS: tuple[Any, ...] = (catalogue, matrix, workstation)
