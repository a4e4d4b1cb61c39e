"""What a client saw of one service: the results of probes, and what they add up to.

Nothing in here speaks to a network; the probes that fill these in are in :mod:`lab.drivers.probes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ProbeResult:
    """The outcome of one request of a client.

    Args:
        service: what was asked for, such as ``dns`` or ``radius-accounting``.
        guest: name of the guest that should answer; empty when the target is no guest.
        target: where the request went, as ``address:port``, or the address alone where there are no ports.
        ok: whether the client was served, which means the right answer and not merely some answer.
        detail: what was received, or why that is not good enough; one sentence without a final full stop.
        latency_ms: from the first packet of the request to the verdict, in milliseconds.
    """

    service: str
    guest: str
    target: str
    ok: bool
    detail: str
    latency_ms: float

    def as_document(self) -> dict[str, str | bool | float]:
        """The result as it stands in a JSON report; the latency is rounded to microseconds."""
        return {**asdict(self), "latency_ms": round(self.latency_ms, 3)}

    def as_line(self) -> str:
        """The result as one line for a person."""
        who = f"{self.guest} ({self.target})" if self.guest else self.target
        verdict = "ok" if self.ok else "FAILED"
        return f"{self.service} {who}: {verdict}, {self.detail} [{self.latency_ms:.1f} ms]"


def all_served(results: Sequence[ProbeResult]) -> bool:
    """Whether every request was served; no request at all proves nothing and is False."""
    return bool(results) and all(result.ok for result in results)


def not_served(results: Iterable[ProbeResult]) -> tuple[ProbeResult, ...]:
    """The results that are not ok, in order."""
    return tuple(result for result in results if not result.ok)


def served_guests(results: Iterable[ProbeResult]) -> dict[str, bool]:
    """For each guest that was asked, in order of first appearance, whether all its answers were right."""
    verdicts: dict[str, bool] = {}
    for result in results:
        if result.guest:
            verdicts[result.guest] = verdicts.get(result.guest, True) and result.ok
    return verdicts
