"""The event log: what happened in a run, as JSON lines that a report can be drawn from later.

One line is one object with ``time`` (wall clock, ISO 8601 with offset), ``monotonic_s``, ``run`` (a number that tells
the runs in one file apart), ``kind`` and, where they apply, ``step``, ``node``, ``duration_s``, ``ok``, ``details``.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from lab.doors.process import masked


class EventLog:
    """Appends events to a file; safe to use from several threads, and every line is flushed.

    The log serves the run, not the other way round: when it cannot be written, the run goes on and
    :attr:`trouble` says why.

    Args:
        path: the file; its directory is made, and nothing in it is ever overwritten. None keeps no log.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.trouble = ""
        self._lock = threading.Lock()
        self._run = time.time_ns() // 1_000_000
        self._stream: TextIO | None = None

    def write(
        self,
        kind: str,
        *,
        step: str = "",
        node: str = "",
        duration_s: float | None = None,
        ok: bool | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Append one event, secrets masked.

        Args:
            kind: what kind of event, such as ``step-started``, ``step-ended``, ``note``, ``warning`` or ``fact``.
            step: the step it belongs to, with the outer ones before it, joined by `` / ``.
            node: the node or guest it is about.
            duration_s: how long it took, seconds.
            ok: whether it went well.
            details: further values; whatever JSON does not know is written as text.
        """
        event: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "monotonic_s": round(time.monotonic(), 3),
            "run": self._run,
            "kind": kind,
        }
        optional = {"step": step, "node": node, "ok": ok, "details": _masked(dict(details)) if details else None}
        event |= {key: value for key, value in optional.items() if value not in (None, "")}
        if duration_s is not None:
            event["duration_s"] = round(duration_s, 3)
        if step:
            event["step"] = masked(step)
        self._append(json.dumps(event, ensure_ascii=False, default=lambda value: masked(str(value))))

    def close(self) -> None:
        """Close the file; a later event opens it again."""
        with self._lock:
            if self._stream is not None:
                self._stream.close()
                self._stream = None

    def _append(self, line: str) -> None:
        if self.path is None:
            return
        with self._lock:
            try:
                if self._stream is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._stream = self.path.open("a", encoding="utf-8")
                self._stream.write(line + "\n")
                self._stream.flush()
            except OSError as error:
                self.trouble = f"{self.path}: {error.strerror}"


def _masked(value: object) -> object:
    """The value with secrets masked in every text inside it; masked before JSON escapes any character of them."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked(str(key)): _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner) for inner in value]
    return value


__all__ = ["EventLog"]
