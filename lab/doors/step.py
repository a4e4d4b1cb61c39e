"""One step of a run, and what a place that shows steps has to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from lab.doors.process import masked


@dataclass(eq=False)
class Step:
    """One step of a run.

    Args:
        name: what is done, as a person would say it.
        node: the node or guest it is done to; empty for all of them.
        depth: 0 for an outermost step.
        path: its name with the outer ones before it, joined by `` / ``.
        started_s: when it began, on the monotonic clock.
        expected_s: how long it took last time, seconds; None when that is not known.
        details: whatever the step wants to leave in the event log when it ends.
        duration_s: how long it took; None while it runs.
        failure: why it failed; empty while it runs and when it went well.
    """

    name: str
    node: str
    depth: int
    path: str
    started_s: float
    expected_s: float | None
    details: dict[str, object] = field(default_factory=dict)
    duration_s: float | None = None
    failure: str = ""

    @property
    def title(self) -> str:
        """The name, with the node before it."""
        return masked(f"{self.node}: {self.name}" if self.node else self.name)


class View(Protocol):
    """Where progress is shown; called by several threads."""

    def started(self, step: Step) -> None:
        """A step began."""

    def ended(self, step: Step) -> None:
        """A step ended, well or not."""

    def said(self, text: str, *, warning: bool) -> None:
        """A remark."""


def outcome(step: Step) -> str:
    """How a step ended, in words."""
    duration_s = step.duration_s or 0.0
    if step.failure:
        first_line = (step.failure.splitlines() or [""])[0]
        return f"FAILED after {duration_s:.1f} s: {first_line}"
    expected = f" (last time {step.expected_s:.1f} s)" if step.expected_s is not None else ""
    return f"done in {duration_s:.1f} s{expected}"


__all__ = ["Step", "View", "outcome"]
