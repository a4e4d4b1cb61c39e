"""The shell of faults, read by a real shell, and the look for traces on a machine that has none of them."""

from __future__ import annotations

import pytest

from lab.core.faults.catalogue import FAULTS
from lab.core.faults.fault import Fault, FaultOrder, filled, planned_fault
from lab.core.faults.traces import TRACES, Trace, look_script, remains_of
from lab.doors.process import run
from tests.drivers.lab_here import lab_of

LAB = lab_of("two-node")
WORDS = {"NOW": "1764043200", "AUTHKEY_SUM": "ab" * 32}
SCRIPTED = [fault for fault in FAULTS if fault.script is not None]


def require_readable(text: str, shell: str = "bash") -> None:
    result = run([shell, "-n"], timeout_s=20, stdin=text.encode(), check=False)
    assert result.ok, result.stderr
    assert not result.stderr


@pytest.mark.parametrize("fault", SCRIPTED, ids=lambda fault: fault.name)
def test_a_shell_understands_the_fault(fault: Fault) -> None:
    assert fault.script is not None
    plan = planned_fault(LAB, fault, FaultOrder(fault.name))
    for text in (fault.script.inject, fault.script.proof):
        require_readable(filled(text, LAB, plan, WORDS), "sh")


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_a_shell_understands_the_undoing(trace: object) -> None:
    require_readable(filled(str(vars(trace)["undo"]), LAB, values=WORDS))


def test_the_look_names_every_trace_and_finds_what_is_wrong_here() -> None:
    text = filled(look_script(), LAB, values=WORDS)
    require_readable(text)
    result = run(["bash", "-s"], timeout_s=60, stdin=text.encode(), check=False)
    assert [line for line in result.stdout.splitlines() if line.startswith("==== ")] == [
        f"==== {trace.name}" for trace in TRACES
    ]
    # The time that the look was told is long past, and nobody here has the key.
    found = {remain.trace.name for remain in remains_of(result.stdout, "here")}
    assert {"clock", "authkey"} <= found
    assert not found & {"filter", "shaping", "filler", "unit", "broken volume", "diskless"}


@pytest.mark.parametrize(
    ("held", "is_written", "found"),
    [("10000", False, True), ("10000", True, False), ("", False, False), (None, False, False)],
)
def test_only_a_score_that_is_held_and_not_written_is_lost(held: str | None, is_written: bool, found: bool) -> None:
    """``held`` is what the attribute daemon says (attrd_updater -Q); an empty one was taken away when DRBD stopped."""
    said = "false" if held is None else f"""echo 'name="master-DRBD" host="brina" value="{held}"'"""
    written = "true" if is_written else "false"
    trace = next(one for one in TRACES if one.name == "lost score")
    script = f"attrd_updater() {{ {said}; }}\ncibadmin() {{ {written}; }}\n{trace.look}"
    assert bool(run(["bash", "-s"], timeout_s=20, stdin=script.encode(), check=False).stdout) is found


def test_a_look_that_hangs_hides_no_other() -> None:
    traces = [Trace("hanging", "", "sleep 20; echo late", ""), Trace("quick", "", "echo here", "")]
    result = run(["bash", "-s"], timeout_s=15, stdin=look_script(traces, 5).encode(), check=False)
    assert result.stdout.split("\n") == ["==== hanging", "==== quick", "here", ""]
