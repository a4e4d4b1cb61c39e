"""Results of other projects' tests: the JUnit file below ``build/<lab>/proof``, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.core.outcome import Outcome
from lab.core.proof import cases as proof
from lab.core.proof.cases import Case
from lab.doors import files
from lab.doors.process import masked
from lab.workflows.options import shown_path
from lab.workflows.session import Session

FOLDER = "proof"


def keep(session: Session, suite: str, found: Sequence[Case], *, junit_file: str) -> Path:
    """Write the JUnit file of the cases so far, so that a run that is ended half-way leaves what it found."""
    path = session.folder / FOLDER / junit_file
    files.write_atomically(path, masked(proof.junit_text(suite, found)).encode())
    return path


def outcome(session: Session, suite: str, found: Sequence[Case], *, junit_file: str, on: str = "") -> Outcome:
    """Write the JUnit file, and tell of every case.

    Args:
        session: of the lab that was tested.
        suite: what the tests are called.
        found: one case or more of each test.
        junit_file: name of the file.
        on: the node that the tests ran on, where it was one of the lab's.
    """
    path = keep(session, suite, found, junit_file=junit_file)
    ok = proof.proven(found)
    place = f"{on} of lab {session.lab.name}" if on else f"lab {session.lab.name}"
    lines = [
        f"{suite} on {place}:",
        *proof.told(found),
        f"{'Passed' if ok else 'FAILED'}; JUnit file {shown_path(path)}, logs are beside it.",
    ]
    return Outcome("\n".join(lines), {"ok": ok, "junit": shown_path(path), "cases": proof.document(found)}, ok=ok)
