"""Which tests of the real lab still fit into the time that a run was given."""

from __future__ import annotations

from dataclasses import dataclass

#: What a test may need beyond what those before it let expect: a machine that others share is no clock.
MARGIN = 1.25


@dataclass
class TimeLeft:
    """A run that has to end, and how slow its machine has shown itself to be.

    ``until_s``: the moment, on the monotonic clock, at which all tests have to be over; ``None`` for no such moment.
    ``reserve_s``: what removing the lab takes at the end, on a machine of normal speed.
    """

    until_s: float | None
    reserve_s: float = 30.0
    #: The most that a test has needed so far, as a multiple of what it is declared to take; never below 1. The most and
    #: not the mean: on a machine that has nothing left, a drill was seen to become five times as long where building
    #: the lab became twice as long.
    slowness: float = 1.0

    def record(self, declared_s: float, needed_s: float) -> None:
        """A test was run that is declared to take so many seconds, and needed so many."""
        self.slowness = max(self.slowness, needed_s / declared_s)

    def refusal(self, declared_s: float, now_s: float) -> str:
        """Why a test that is declared to take so many seconds cannot be begun any more; empty when it can."""
        if self.until_s is None:
            return ""
        expected_s = (declared_s + self.reserve_s) * self.slowness * MARGIN
        left_s = self.until_s - now_s
        if expected_s <= left_s:
            return ""
        left_min = max(0.0, left_s) / 60
        return (
            f"not run: it and the lab's removal may take {expected_s / 60:.0f} min, {left_min:.0f} min are left"
            f" (tests take {self.slowness:.1f} times what they take on the machine of the README); --within 0 runs all"
        )
