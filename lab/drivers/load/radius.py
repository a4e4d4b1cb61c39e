"""Load of a RADIUS server: authentications and accounting requests at a steady rate, whatever is answered."""

from __future__ import annotations

import math
import select
import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from secrets import token_hex
from typing import Any

from pyrad.packet import AccessAccept, AccountingResponse

from lab.core.load.served import Served, latency_figures
from lab.doors.clock import Deadline, now_s
from lab.drivers.load.sender import Task, at_rate
from lab.drivers.probes.exchange import LARGEST_DATAGRAM
from lab.drivers.probes.radius import access_request, accounting_request, reply_to

#: A request is numbered with 8 bits (RFC 2865 section 3), so one socket has no more than these open at once.
NUMBERS = 256
#: Each socket is asked to have this many open at most, which leaves room for late answers.
PLANNED_OPEN = 200


class Line:
    """One socket to the server, its open requests by number, and what became of those that were answered."""

    def __init__(self, task: Task, port: int, expected: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((str(task.source), 0))
        self.socket.connect((str(task.server), port))
        self.socket.setblocking(False)
        self.timeout_s = task.timeout_s
        self.expected = expected
        self.open: OrderedDict[int, tuple[Any, float]] = OrderedDict()
        self.latencies_ms: list[float] = []
        self.wrong = 0
        self._next = 0

    def send(self, packet: Any) -> None:
        """Send a request under the next number; an older one of the same number counts as lost."""
        packet.id = self._next
        self._next = (self._next + 1) % NUMBERS
        self.open.pop(packet.id, None)
        payload = packet.RequestPacket()
        self.open[packet.id] = (packet, now_s())
        # A refusal of an earlier datagram is told by the next call; this one is then sent by a second one.
        with suppress(OSError):
            try:
                self.socket.send(payload)
            except ConnectionRefusedError:
                self.socket.send(payload)

    def hear(self) -> None:
        """Read every datagram that is there."""
        while True:
            try:
                payload = self.socket.recv(LARGEST_DATAGRAM)
            except (ConnectionRefusedError, InterruptedError):
                continue
            except OSError:
                return
            self._take(payload, now_s())

    def _take(self, payload: bytes, at_s: float) -> None:
        packet, sent_s = self.open.get(payload[1], (None, 0.0)) if len(payload) > 1 else (None, 0.0)
        reply = reply_to(packet, payload) if packet is not None else None
        if reply is None or at_s - sent_s > self.timeout_s:
            return
        del self.open[payload[1]]
        if reply.code == self.expected:
            self.latencies_ms.append((at_s - sent_s) * 1000)
        else:
            self.wrong += 1

    def waits(self) -> bool:
        """Whether an answer may still come in time."""
        return bool(self.open) and now_s() - next(reversed(self.open.values()))[1] <= self.timeout_s


def send_radius(task: Task) -> Served:
    """Send a stream of Access-Requests of the lab's subscriber, or of the starts of his sessions.

    Args:
        task: what to send and for how long.

    Raises:
        OSError: nothing can be bound to the source.
    """
    stream = task.stream
    access = stream.kind == "radius-access"
    port = task.ports.radius_authentication if access else task.ports.radius_accounting
    make = _maker(task, access)
    with ExitStack() as stack:
        count = math.ceil((stream.rate_per_s * task.timeout_s + 1) / PLANNED_OPEN)
        lines = [Line(task, port, AccessAccept if access else AccountingResponse) for _ in range(count)]
        for line in lines:
            stack.callback(line.socket.close)
        order = iter(range(2**62))
        sent, seconds = at_rate(task, lambda: lines[next(order) % count].send(make()), lambda s: _listen(lines, s))
        deadline = Deadline.after(task.timeout_s)
        while any(line.waits() for line in lines) and not deadline.passed() and not task.hurry.is_set():
            _listen(lines, min(0.1, deadline.remaining_s()))
    answered = [latency for line in lines for latency in line.latencies_ms]
    return Served(
        kind=stream.kind,
        guest=stream.guest,
        wanted_per_s=stream.rate_per_s,
        sent=sent,
        answered=len(answered),
        wrong=sum(line.wrong for line in lines),
        seconds=seconds,
        latency_ms=latency_figures(answered),
    )


def _maker(task: Task, access: bool) -> Callable[[], Any]:
    secret, run, numbers = task.secrets.radius_secret, token_hex(4), iter(range(2**62))
    if access:
        return lambda: access_request(task.source, secret, "subscriber", task.secrets.radius_password)
    return lambda: accounting_request(task.source, secret, "subscriber", f"load-{run}-{next(numbers)}")


def _listen(lines: list[Line], seconds: float) -> None:
    sockets = [line.socket for line in lines]
    ready, _, _ = select.select(sockets, [], [], seconds)
    for line in lines:
        if line.socket in ready:
            line.hear()
