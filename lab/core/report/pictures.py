"""Drawings as the page's template takes them; those of live migrations are put together here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lab.core.drills.record import DrillRecord, StreamFigures
from lab.core.report.migration import best_example, migration_curve, moved_streams


@dataclass(frozen=True)
class Picture:
    """A drawing with its caption, and where it is needed the same for a narrow screen."""

    svg: Markup
    caption: str
    small: Markup | None = None


def hump_pictures(records: Sequence[DrillRecord]) -> tuple[Picture, ...]:
    """The study's figure 7.3 from one migration of all drills: each stream of its guest, large."""
    example = best_example(records)
    if example is None:
        return ()
    record, one = example

    def curve(stream: StreamFigures, identifier: str, *, large: bool) -> Markup:
        return Markup(migration_curve(record, one, stream, identifier, large=large))  # noqa: S704 (escaped parts)

    return tuple(
        Picture(
            curve(stream, f"hump-{place}", large=True),
            f"{stream.name}, {record.drill}, {record.identifier}",
            curve(stream, f"hump-{place}-small", large=False),
        )
        for place, stream in enumerate(moved_streams(record, one))
    )


def move_pictures(record: DrillRecord, identifier: str) -> tuple[Picture, ...]:
    """Curves around every live migration of a drill, small.

    Args:
        record: the drill.
        identifier: of the drill on the page.
    """
    return tuple(
        Picture(
            Markup(migration_curve(record, one, stream, f"{identifier}-move-{number}-{place}")),  # noqa: S704 (escaped)
            f"Latency of {stream.name} around its live migration",
        )
        for number, one in enumerate(record.migrations)
        for place, stream in enumerate(moved_streams(record, one))
    )
