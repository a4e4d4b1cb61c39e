"""What verbs that work on a running lab start from: its session, its lock, and libvirt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from lab.doors import files
from lab.drivers.hypervisor import Hypervisor
from lab.workflows.options import Options
from lab.workflows.session import Session, open_session


@contextmanager
def opened(options: Options, verb: str) -> Iterator[tuple[Session, Hypervisor]]:
    """A session with the lab's lock and a connection to libvirt."""
    with (
        open_session(options, verb) as session,
        files.locked(session.folder / "lock", busy=f"another run is working on the lab {session.lab.name}"),
        closing(Hypervisor()) as hypervisor,
    ):
        yield session, hypervisor
