"""Time and waiting: deadlines on the monotonic clock that nest, and the only loop that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from lab.core.errors import LabError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock.

    Args:
        at_s: the point, in seconds of :func:`time.monotonic`.
        allowed_s: how long was allowed, for messages.
    """

    at_s: float
    allowed_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """A deadline this many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    def remaining_s(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at_s - time.monotonic())

    def passed(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self.at_s

    def nested(self, seconds: float) -> Deadline:
        """An inner deadline that never ends after this one."""
        return Deadline(min(self.at_s, time.monotonic() + seconds), seconds)


class WaitError(LabError):
    """A condition did not come true in time, or can no longer come true."""


def now_s() -> float:
    """The monotonic clock, seconds."""
    return time.monotonic()


def wall_s() -> float:
    """The wall clock, seconds since 1970; only for what is compared with other machines' clocks."""
    return time.time()


def stamp() -> str:
    """The wall clock in UTC as part of a file name, such as ``20261125T101500Z``."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def pause(seconds: float) -> None:
    """Let time pass between two looks at a condition; never a wait for something to have happened."""
    time.sleep(seconds)


class _Progressing:
    """A deadline that starts anew with every state that was not seen before, up to twice as long in all."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._began_s = deadline.at_s - deadline.allowed_s
        self._limit_s = deadline.allowed_s
        self._seen: set[Hashable] = set()

    def deadline_after(self, state: Hashable) -> Deadline:
        if state not in self._seen:
            self._seen.add(state)
            at_s = min(time.monotonic() + self._limit_s, self._began_s + 2 * self._limit_s)
            self._deadline = Deadline(at_s, at_s - self._began_s)
        return self._deadline


def wait_until(
    look: Callable[[], Value | None],
    *,
    what: str,
    deadline: Deadline,
    interval_s: float = 0.5,
    rest: float = 0.0,
    hopeless: Callable[[], str] | None = None,
    remedy: str = "",
    details: Callable[[], list[str]] | None = None,
    progress: Callable[[], Hashable] | None = None,
) -> Value:
    """Look until a value that is neither None nor False comes back.

    Args:
        look: returns the value, or None/False for not yet.
        what: what is waited for, as in "waiting for {what}".
        deadline: when to give up.
        interval_s: pause between looks, at least.
        rest: pause between looks, at least so many times as long as the last one took. For looks that cost those who
            are looked at the time that they need to come to it.
        hopeless: returns why it can no longer come true (fails at once), or an empty string.
        remedy: what a person can try.
        details: called once at failure, for last output.
        progress: what the look saw; whatever was not seen before starts the time anew, up to twice as long in all. For
            what consists of several steps, whose number says nothing about how long one of them may take.

    Raises:
        WaitError: at the deadline, or as soon as ``hopeless`` says why.
    """
    progressing = _Progressing(deadline)
    while True:
        began_s = time.monotonic()
        value = look()
        pause_s = max(interval_s, rest * (time.monotonic() - began_s))
        if value is not None and value is not False:
            return value
        why = hopeless() if hopeless else ""
        if why:
            raise WaitError(f"{what}: {why}", remedy=remedy, details=details() if details else ())
        if progress:
            deadline = progressing.deadline_after(progress())
        if deadline.passed():
            raise WaitError(
                f"{what}: not so after {deadline.allowed_s:.0f} s", remedy=remedy, details=details() if details else ()
            )
        pause(min(pause_s, max(0.01, deadline.remaining_s())))
