"""The probes of a drill: all streams of a lab in the background, with row numbers that no other run of it has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.core.measurement.numbering import RUNS, Numbering
from lab.doors import files
from lab.drivers.probes.stream_requests import requests_of, specs_of
from lab.drivers.probes.streams import StreamRunner
from lab.workflows.session import Session

RUN_FILE = "drills/last_run.json"


@dataclass(frozen=True)
class Probing:
    """Probes under way.

    Args:
        runner: the streams.
        numbering: which rows their writes leave behind.
    """

    runner: StreamRunner
    numbering: Numbering


def next_numbering(session: Session) -> Numbering:
    """A run's numbers that were not used before in this lab; the use is noted before anything is written."""
    path = session.folder / RUN_FILE
    last = files.read_json(path)
    run = (last + 1) % RUNS if isinstance(last, int) else 1
    files.write_json(path, run)
    return Numbering(run)


@contextmanager
def probing(session: Session, path: Path) -> Iterator[Probing]:
    """Probe all services and machines of the lab until the context is left.

    Args:
        session: the lab.
        path: file for the samples.
    """
    numbering = next_numbering(session)
    runner = StreamRunner(specs_of(session.lab), requests_of(session.lab, session.secrets, numbering), path)
    with runner:
        yield Probing(runner, numbering)
