"""What all senders of load have in common: where they send from and to, for how long, and how they are stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from lab.core.load.profile import Stream, total, until_due_s
from lab.core.model import Secrets
from lab.doors.clock import Deadline, now_s
from lab.drivers.probes import ServicePorts


@dataclass(frozen=True)
class Task:
    """One stream of requests that is to be sent.

    Args:
        stream: what, and how much of it.
        source: the lab's own gateway address, to which everything is bound.
        server: address of the guest.
        zone: the lab's DNS zone.
        secrets: what customers of the lab know.
        seconds: how long requests are sent, at most.
        timeout_s: how long each answer is waited for.
        work: existing directory for files of this run.
        ports: where the services listen.
        stop: set when sending is to end early; what is under way is still waited for.
        hurry: set when nothing is to be waited for any more.
    """

    stream: Stream
    source: IPv4Address
    server: IPv4Address
    zone: str
    secrets: Secrets
    seconds: float
    timeout_s: float
    work: Path
    ports: ServicePorts = field(default_factory=ServicePorts)
    stop: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)


def at_rate(task: Task, send: Callable[[], None], rest: Callable[[float], None]) -> tuple[int, float]:
    """Send at a steady rate, whatever is answered, until the time is over or the task is stopped.

    A sender that was held up sends what is due at once, so that the number stays that of the rate; it ends a little
    late rather than with fewer.

    Args:
        task: the stream and its limits.
        send: sends one request.
        rest: uses the given number of seconds at most (for answers, or not at all) and returns.

    Returns:
        How many were sent, and for how many seconds.
    """
    rate_per_s, most = task.stream.rate_per_s, total(task.stream.rate_per_s, task.seconds)
    deadline, started_s, sent = Deadline.after(task.seconds), now_s(), 0
    while not task.stop.is_set() and (sent < most or not deadline.passed()):
        left_s = until_due_s(rate_per_s, now_s() - started_s, sent) if sent < most else task.seconds
        if left_s > 0:
            rest(min(left_s, 0.2))
            continue
        send()
        sent += 1
    return sent, now_s() - started_s
