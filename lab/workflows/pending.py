"""What a killed save or load left: nodes that stand still. The next run goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.core.errors import LabError
from lab.doors import files
from lab.drivers import snapshots
from lab.drivers.hypervisor import Hypervisor, OwnedDomain
from lab.drivers.wind_back import SwitchedOffError, wind_back_to_now
from lab.workflows import clocks
from lab.workflows.session import Session

#: Exists while a save or load is under way; says which.
MARK = "pending.json"


def begin(session: Session, verb: str, save: str) -> None:
    """Note that the nodes are about to be stopped."""
    files.write_json(session.folder / MARK, {"verb": verb, "save": save})


def end(session: Session) -> None:
    """Note that the nodes are consistent and run again."""
    (session.folder / MARK).unlink(missing_ok=True)


def is_marked(folder: Path) -> bool:
    """Whether a save or load was under way when an earlier run of the lab in ``build/<lab>`` was killed."""
    return (folder / MARK).exists()


def settle(session: Session, hypervisor: Hypervisor) -> None:
    """Continue the nodes that a killed save left paused. The lab's lock has to be held.

    Raises:
        LabError: a load was interrupted, so the nodes may be of different moments and must not meet.
    """
    note = files.read_json(session.folder / MARK)
    if not isinstance(note, dict):
        return
    if note.get("verb") == "load":
        raise LabError(
            f"loading {note.get('save')} was interrupted; the nodes may be of different moments and stand still",
            remedy=f"./inv lab.load {note.get('save')} does it again; ./inv lab.down removes the lab",
        )
    if go_on(session, hypervisor, hypervisor.owned_domains(session.lab.name)):
        session.reporter.warn("An interrupted save had left nodes paused; they go on.")
        clocks.set_clocks(session)
    end(session)


def go_on(session: Session, hypervisor: Hypervisor, domains: Sequence[OwnedDomain]) -> list[OwnedDomain]:
    """Continue nodes that stood still for something else than a save that was made just now.

    Args:
        session: the lab.
        hypervisor: the connection.
        domains: some of its nodes; those that are not paused are left alone.

    Returns:
        The nodes that were paused.

    Raises:
        SwitchedOffError: under KVM they cannot go on, and are off.
    """
    names = {domain.name for domain in domains}
    paused = [one for one in hypervisor.owned_domains(session.lab.name) if one.name in names and one.state == "paused"]
    try:
        if paused and session.lab.accelerator == "kvm":
            wind_back_to_now(hypervisor, paused)
    except SwitchedOffError:
        raise
    except LabError as error:
        session.reporter.warn(f"the guests' clocks will stand still for as long as the nodes did: {error}")
    return snapshots.resume_all(hypervisor, paused)
