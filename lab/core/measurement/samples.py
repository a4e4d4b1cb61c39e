"""Requests of a client over time: one stream per service and target, one sample per request.

Times are seconds on the host's monotonic clock, the same for all streams of a drill, so they can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StreamKind = Literal["dns", "radius-access", "radius-accounting", "http-read", "http-write", "sip-options", "icmp"]

#: Kinds whose requests leave a numbered row behind, for the ledger of acknowledged writes.
WRITING_KINDS: tuple[StreamKind, ...] = ("radius-accounting", "http-write")


@dataclass(frozen=True)
class StreamSpec:
    """One kind of request to one machine, at a rate of its own.

    Args:
        kind: what is asked for.
        target: name of the guest or node that should answer.
        address: its address, with the port where there is one.
        interval_s: time from one request to the next, seconds.
        timeout_s: how long an answer is waited for, seconds.
    """

    kind: StreamKind
    target: str
    address: str
    interval_s: float
    timeout_s: float

    @property
    def name(self) -> str:
        """Name of the stream, unique in a lab, such as ``dns Passata``."""
        return f"{self.kind} {self.target}"


@dataclass(frozen=True)
class Sample:
    """One request.

    Args:
        number: counted from 1 within the stream, without gaps; the number of the row that a writing request stores
            is derived from it.
        sent_s: when it was sent.
        received_s: when the verdict was there: the valid answer, the refusal, or the end of the wait.
        ok: whether a valid answer came in time.
        detail: why not, in a few words; empty when it did.
    """

    number: int
    sent_s: float
    received_s: float
    ok: bool
    detail: str = ""

    @property
    def latency_s(self) -> float:
        """From sending to the verdict, seconds."""
        return self.received_s - self.sent_s


@dataclass(frozen=True)
class Recording:
    """A stream and all its samples, in the order of their numbers.

    Args:
        spec: the stream.
        samples: one for each request, without gaps.
        started_s: when recording began; that of the first request when None.
    """

    spec: StreamSpec
    samples: tuple[Sample, ...]
    started_s: float | None = None
