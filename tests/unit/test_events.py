from __future__ import annotations

import json
import threading
from datetime import datetime
from pathlib import Path

from lab.doors.events import EventLog


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_event_has_both_clocks_and_what_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "new/events.jsonl"
    EventLog(path).write("step-ended", step="a / b", node="brina", duration_s=1.23456, ok=False, details={"rc": 3})
    (event,) = read(path)
    assert datetime.fromisoformat(str(event.pop("time"))).tzinfo is not None
    assert isinstance(event.pop("monotonic_s"), float)
    assert isinstance(event.pop("run"), int)
    assert event == {
        "kind": "step-ended",
        "step": "a / b",
        "node": "brina",
        "duration_s": 1.235,
        "ok": False,
        "details": {"rc": 3},
    }


def test_a_second_run_appends(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        log = EventLog(path)
        log.write("note", details={"text": "ciò\n"})
        log.close()
        log.write("note")
        log.close()
    assert [event["kind"] for event in read(path)] == ["note"] * 4


def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)

    def write(node: str) -> None:
        for number in range(50):
            log.write("fact", node=node, details={"number": number, "path": Path("/x")})

    threads = [threading.Thread(target=write, args=(f"n{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(path)) == 200


def test_a_log_that_cannot_be_written_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    log = EventLog(tmp_path / "file/events.jsonl")
    log.write("note")
    assert "events.jsonl" in log.trouble
