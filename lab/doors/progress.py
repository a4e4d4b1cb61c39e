"""What a run shows and records: nested, timed steps, on a terminal or as plain lines, and in the event log.

A workflow gets one :class:`Reporter` and says what it does::

    with reporter.step("boot the nodes"):
        ...  # in one thread per node:
        with reporter.step("wait for ssh", node="brina"):
            ...

Showing progress never makes a run fail: a view that breaks is dropped, and the run goes on.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lab.core.errors import LabError
from lab.doors.clock import now_s
from lab.doors.events import EventLog
from lab.doors.process import masked
from lab.doors.step import Step, View, outcome


class PlainView:
    """One line for every event, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began_s = now_s()
        self._lock = threading.Lock()

    def started(self, step: Step) -> None:
        """Write that a step began."""
        expected = f" (last time {step.expected_s:.1f} s)" if step.expected_s is not None else ""
        self._line("  " * step.depth + f"{step.title} ...{expected}")

    def ended(self, step: Step) -> None:
        """Write how a step ended."""
        self._line("  " * step.depth + f"{step.title}: {outcome(step)}")

    def said(self, text: str, *, warning: bool) -> None:
        """Write a remark."""
        self._line(f"WARNING: {text}" if warning else text)

    def _line(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"{now_s() - self._began_s:7.1f} s  {text}\n")
            self._stream.flush()


class Durations:
    """How long each step took when it last went well, kept in a JSON file.

    Args:
        path: the file; None keeps nothing. A file that cannot be read or written is as good as none.
        verb: what the run does; equal steps of different verbs are kept apart.
    """

    def __init__(self, path: Path | None, verb: str) -> None:
        self._path = path
        self._verb = verb
        self._known = self._read()
        self._new: dict[str, float] = {}
        self._lock = threading.Lock()

    def expected_s(self, path: str, node: str) -> float | None:
        """Seconds that this step took last time; None when it has not been seen."""
        return self._known.get(self._key(path, node))

    def record(self, path: str, node: str, seconds: float) -> None:
        """Remember a step that went well."""
        with self._lock:
            self._new[self._key(path, node)] = round(seconds, 2)

    def save(self) -> None:
        """Write what was recorded, keeping what other runs wrote meanwhile."""
        if self._path is None or not self._new:
            return
        with self._lock:
            text = json.dumps(dict(sorted({**self._read(), **self._new}.items())), indent=1)
            fresh = self._path.with_name(f"{self._path.name}.{threading.get_native_id()}.new")
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                fresh.write_text(text + "\n", encoding="utf-8")
                fresh.replace(self._path)
            except OSError:
                return  # only an expectation is lost

    def _key(self, path: str, node: str) -> str:
        return f"{self._verb} / {path}" + (f" @ {node}" if node else "")

    def _read(self) -> dict[str, float]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8")) if self._path else {}
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: float(value) for key, value in found.items() if isinstance(value, int | float)}


class Reporter:
    """What workflows are handed to say what they do; shows it and logs it. Safe to use from several threads.

    A step begun in a thread without open steps of its own belongs to the innermost open step of the thread that made
    the reporter, so that work handed to one thread per node nests where a reader expects it.

    Args:
        view: where progress is shown; None shows nothing.
        log: the event log.
        durations: expectations from the last run.
    """

    def __init__(
        self, view: View | None = None, log: EventLog | None = None, durations: Durations | None = None
    ) -> None:
        self._view = view
        self.log = log or EventLog(None)
        self._durations = durations or Durations(None, "")
        self._home = threading.get_ident()
        self._open: dict[int, list[Step]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def step(self, name: str, node: str | None = None) -> Iterator[Step]:
        """A step that lasts as long as its block; whatever the block raises is recorded and goes on.

        Args:
            name: what is done, as a person would say it.
            node: the node or guest it is done to.
        """
        step = self._begin(name, node or "")
        self._show("started", step)
        self.log.write("step-started", step=step.path, node=step.node)
        try:
            yield step
        except BaseException as error:
            step.failure = masked(str(error) or type(error).__name__)
            raise
        finally:
            self._end(step)

    def note(self, text: str) -> None:
        """Say something worth knowing."""
        self._show("said", masked(text), warning=False)
        self.log.write("note", step=self._current_path(), details={"text": text})

    def warn(self, text: str) -> None:
        """Say something that a person should look at, though the run goes on."""
        self._show("said", masked(text), warning=True)
        self.log.write("warning", step=self._current_path(), details={"text": text})

    def fact(self, key: str, value: object) -> None:
        """Record a fact of this run, such as the accelerator; it is logged and not shown."""
        self.log.write("fact", step=self._current_path(), details={key: value})

    def failed(self, error: LabError) -> None:
        """Record the error that ends the run; printing it is the surface's part."""
        details: Mapping[str, object] = {
            "text": error.message,
            "remedy": error.remedy,
            "details": list(error.details),
            "exit_code": error.exit_code,
        }
        self.log.write("error", ok=False, details=details)

    def close(self) -> None:
        """Keep the durations and close the log."""
        self._durations.save()
        self.log.close()

    def _begin(self, name: str, node: str) -> Step:
        thread = threading.get_ident()
        with self._lock:
            own = self._open.setdefault(thread, [])
            around = own or self._open.get(self._home, [])
            outer = around[-1] if around else None
            path = f"{outer.path} / {name}" if outer else name
            node = node or (outer.node if outer else "")
            expected_s = self._durations.expected_s(path, node)
            step = Step(name, node, outer.depth + 1 if outer else 0, path, now_s(), expected_s)
            own.append(step)
        return step

    def _end(self, step: Step) -> None:
        step.duration_s = now_s() - step.started_s
        ok = not step.failure
        with self._lock:
            own = self._open.get(threading.get_ident(), [])
            if step in own:
                own.remove(step)
        if ok:
            self._durations.record(step.path, step.node, step.duration_s)
        if step.depth == 0:
            self._durations.save()
        details = {**step.details, **({"failure": step.failure} if step.failure else {})}
        self.log.write("step-ended", step=step.path, node=step.node, duration_s=step.duration_s, ok=ok, details=details)
        self._show("ended", step)

    def _current_path(self) -> str:
        with self._lock:
            around = self._open.get(threading.get_ident()) or self._open.get(self._home) or []
            return around[-1].path if around else ""

    def _show(self, event: str, *arguments: object, **options: object) -> None:
        if self._view is None:
            return
        try:
            getattr(self._view, event)(*arguments, **options)
        except Exception as error:  # a closed pipe or a strange terminal must not end the run
            self._view = None
            self.log.write("warning", details={"text": f"progress is no longer shown: {error}"})


def open_reporter(build: Path, lab: str, verb: str, stream: TextIO | None = None) -> Reporter:
    """The reporter of a run: shown on ``stream`` (standard error), logged to ``build/<lab>/events.jsonl``.

    Standard output stays free for results such as ``--json``.

    Args:
        build: the directory of everything that is generated.
        lab: name of the lab.
        verb: what the run does, such as ``up``.
        stream: where to show progress.
    """
    target = stream or sys.stderr
    view: View = PlainView(target)
    if target.isatty():
        # Imported here because rich takes longer to load than a short task takes to run.
        from lab.doors.terminal import TerminalView  # noqa: PLC0415

        view = TerminalView(target)
    return Reporter(view, EventLog(build / lab / "events.jsonl"), Durations(build / "durations.json", verb))


__all__ = ["Durations", "PlainView", "Reporter", "open_reporter"]
