"""Progress on a terminal: finished steps as lines, running ones below them, nodes side by side.

Drawn with rich, whose own thread redraws a few times a second.
"""

from __future__ import annotations

import threading
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab.doors.clock import now_s
from lab.doors.step import Step, outcome

REFRESH_PER_SECOND = 5


class TerminalView:
    """Shows a run on a terminal.

    Two locks: drawing needs only the list of running steps, while starting and stopping the drawing thread waits for
    that thread, so it must not hold what drawing needs.

    Args:
        stream: the terminal.
        console: what to draw on instead, for tests.
    """

    def __init__(self, stream: TextIO, console: Console | None = None) -> None:
        self._console = console or Console(file=stream, highlight=False)
        self._running: list[Step] = []
        self._data = threading.Lock()
        self._drawing = threading.Lock()
        self._live: Live | None = None

    def started(self, step: Step) -> None:
        """Show a step as running."""
        with self._data:
            self._running.append(step)
        with self._drawing:
            if self._live is None:
                self._live = Live(
                    console=self._console,
                    get_renderable=self._picture,
                    refresh_per_second=REFRESH_PER_SECOND,
                    transient=True,
                )
                self._live.start()

    def ended(self, step: Step) -> None:
        """Turn a running step into a line that stays."""
        with self._data:
            if step in self._running:
                self._running.remove(step)
        mark, style = ("✗", "bold red") if step.failure else ("✓", "green")
        line = Text("  " * step.depth).append(mark, style).append(f" {step.title}: ").append(outcome(step), "dim")
        self._console.print(line)
        with self._drawing:
            with self._data:
                idle = not self._running
            if idle and self._live is not None:
                self._live.stop()
                self._live = None

    def said(self, text: str, *, warning: bool) -> None:
        """Print a remark above the running steps."""
        self._console.print(Text("! " + text, "bold yellow") if warning else Text("· " + text))

    def _picture(self) -> RenderableType:
        with self._data:
            running = list(self._running)
        common = [_line(step, step.title) for step in running if not step.node]
        by_node: dict[str, list[Step]] = {}
        for step in running:
            if step.node:
                by_node.setdefault(step.node, []).append(step)
        if not by_node:
            return Group(*common)
        table = Table(box=None, padding=(0, 3, 0, 2), show_edge=False)
        for node in sorted(by_node):
            table.add_column(node, ratio=1, overflow="ellipsis")
        table.add_row(*(Group(*(_line(step, step.name) for step in by_node[node])) for node in sorted(by_node)))
        return Group(*common, table)


def _line(step: Step, title: str) -> Text:
    elapsed_s = now_s() - step.started_s
    expected = f" of {step.expected_s:.0f}" if step.expected_s is not None else ""
    late = step.expected_s is not None and elapsed_s > 1.5 * step.expected_s + 2
    indent = "" if step.node else "  " * step.depth
    return Text(f"{indent}▸ {title} ").append(f"{elapsed_s:.0f}{expected} s", "yellow" if late else "cyan")


__all__ = ["TerminalView"]
