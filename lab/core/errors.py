"""The one way of failing: an error that says where, what and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LabError(Exception):
    """A failure that a person can act on; printed without a traceback.

    Args:
        message: what went wrong, one sentence without a final full stop.
        remedy: what to try, one sentence; empty when nothing sensible can be said.
        details: further lines (last output, console lines, path of the log), printed indented.
        exit_code: exit code of the command; 1 for failures, 2 for bad input.
    """

    def __init__(self, message: str, *, remedy: str = "", details: Sequence[str] = (), exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = tuple(details)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with an input document.

    Args:
        place: path in the document in dotted form, such as ``guests.Passata.memory``; empty for the document itself.
        message: what is wrong, naming the offending value.
        remedy: how to correct it.
        line: line in the file, counted from 1; 0 when unknown.
    """

    place: str
    message: str
    remedy: str
    line: int = 0


class InputError(LabError):
    """Bad input, all problems at once; nothing has been changed (exit code 2).

    Args:
        source: the file, or the option, that holds the input.
        problems: everything that is wrong, in document order.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"{source}: {count} problem{'s' if count != 1 else ''}; nothing was changed",
            details=[
                f"{source}{f':{p.line}' if p.line else ''}: {p.place or '(document)'}: {p.message}. {p.remedy}."
                for p in self.problems
            ],
            exit_code=2,
        )
