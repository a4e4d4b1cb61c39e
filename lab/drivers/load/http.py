"""Load of the management system: its page of rows, fetched again and again, each time by a client of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lab.core.load.served import Served, latency_figures
from lab.core.service_result import ProbeResult
from lab.drivers.load.sender import Task, at_rate
from lab.drivers.probes import probe_http_page


def send_http(task: Task) -> Served:
    """Fetch the page at the stream's rate, whatever is answered; nothing is written.

    Args:
        task: what to send and for how long.
    """
    stream = task.stream
    results: list[ProbeResult] = []

    def fetch() -> None:
        results.append(
            probe_http_page(task.server, task.source, task.timeout_s, guest=stream.guest, port=task.ports.http)
        )

    # As many as can be open at once at this rate, so that none waits for another one.
    with ThreadPoolExecutor(max_workers=math.ceil(stream.rate_per_s * task.timeout_s) + 2) as pool:
        sent, seconds = at_rate(task, lambda: _start(pool, fetch), lambda seconds: _pass(task, seconds))
    served = [result for result in results if result.ok]
    reasons = sorted({result.detail for result in results if not result.ok})
    wrong = sum(result.detail.startswith("GET ") for result in results if not result.ok)
    return Served(
        kind=stream.kind,
        guest=stream.guest,
        wanted_per_s=stream.rate_per_s,
        sent=sent,
        answered=len(served),
        wrong=wrong,
        seconds=seconds,
        latency_ms=latency_figures([result.latency_ms for result in served]),
        remark="; ".join(reasons[:3]),
    )


def _start(pool: ThreadPoolExecutor, fetch: Callable[[], None]) -> None:
    pool.submit(fetch)


def _pass(task: Task, seconds: float) -> None:
    task.stop.wait(seconds)
