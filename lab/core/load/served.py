"""What was sent and what was served of it, for each kind of request and guest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.core.load.profile import LoadKind, Profile, Stream


@dataclass(frozen=True)
class Served:
    """One stream at the end of a run.

    Args:
        kind, guest: as in :class:`lab.core.load.profile.Stream`.
        wanted_per_s: requests a second that should have been sent.
        sent: requests sent; of calls those begun.
        answered: those that got the right answer in time; of calls those completed.
        wrong: those that got another answer.
        seconds: how long requests were sent.
        latency_ms: of answered requests: ``mean``, ``min``, ``max``, and ``p50``, ``p90``, ``p99`` where every request
            was timed by itself; empty when nothing was answered or timed.
        at_once: calls at once that were wanted; 0 for all other kinds.
        remark: what the sender has to say; empty when nothing.
    """

    kind: LoadKind
    guest: str
    wanted_per_s: float
    sent: int
    answered: int
    wrong: int
    seconds: float
    latency_ms: dict[str, float] = field(default_factory=dict)
    at_once: int = 0
    remark: str = ""

    @property
    def lost(self) -> int:
        """Requests that got no answer in time."""
        return max(0, self.sent - self.answered - self.wrong)

    @property
    def untried(self) -> bool:
        """Whether nothing was sent, and nothing stood in the way: the time was too short for the rate."""
        return not self.sent and not self.remark

    @property
    def sent_per_s(self) -> float:
        """Requests a second that were sent."""
        return self.sent / self.seconds if self.seconds > 0 else 0.0

    @property
    def answered_per_s(self) -> float:
        """Requests a second that were served."""
        return self.answered / self.seconds if self.seconds > 0 else 0.0

    def as_document(self) -> dict[str, object]:
        """The stream as JSON knows it."""
        return {
            "kind": self.kind,
            "guest": self.guest,
            "wanted_per_s": round(self.wanted_per_s, 3),
            "sent": self.sent,
            "answered": self.answered,
            "wrong": self.wrong,
            "lost": self.lost,
            "seconds": round(self.seconds, 3),
            "sent_per_s": round(self.sent_per_s, 3),
            "answered_per_s": round(self.answered_per_s, 3),
            "latency_ms": {name: round(value, 3) for name, value in self.latency_ms.items()},
            "calls_at_once": self.at_once,
            "remark": self.remark,
        }

    def as_row(self) -> tuple[str, ...]:
        """The stream as cells of :data:`HEADINGS`."""
        latency = self.latency_ms
        middle = latency.get("p50", latency.get("mean"))
        return (
            f"{self.kind} {self.guest}",
            f"{self.wanted_per_s:.2f}",
            f"{self.sent_per_s:.2f}",
            f"{self.answered_per_s:.2f}",
            *(str(number) for number in (self.sent, self.answered, self.wrong, self.lost)),
            "-" if middle is None else f"{middle:.1f}",
            f"{latency['max']:.1f}" if "max" in latency else "-",
        )


HEADINGS = (
    *("stream", "wanted/s", "sent/s", "served/s", "sent", "answered", "wrong", "lost"),
    *("typical ms", "longest ms"),
)


def not_sent(stream: Stream, seconds: float, remark: str) -> Served:
    """The verdict on a stream of which nothing could be sent."""
    return Served(stream.kind, stream.guest, stream.rate_per_s, 0, 0, 0, seconds, at_once=stream.at_once, remark=remark)


def latency_figures(latencies_ms: Sequence[float]) -> dict[str, float]:
    """Mean, smallest, largest, and percentiles by nearest rank; empty without a value.

    Args:
        latencies_ms: one value for each answered request, in any order.
    """
    if not latencies_ms:
        return {}
    ordered = sorted(latencies_ms)
    figures = {"mean": sum(ordered) / len(ordered), "min": ordered[0], "max": ordered[-1]}
    for percent in (50, 90, 99):
        figures[f"p{percent}"] = ordered[math.ceil(len(ordered) * percent / 100) - 1]
    return figures


def as_document(profile: Profile, scale: float, seconds: float, served: Sequence[Served]) -> dict[str, object]:
    """A run as JSON knows it.

    Args:
        profile: the load before scaling.
        scale: the factor it was scaled by.
        seconds: how long it was to be sent.
        served: what came of it.
    """
    return {
        "profile": profile.name,
        "scale": scale,
        "seconds": round(seconds, 3),
        "streams": [one.as_document() for one in served],
    }


def as_text(served: Sequence[Served]) -> str:
    """A table of all streams, and what their senders have to say."""
    rows = [HEADINGS, *(one.as_row() for one in served)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *(f"{one.kind} {one.guest}: {one.remark}" for one in served if one.remark)])
