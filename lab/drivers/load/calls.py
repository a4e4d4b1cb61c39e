"""Load of the telephone exchange: calls from one extension to another, many at once, by two runs of sipp.

The scenarios are those of the probe, changed in two places: calls are held, and the called telephone stays.
Signalling only; no speech is sent.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from lab.core.errors import LabError
from lab.core.load.profile import CALL_HOLD_S
from lab.core.load.served import Served, not_sent
from lab.core.parsers.sip import parse_sipp_errors, parse_sipp_statistics
from lab.doors.background import Program, beside, wait_ended
from lab.doors.clock import Deadline, WaitError, now_s
from lab.drivers.load.sender import Task
from lab.drivers.probes.sipp import REMEDY, Telephone, free_udp_ports

CALLER, CALLEE = "101", "102"
_HOLD = 'timeout="400" ontimeout="hang_up"'
_END_AFTER_ONE = re.compile(r'<nop next="end">.*?</nop>', re.DOTALL)


def held(scenario: str, hold_s: float) -> str:
    """The caller's scenario with calls that are held for a while.

    Raises:
        LabError: the scenario has no place where a call is held.
    """
    if _HOLD not in scenario:
        raise LabError("the scenario of the caller holds no call")
    return scenario.replace(_HOLD, f'timeout="{round(hold_s * 1000)}" ontimeout="hang_up"')


def staying(scenario: str) -> str:
    """The called telephone's scenario without its end after one call.

    Raises:
        LabError: it does not end after one call.
    """
    changed, count = _END_AFTER_ONE.subn('<nop next="end"/>', scenario)
    if count != 1:
        raise LabError("the scenario of the called telephone does not end after one call")
    return changed


def send_calls(task: Task, *, hold_s: float = CALL_HOLD_S) -> Served:
    """Register the called telephone and keep the stream's number of calls going.

    Args:
        task: what to send and for how long.
        hold_s: how long each call is held, seconds.

    Raises:
        LabError: sipp is not installed, or left no statistics behind.
        OSError: nothing can be bound to the source.
    """
    ports = free_udp_ports(task.source, 4)
    ringing = _telephone(task, CALLEE, ports[0], ports[1])
    calling = _telephone(task, CALLER, ports[2], ports[3])
    # Longer than the run with everything that may come after it.
    registered_s = round(task.seconds + hold_s + 2 * task.timeout_s + 60)
    fault = ringing.play("register", str(registered_s), Deadline.after(2 * task.timeout_s), log="load-register")
    if fault:
        return not_sent(task.stream, task.seconds, f"{CALLEE} could not register: {fault}")
    try:
        return _calls(task, calling, ringing, hold_s)
    finally:
        ringing.play("register", "0", Deadline.after(task.timeout_s), log="load-unregister")


def _telephone(task: Task, extension: str, port: int, control_port: int) -> Telephone:
    password = task.secrets.sip_passwords[extension]
    return Telephone(extension, password, task.source, port, control_port, task.server, task.ports.sip, task.work)


def _calls(task: Task, calling: Telephone, ringing: Telephone, hold_s: float) -> Served:
    folder = files("lab.drivers.probes") / "sip"
    answer, call = task.work / "load-answer.xml", task.work / "load-call.xml"
    answer.write_text(staying((folder / "answer.xml").read_text(encoding="latin-1")), encoding="latin-1")
    call.write_text(held((folder / "call.xml").read_text(encoding="latin-1"), hold_s), encoding="latin-1")
    limit_s = task.seconds + hold_s + 3 * task.timeout_s + 10
    fields = [ringing.write_fields("load-answer", ""), calling.write_fields("load-call", ringing.extension)]
    try:
        argv = ringing.argv(answer, fields[0], "load-answer", limit_s)
        with beside(argv, work=task.work, name="load-answer", remedy=REMEDY) as answering:
            try:
                ringing.wait_until_listening(
                    Deadline.after(task.timeout_s), lambda: "its sipp has ended" if answering.ended() else ""
                )
            except WaitError as error:
                return not_sent(task.stream, task.seconds, str(error))
            argv = [*calling.argv(call, fields[1], "load-call", limit_s), *_pressure(task)]
            with beside(argv, work=task.work, name="load-call", remedy=REMEDY) as program:
                seconds = _hold_on(task, calling, program, hold_s)
            ringing.hang_up()
    finally:
        for path in fields:
            path.unlink(missing_ok=True)
    return _counted(task, seconds)


def _pressure(task: Task) -> list[str]:
    """How many calls, and when one has failed; statistics once a second, so that a killed sipp leaves some too."""
    stream = task.stream
    # Calls begin faster than they end, so that there are soon as many as wanted, and sipp's limit holds their number.
    begun_per_s = max(1.0, 2 * stream.rate_per_s)
    argv = ["-l", str(stream.at_once), "-r", f"{begun_per_s:g}", "-rp", "1000", "-fd", "1"]
    return [*argv, "-recv_timeout", str(round(task.timeout_s * 1000))]


def _hold_on(task: Task, calling: Telephone, program: Program, hold_s: float) -> float:
    """Let it call until the time is over, then let the calls end by themselves; for how many seconds it called."""
    started_s = now_s()
    wait_ended(program, task.seconds, task.stop.is_set)
    seconds = now_s() - started_s
    if not program.ended():
        calling.call_no_more()
        wait_ended(program, hold_s + 2 * task.timeout_s, task.hurry.is_set)
    if not program.ended():
        calling.hang_up()
        wait_ended(program, 2.0, lambda: False)
    return seconds


def _counted(task: Task, seconds: float) -> Served:
    statistics = task.work / "load-call.csv"
    if not statistics.exists():
        said = _read(task.work / "load-call.stderr").splitlines()[-5:]
        raise LabError("sipp ended before its first call", details=said, remedy=REMEDY)
    seen = parse_sipp_statistics(_read(statistics))
    errors = parse_sipp_errors(_read(task.work / "load-call.errors"))
    stream = task.stream
    return Served(
        kind=stream.kind,
        guest=stream.guest,
        wanted_per_s=stream.rate_per_s,
        sent=seen.created,
        answered=seen.successful,
        wrong=0,
        seconds=seconds,
        latency_ms={} if seen.response_ms is None else {"mean": seen.response_ms},
        at_once=stream.at_once,
        remark=errors[0] if errors and seen.failed else "",
    )


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
