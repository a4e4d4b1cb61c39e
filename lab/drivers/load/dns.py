"""Load of the recursive name server, sent by dnsperf (Debian package dnsperf)."""

from __future__ import annotations

import math
from secrets import token_hex

from lab.core.errors import LabError
from lab.core.load.profile import questions, total
from lab.core.load.served import Served
from lab.core.parsers.dnsperf import parse_dnsperf
from lab.doors.background import beside, wait_ended
from lab.drivers.load.sender import Task

REMEDY = "Install the Debian package dnsperf"
#: Questions of one client that may be open at once: numbers of DNS messages have 16 bits.
MOST_OPEN = 60_000


def send_dns(task: Task) -> Served:
    """Ask at the stream's rate over UDP, for names never asked before and for ``www``.

    Only NOERROR counts as the right answer; dnsperf does not look at the addresses in it.

    Args:
        task: what to send and for how long.

    Raises:
        LabError: dnsperf is not installed, or left no statistics behind.
    """
    stream, limit_s = task.stream, task.seconds + task.timeout_s
    name = f"dns-{stream.guest}"
    file = task.work / f"{name}.questions"
    file.write_text(questions(task.zone, token_hex(6), total(stream.rate_per_s, task.seconds)), encoding="ascii")
    with beside(_argv(task, str(file)), work=task.work, name=name, remedy=REMEDY) as program:
        if not wait_ended(program, limit_s + 1, task.stop.is_set):
            program.interrupt()
        result = program.result(task.timeout_s + 1)
    if "Statistics:" not in result.stdout:
        said = [*result.stdout.splitlines(), *result.stderr.splitlines()][-5:]
        raise LabError(f"dnsperf ended with {result.returncode} before its end", details=said, remedy=REMEDY)
    seen = parse_dnsperf(result.stdout)
    right = seen.codes.get("NOERROR", 0)
    others = ", ".join(f"{count} {code}" for code, count in sorted(seen.codes.items()) if code != "NOERROR")
    return Served(
        kind=stream.kind,
        guest=stream.guest,
        wanted_per_s=stream.rate_per_s,
        # What was still open at an early end is neither served nor lost.
        sent=seen.sent - seen.interrupted,
        answered=right,
        wrong=seen.completed - right,
        # dnsperf's own time goes on until the last answer or time-out.
        seconds=min(seen.run_s, task.seconds),
        latency_ms=seen.latency_ms,
        remark=others,
    )


def _argv(task: Task, file: str) -> list[str]:
    rate_per_s = task.stream.rate_per_s
    # Open questions have no limit of their own, so that a dead server does not slow the questions down.
    open_at_once = min(MOST_OPEN, math.ceil(rate_per_s * task.timeout_s) + 100)
    argv = ["dnsperf", "-f", "inet", "-a", str(task.source), "-s", str(task.server), "-p", str(task.ports.dns)]
    argv += ["-d", file, "-c", "1", "-T", "1", "-Q", f"{max(1, round(rate_per_s))}", "-q", str(open_at_once)]
    return [*argv, "-l", f"{task.seconds:g}", "-t", f"{task.timeout_s:g}", "-W", "-O", "suppress=timeout"]
