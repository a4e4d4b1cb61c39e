from __future__ import annotations

import pytest

from lab.core.errors import LabError
from lab.doors import clock
from lab.doors.clock import Deadline, WaitError, wait_until


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only moves when something pauses."""
    now = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(clock.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_a_nested_deadline_never_ends_after_the_outer_one(time: list[float]) -> None:
    outer = Deadline.after(10)
    assert outer.nested(60).at_s == outer.at_s
    assert outer.nested(3).remaining_s() == 3
    time[0] += 11
    assert outer.passed()
    assert outer.remaining_s() == 0


def test_waiting_returns_the_value_as_soon_as_there_is_one(time: list[float]) -> None:
    values = iter([None, False, 0])
    assert wait_until(lambda: next(values), what="x", deadline=Deadline.after(60), interval_s=2) == 0
    assert time[0] == 104


def test_waiting_looks_once_more_at_the_deadline_and_then_fails(time: list[float]) -> None:
    looks = []
    with pytest.raises(WaitError) as caught:
        wait_until(
            lambda: looks.append(time[0]),
            what="waiting for ssh",
            deadline=Deadline.after(3),
            interval_s=2,
            remedy="Look",
            details=lambda: ["last line"],
        )
    assert caught.value.message == "waiting for ssh: not so after 3 s"
    assert caught.value.details == ("last line",)
    assert looks == [100, 102, 103]


def test_waiting_ends_at_once_when_it_is_hopeless(time: list[float]) -> None:
    with pytest.raises(LabError, match="the machine is off"):
        wait_until(lambda: None, what="ssh", deadline=Deadline.after(99), hopeless=lambda: "the machine is off")
    assert time[0] == 100


def test_what_is_seen_for_the_first_time_starts_the_time_anew(time: list[float]) -> None:
    states = iter(["three away"] * 3 + ["two away"] * 3 + ["one away"] * 3 + [""])
    seen = [""]

    def look() -> bool:
        seen[0] = next(states)
        return not seen[0]

    wait_until(look, what="x", deadline=Deadline.after(50), interval_s=10, progress=lambda: seen[0])
    assert time[0] == 190


def test_going_to_and_fro_is_no_progress(time: list[float]) -> None:
    with pytest.raises(WaitError, match="x: not so after 60 s"):
        wait_until(
            lambda: None,
            what="x",
            deadline=Deadline.after(50),
            interval_s=10,
            progress=lambda: (time[0] // 10) % 2,
        )
    assert time[0] == 160


def test_progress_makes_the_time_twice_as_long_at_most(time: list[float]) -> None:
    with pytest.raises(WaitError, match="x: not so after 100 s"):
        wait_until(lambda: None, what="x", deadline=Deadline.after(50), interval_s=10, progress=lambda: time[0])
    assert time[0] == 200


def test_after_a_look_that_took_long_there_is_as_much_rest(time: list[float]) -> None:
    """Or those who are looked at spend their time on being looked at."""
    looks: list[float] = []

    def look(takes_s: float) -> bool:
        looks.append(time[0])
        time[0] += takes_s
        return len(looks) == 3

    wait_until(lambda: look(8), what="x", deadline=Deadline.after(100), interval_s=2, rest=1.5)
    assert looks == [100, 120, 140]
    looks.clear()
    wait_until(lambda: look(0.5), what="x", deadline=Deadline.after(100), interval_s=2, rest=1.5)
    assert looks == [148, 150.5, 153]
