"""A table as data, for a terminal and for a page."""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.report.wording import printable


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        title: its heading.
        columns: headings of the columns; the first column names the rows.
        rows: cells as words, as many in each row as there are columns.
        notes: what has to be known to read it, one sentence each.
        projection: whether its figures of ours are reckoned from stated rates and not measured.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    projection: bool = False

    @property
    def heading(self) -> str:
        """The title, marked when it is a projection."""
        return f"PROJECTION: {self.title}" if self.projection else self.title


def as_text(table: Table) -> str:
    """The table for a terminal: first column left, the others right; control characters replaced."""
    cells = [[_one_line(cell) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(table.columns))]
    lines = ["  ".join(_aligned(cell, widths[place], place) for place, cell in enumerate(row)) for row in cells]
    rule = "  ".join("-" * width for width in widths)
    notes = [f"  {_one_line(note)}" for note in table.notes]
    body = [line.rstrip() for line in lines[1:]]
    return "\n".join([_one_line(table.heading), lines[0].rstrip(), rule, *body, *notes])


def _aligned(cell: str, width: int, place: int) -> str:
    return cell.rjust(width) if place else cell.ljust(width)


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in printable(text))
