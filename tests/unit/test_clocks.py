"""Setting the clocks of nodes that were slow to listen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, chain
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.workflows import clocks
from lab.workflows.clocks import least_difference_s

MOMENTS = st.floats(min_value=0, max_value=2e9)
SPANS = st.floats(min_value=0, max_value=1e5)


class Shell:
    """Takes down what it is told, and refuses what cannot be done."""

    def __init__(self, refused: str = "") -> None:
        self.told: list[str] = []
        self.refused = refused

    def succeed(self, command: str, *_arguments: str, timeout_s: float) -> str:
        assert timeout_s > 0
        self.told.append(command.split(maxsplit=1)[0])
        if self.refused and command.startswith(self.refused):
            raise LabError("the agent is silent")
        return ""


def run(shell: Shell, durations_s: list[float], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Set the clocks of one node where each attempt takes as long as given; returns what a person is told."""
    moments = iter(accumulate(chain.from_iterable((0.0, duration_s) for duration_s in durations_s)))
    monkeypatch.setattr(clocks, "now_s", lambda: next(moments))
    said: list[str] = []

    def on_each(nodes: list[Any], work: Callable[[Any], Any]) -> list[Any]:
        return [work(node) for node in nodes]

    session: Any = SimpleNamespace(
        lab=SimpleNamespace(nodes=[SimpleNamespace(name="brina")], time_scale=1.0),
        on_each=on_each,
        shell=lambda _node: shell,
        reporter=SimpleNamespace(note=said.append, warn=said.append),
    )
    clocks.set_clocks(session)
    return said


def test_a_clock_is_set_again_until_it_was_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell()
    assert run(shell, [5.0, 2.0, 0.1], monkeypatch) == []
    assert shell.told == ["date", "date", "date", "late="]


def test_a_clock_that_stays_late_is_told_and_guests_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell()
    assert run(shell, [5.0, 4.0, 3.0, 2.0, 1.25], monkeypatch) == ["brina: the clock may be late by 1.2 s"]
    assert shell.told == ["date"] * 5 + ["late="]


@pytest.mark.parametrize("refused", ["date", "late="])
def test_a_clock_that_cannot_be_set_is_a_warning(refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(Shell(refused), [0.1], monkeypatch) == ["brina: the clock was not set: the agent is silent"]


@given(before_s=MOMENTS, took_s=SPANS, place=st.floats(min_value=0, max_value=1))
def test_a_late_answer_is_no_difference(before_s: float, took_s: float, place: float) -> None:
    after_s = before_s + took_s
    shown_s = min(after_s, before_s + place * took_s)
    assert least_difference_s(shown_s, before_s, after_s) == 0


@given(before_s=MOMENTS, took_s=SPANS, away_s=SPANS)
def test_a_difference_is_never_made_greater(before_s: float, took_s: float, away_s: float) -> None:
    after_s = before_s + took_s
    for shown_s in (before_s - away_s, after_s + away_s):
        assert least_difference_s(shown_s, before_s, after_s) == pytest.approx(away_s, abs=1e-6)
