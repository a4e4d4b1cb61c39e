"""What a workflow hands to the surface: one result, as text for a person and as a document for a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """The result of a verb.

    Args:
        text: what a person reads; printed as it is.
        document: the same for ``--json``; nothing but what JSON knows.
        ok: False makes the command end with exit code 1.
    """

    text: str = ""
    document: Mapping[str, object] = field(default_factory=dict)
    ok: bool = True


__all__ = ["Outcome"]
