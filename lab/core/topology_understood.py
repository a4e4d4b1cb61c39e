"""A topology's document with what of it was understood: what the checks between its parts look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.core.errors import Problem
from lab.core.topology_document import TopologyDocument
from lab.core.yaml_text import Path, Reading, dotted

#: Sections whose second level is a name and not a key.
NAMED_SECTIONS = ("nodes", "guests", "images")


@dataclass(frozen=True)
class Understood:
    """A document of which everything that was understood is right in form.

    Args:
        document: the document; what was not understood holds a default.
        reading: for lines.
        broken: paths that were not understood.
        lab_name: name of the lab, empty when not understood.
        names: per section of named members, the names as they are written, understood or not.
    """

    document: TopologyDocument
    reading: Reading
    broken: frozenset[Path]
    lab_name: str
    names: Mapping[str, tuple[str, ...]]

    def sound(self, section: str, *keys: str) -> bool:
        """Whether these keys of a section (of all its members, where it has members) were understood."""
        for path in self.broken:
            if not path or path[0] != section:
                continue
            rest = path[2:] if section in NAMED_SECTIONS else path[1:]
            if not rest or rest[0] in keys:
                return False
        return True

    def problem(self, path: Path, message: str, remedy: str) -> Problem:
        """A problem with the line of its path."""
        return Problem(dotted(path), message, remedy, self.reading.line(path))
