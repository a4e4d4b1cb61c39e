from __future__ import annotations

import io
import json
import re
import threading
from pathlib import Path

import pytest
from rich.console import Console

from lab.core.errors import LabError
from lab.doors import process
from lab.doors.events import EventLog
from lab.doors.progress import Durations, PlainView, Reporter, open_reporter
from lab.doors.terminal import TerminalView


def without_times(text: str) -> list[str]:
    return [re.sub(r"\d+\.\d+ s", "T", line).strip() for line in text.splitlines()]


def events(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_plain_output_nests_and_names_nodes() -> None:
    stream = io.StringIO()
    reporter = Reporter(PlainView(stream))
    with reporter.step("boot"):
        with reporter.step("wait for ssh", node="brina"):
            reporter.note("it answers")
        reporter.warn("slow")
    assert without_times(stream.getvalue()) == [
        "T  boot ...",
        "T    brina: wait for ssh ...",
        "T  it answers",
        "T    brina: wait for ssh: done in T",
        "T  WARNING: slow",
        "T  boot: done in T",
    ]


def test_a_failed_step_says_why_and_lets_the_error_through() -> None:
    stream = io.StringIO()
    reporter = Reporter(PlainView(stream))
    with pytest.raises(LabError), reporter.step("boot"):
        raise LabError("no such image")
    assert without_times(stream.getvalue())[-1] == "T  boot: FAILED after T: no such image"


def test_steps_of_other_threads_belong_to_the_open_step_of_the_first(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    reporter = Reporter(None, log)
    barrier = threading.Barrier(2)

    def work(node: str) -> None:
        with reporter.step("boot", node=node), reporter.step("firmware"):
            barrier.wait(timeout=5)

    with reporter.step("nodes"):
        threads = [threading.Thread(target=work, args=(node,)) for node in ("brina", "piova")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    reporter.close()
    ended = {(e["step"], e.get("node")) for e in events(tmp_path / "events.jsonl") if e["kind"] == "step-ended"}
    inner = {("nodes / boot / firmware", node) for node in ("brina", "piova")}
    assert ended == {("nodes", None)} | {("nodes / boot", node) for node in ("brina", "piova")} | inner


def test_the_last_duration_is_the_next_expectation(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    first = Reporter(None, None, Durations(path, "up"))
    with first.step("boot", node="brina"):
        pass
    stream = io.StringIO()
    with Reporter(PlainView(stream), None, Durations(path, "up")).step("boot", node="brina"):
        pass
    assert without_times(stream.getvalue())[0] == "T  brina: boot ... (last time T)"
    assert Durations(path, "down").expected_s("boot", "brina") is None


def test_a_failed_step_leaves_no_expectation(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    with pytest.raises(LabError), Reporter(None, None, Durations(path, "up")).step("boot"):
        raise LabError("no")
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "not json", "[1]", '{"up / boot": "long"}'])
def test_damaged_durations_are_as_good_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "durations.json"
    path.write_text(content, encoding="utf-8")
    assert Durations(path, "up").expected_s("boot", "") is None


def test_a_view_that_breaks_does_not_break_the_run(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = EventLog(tmp_path / "events.jsonl")
    reporter = Reporter(PlainView(stream), log)
    stream.close()
    with reporter.step("boot"):
        pass
    kinds = [event["kind"] for event in events(tmp_path / "events.jsonl")]
    assert kinds == ["warning", "step-started", "step-ended"]


def test_secrets_are_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_masked", set())
    process.mask(['swordfish"7'])
    stream = io.StringIO()
    reporter = open_reporter(tmp_path, "halab", "up", stream)
    with pytest.raises(LabError), reporter.step('log in with swordfish"7') as step:
        step.details["nested"] = {"list": ['swordfish"7']}
        reporter.note('the password is swordfish"7')
        reporter.fact("password", 'swordfish"7')
        raise LabError('wrong password swordfish"7')
    reporter.close()
    logged = (tmp_path / "halab/events.jsonl").read_text(encoding="utf-8")
    assert "swordfish" not in stream.getvalue() + logged
    assert logged.count("***") >= 5


def test_the_terminal_shows_nodes_side_by_side_and_keeps_finished_steps() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    view = TerminalView(stream, console)
    reporter = Reporter(view)
    with reporter.step("boot the nodes"), reporter.step("ssh", node="brina"), reporter.step("ssh", node="piova"):
        with console.capture() as capture:
            console.print(view._picture())
        picture = capture.get()
    header = next(line for line in picture.splitlines() if "brina" in line)
    assert "piova" in header
    assert "▸ boot the nodes" in picture
    assert "✓ boot the nodes: done in" in stream.getvalue()
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(timeout=5)
        assert not thread.is_alive()
