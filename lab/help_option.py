"""``TASK --help`` for every task: Invoke takes it for the value of a task's positional argument, where there is one.

``invoke --help lab.ssh`` is Invoke's own way, and ``invoke lab.up --help`` works because no word is expected there.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

from invoke.exceptions import Exit
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from lab.doors import process
from lab.workflows.options import ROOT

WORDS = ("--help", "-h")
_LIMIT_S = 60.0


def asked_for(words: Sequence[str], name: str) -> str:
    """How a task was called on a command line; its own name when it is not there.

    Args:
        words: the command line, without the program.
        name: the task's own name, which is the last part of the word.
    """
    return next((word for word in words if word.rpartition(".")[2] == name), name)


class HelpfulTask(Task[Any]):
    """A task that prints its help instead of working on something that is called ``--help``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Carry the task out, or print its help."""
        if not any(isinstance(value, str) and value in WORDS for value in kwargs.values()):
            return super().__call__(*args, **kwargs)
        called = asked_for(sys.argv[1:], self.name)
        result = process.run(
            [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "--help", called],
            timeout_s=_LIMIT_S,
            check=False,
        )
        print(result.stdout or result.stderr, end="")
        raise Exit(code=result.returncode)


#: Invoke's decorator for tasks whose help is found.
task = functools.partial(invoke_task, klass=HelpfulTask)
