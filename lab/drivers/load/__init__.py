"""Senders of load, one module for each tool; all streams at once, each bound to the host's address beside its guest.

A sender is bounded in time and number, counts what it sent and what was served of it, and ends early when it is told
to. A service that is down is a result and no error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.core.addressing import guest_gateway, guest_ip, service_gateway
from lab.core.errors import LabError
from lab.core.load.profile import LoadKind, Stream
from lab.core.load.served import Served, not_sent
from lab.core.model import Lab, Secrets
from lab.doors.clock import Deadline, wait_until
from lab.drivers.load.calls import send_calls
from lab.drivers.load.dns import send_dns
from lab.drivers.load.http import send_http
from lab.drivers.load.radius import send_radius
from lab.drivers.load.sender import Task
from lab.drivers.probes import ServicePorts
from lab.drivers.probes.exchange import explained, require_present, require_usable

SENDERS: dict[LoadKind, Callable[[Task], Served]] = {
    "dns": send_dns,
    "radius-access": send_radius,
    "radius-accounting": send_radius,
    "http": send_http,
    "sip-call": send_calls,
}


@dataclass(frozen=True)
class Sending:
    """Streams that are being sent.

    Args:
        futures: per stream, in order, what will come of it.
        stop: set when sending is to end early.
    """

    futures: tuple[Future[Served], ...]
    stop: threading.Event

    def wait(self, limit_s: float) -> None:
        """Wait until all senders have ended by themselves, or one has failed.

        Raises:
            WaitError: they have not when the limit has passed.
        """
        wait_until(
            lambda: all(future.done() for future in self.futures) or self._failed(),
            what="senders of load to end",
            deadline=Deadline.after(limit_s),
            interval_s=0.1,
        )

    def _failed(self) -> bool:
        return any(future.done() and future.exception() is not None for future in self.futures)

    def finish(self) -> list[Served]:
        """End all senders and return what came of them; may be called again.

        Raises:
            LabError: a tool is not installed, or failed by its own fault.
        """
        self.stop.set()
        return [future.result() for future in self.futures]


@contextmanager
def sending(
    lab: Lab,
    secrets: Secrets,
    streams: Sequence[Stream],
    *,
    seconds: float,
    timeout_s: float,
    ports: ServicePorts | None = None,
) -> Iterator[Sending]:
    """Send streams side by side until their time is over, or until the end of the block.

    Args:
        lab: the lab.
        secrets: its secrets.
        streams: what to send.
        seconds: how long, at most.
        timeout_s: how long each answer is waited for.
        ports: where the services listen, if not on their assigned ports.

    Raises:
        LabError: the lab's network is not up, or the timeout is not positive.
    """
    source = service_gateway(lab)
    require_usable(source, timeout_s)
    try:
        require_present(source)
    except OSError as error:
        raise LabError(explained(error, source, timeout_s), remedy="Start the lab with ./inv lab.up") from error
    guests = {guest.name: guest for guest in lab.guests}
    stop, hurry = threading.Event(), threading.Event()
    with TemporaryDirectory(prefix=f"{lab.name}-load-") as work:
        pool = ThreadPoolExecutor(max_workers=max(1, len(streams)))
        try:
            futures = []
            for number, stream in enumerate(streams):
                place = Path(work) / str(number)
                place.mkdir()
                task = Task(
                    stream=stream,
                    source=guest_gateway(lab, guests[stream.guest]),
                    server=guest_ip(lab, guests[stream.guest]),
                    zone=lab.network.zone,
                    secrets=secrets,
                    seconds=seconds,
                    timeout_s=timeout_s,
                    work=place,
                    ports=ports or ServicePorts(),
                    stop=stop,
                    hurry=hurry,
                )
                futures.append(pool.submit(_send, task))
            yield Sending(tuple(futures), stop)
        except BaseException:
            hurry.set()
            raise
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _send(task: Task) -> Served:
    try:
        return SENDERS[task.stream.kind](task)
    except OSError as error:
        return not_sent(task.stream, task.seconds, explained(error, task.source, task.timeout_s))
