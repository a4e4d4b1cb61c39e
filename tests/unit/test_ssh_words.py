"""The command lines that the door to shells makes, without a connection."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.doors import process
from lab.doors.process import Result
from lab.doors.ssh import RemoteError, Shell

SHELL = Shell("brina", Path("build/halab/ssh_config"), Path("/repository"))


class Calls:
    """Stands in for the process door and answers with one result."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.seen: list[tuple[list[str], dict[str, Any]]] = []

    def __call__(self, argv: list[str], **named: Any) -> Result:
        self.seen.append((argv, named))
        return self.result


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    door = Calls(Result(("ssh",), 0, "out", ""))
    monkeypatch.setattr(process, "run", door)
    return door


def test_every_command_goes_by_the_labs_own_configuration(calls: Calls) -> None:
    assert SHELL.argv("-t") == ["ssh", "-F", "build/halab/ssh_config", "-t", "brina"]
    assert SHELL.succeed("uptime", timeout_s=7, stdin=b"in") == "out"
    SHELL.close()
    (command, options), (closing, closing_options) = calls.seen
    assert command == ["ssh", "-F", "build/halab/ssh_config", "-o", "BatchMode=yes", "brina", "--", "uptime"]
    assert options == {"timeout_s": 7, "stdin": b"in", "check": False, "cwd": Path("/repository")}
    assert closing == ["ssh", "-F", "build/halab/ssh_config", "-O", "exit", "brina"]
    assert closing_options["cwd"] == Path("/repository")


@pytest.mark.parametrize(("allowed_s", "connect_s"), [(0.2, "1"), (5, "5"), (20.7, "20")])
def test_a_look_never_asks_ssh_for_no_time_at_all(calls: Calls, allowed_s: float, connect_s: str) -> None:
    assert SHELL.reachable(allowed_s)
    ((argv, options),) = calls.seen
    assert f"ConnectTimeout={connect_s}" in argv
    assert options["timeout_s"] > allowed_s


def test_secrets_and_long_commands_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_masked", {"sesame-open"})
    monkeypatch.setattr(process, "run", Calls(Result(("ssh",), 1, "", "said sesame-open\n")))
    with pytest.raises(RemoteError) as caught:
        SHELL.succeed("echo sesame-open; " + "x" * 500)
    assert "sesame-open" not in caught.value.message
    assert caught.value.details == ("said ***",)
    assert len(caught.value.message) < 300


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), min_size=1, max_size=4))
def test_no_value_becomes_shell_text(values: list[str]) -> None:
    """Read back by Python's own splitter of POSIX words, every value is one word and itself."""
    with pytest.MonkeyPatch.context() as patch:
        door = Calls(Result(("ssh",), 0, "", ""))
        patch.setattr(process, "run", door)
        SHELL.run("tool " + " ".join(["%s"] * len(values)), *values)
    assert shlex.split(door.seen[0][0][-1]) == ["tool", *values]
