"""Saving and loading a whole lab: both nodes, memory and disks, at one instant."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from secrets import token_hex
from typing import Any

from lab.core import saves as judgement
from lab.core.errors import LabError
from lab.core.kept import Kept
from lab.core.outcome import Outcome
from lab.core.saves import READY, Note, Save, require_name
from lab.core.service_result import ProbeResult
from lab.doors import files
from lab.doors.clock import now_s
from lab.drivers import fencing, kept_saves, snapshots
from lab.drivers.hypervisor import Hypervisor, OwnedDomain
from lab.drivers.wind_back import SwitchedOffError
from lab.workflows import clocks, host_side, keeping, observe, pending, renewing, serving, switching
from lab.workflows.down import close_connections
from lab.workflows.options import Options, load_lab
from lab.workflows.session import Session, kept_state, open_session


@contextmanager
def _opened(options: Options, verb: str) -> Iterator[tuple[Session, Hypervisor, list[OwnedDomain]]]:
    with (
        open_session(options, verb) as session,
        files.locked(session.folder / "lock", busy=f"another run is working on the lab {session.lab.name}"),
    ):
        hypervisor = Hypervisor()
        try:
            domains = hypervisor.owned_domains(session.lab.name)
            if {domain.node for domain in domains} != set(session.lab.node_names):
                raise LabError(
                    f"the lab {session.lab.name} is not whole here", remedy="./inv lab.up builds what is missing"
                )
            yield session, hypervisor, domains
        finally:
            hypervisor.close()


def found_saves(session: Session, hypervisor: Hypervisor, *, sizes: bool = False) -> list[Save]:
    """All saves of the session's lab, incomplete ones included."""
    domains = hypervisor.owned_domains(session.lab.name)
    found = snapshots.parts(hypervisor, domains, sizes=sizes)
    return judgement.judge(session.lab.name, session.lab.node_names, found)


def obstacles_of(session: Session, hypervisor: Hypervisor, save: Save) -> list[str]:
    """Why a save cannot be loaded now; empty when it can."""
    if save.note is None:
        return [save.fault]
    return judgement.obstacles(
        save.note,
        build=judgement.build_digest(kept_state(session.folder).get("tree", {})),
        accelerator=session.lab.accelerator,
        qemu=snapshots.qemu_version(hypervisor),
    )


# Saving


def save(options: Options, name: str, force: bool = False) -> Outcome:
    """Save the running lab under a name; a save of that name is replaced.

    Raises:
        LabError: the lab is not healthy (unless forced; ``ready`` is always healthy), or cannot be saved.
    """
    require_name(name)
    started_s = now_s()
    with _opened(options, "save") as (session, hypervisor, _domains):
        pending.settle(session, hypervisor)
        problems = observe.look(session).problems(session.lab)
        if problems and (name == READY or not force):
            raise LabError(
                f"the lab {session.lab.name} is not healthy, so it is not saved",
                remedy="Wait until ./inv lab.status is content"
                + ("" if name == READY else ", or save it as it is with --force"),
                details=problems,
            )
        _note, paused_s = save_now(session, hypervisor, name)
        seconds = now_s() - started_s
        return Outcome(
            f"Lab {session.lab.name} is saved as {name}; its nodes stood still for {paused_s:.1f} s "
            f"({seconds:.1f} s in all).",
            {
                "lab": session.lab.name,
                "save": name,
                "paused_s": round(paused_s, 2),
                "duration_s": round(seconds, 2),
                "problems": problems,
            },
        )


def save_now(session: Session, hypervisor: Hypervisor, name: str) -> tuple[Note, float]:
    """Save without looking at the lab's health; the lock is held.

    Returns:
        The note of the save, and the seconds that the nodes stood still.
    """
    domains = hypervisor.owned_domains(session.lab.name)
    note = Note(
        lab=session.lab.name,
        save=name,
        token=token_hex(16),
        created_s=int(time.time()),
        build=judgement.build_digest(kept_state(session.folder).get("tree", {})),
        accelerator=session.lab.accelerator,
        qemu=snapshots.qemu_version(hypervisor),
    )
    with session.reporter.step(f"save {name}"):
        pending.begin(session, "save", name)
        try:
            paused_s = snapshots.save_all(hypervisor, domains, note)
        finally:
            clocks.set_clocks(session)
        pending.end(session)
    return note, paused_s


def save_ready(session: Session, hypervisor: Hypervisor) -> None:
    """Save a lab that has just been found healthy as ``ready``, unless there is one of this very build."""
    present = [one for one in found_saves(session, hypervisor) if one.name == READY]
    if present and not obstacles_of(session, hypervisor, present[0]):
        return
    try:
        note, _paused_s = save_now(session, hypervisor, READY)
        keeping.note_ready(session, note)
    except SwitchedOffError:
        raise
    except LabError as error:
        # The lab is up and serves: that it cannot be saved is no reason to call it a failure.
        session.reporter.warn(f"the lab was not saved as {READY}: {error}")


# Loading


def reset(options: Options) -> Outcome:
    """Load ``ready``, which ``lab.up`` has saved."""
    return load(options, READY)


def load(options: Options, name: str) -> Outcome:
    """Put the lab back to a save, and wait until it is healthy and every service has answered a client.

    Raises:
        LabError: there is no such usable save (nothing is changed), or the lab does not come back.
    """
    require_name(name)
    started_s = now_s()
    with _opened(options, "load") as (session, hypervisor, domains):
        chosen = _usable(session, hypervisor, name)
        host_side.ensure_host_objects(session, hypervisor, host_side.written_host_files(session.folder))
        with session.reporter.step(f"load {name}"):
            pending.begin(session, "load", name)
            renewing.begin_again(session.folder)
            # Fencing must not take a node that is being put back for a dead one.
            fencing.stop(host_side.fence_configuration(session.folder))
            close_connections(session.folder)
            snapshots.revert_all(hypervisor, domains, chosen.snapshot)
            kept_saves.discard(session.lab.name)
            snapshots.resume_all(hypervisor, domains)
            pending.end(session)
        loaded_s = now_s() - started_s
        host_side.ensure_fencing(session)
        served_s = wait_back(session)[0] - started_s
        seconds = now_s() - started_s
        return Outcome(
            f"Lab {session.lab.name} is back at {name}: loaded after {loaded_s:.1f} s, "
            f"served after {served_s:.1f} s, healthy after {seconds:.1f} s.",
            {
                "lab": session.lab.name,
                "save": name,
                "loaded_s": round(loaded_s, 2),
                "served_s": round(served_s, 2),
                "duration_s": round(seconds, 2),
            },
        )


def _usable(session: Session, hypervisor: Hypervisor, name: str) -> Save:
    found = {one.name: one for one in found_saves(session, hypervisor)}
    if name not in found:
        raise LabError(
            f"there is no save {name} of the lab {session.lab.name}",
            remedy=f"./inv lab.save {name} makes one of the lab as it is; there is now: {', '.join(found) or 'none'}",
        )
    why = obstacles_of(session, hypervisor, found[name])
    if why:
        raise LabError(
            f"the save {name} cannot be loaded: {'; '.join(why)}", remedy=f"./inv lab.forget {name} removes it"
        )
    return found[name]


def wait_back(session: Session, *, thorough: bool = False) -> tuple[float, list[ProbeResult]]:
    """Set the clocks of nodes that have just been loaded, and wait until the lab is healthy and serves.

    Args:
        session: the lab.
        thorough: ask the services thoroughly as soon as all have answered, while health is still waited for.

    Returns:
        The moment at which the last service had answered a client, on the clock of :func:`lab.doors.clock.now_s`, and
        what the last questions found.
    """

    def served() -> tuple[float, list[ProbeResult]]:
        quickly = serving.wait_quickly_served(session)
        served_s = now_s()
        return served_s, serving.ask(session, thorough=True) if thorough else quickly

    with ThreadPoolExecutor(max_workers=4) as pool:
        answered = pool.submit(served)
        others: list[Future[Any]] = [
            pool.submit(clocks.set_clocks, session),
            pool.submit(observe.wait_healthy, session),
            pool.submit(switching.wait_negotiated, session),
        ]
    for future in others:
        future.result()
    return answered.result()


# Listing and forgetting


def saves(options: Options) -> Outcome:
    """All saves of the lab: age, size of the memory, and whether they can be loaded."""
    lab = load_lab(options)
    kept = kept_saves.find(lab.name)
    with closing(Hypervisor()) as hypervisor:
        if kept is not None and not hypervisor.owned_domains(lab.name):
            return _kept_outcome(kept)
    with (
        open_session(options, "saves") as session,
        files.locked(session.folder / "lock", busy=f"another run is working on the lab {session.lab.name}"),
    ):
        with closing(Hypervisor()) as hypervisor:
            found = found_saves(session, hypervisor, sizes=True)
            described = [_described(one, obstacles_of(session, hypervisor, one)) for one in found]
        lines = [
            f"{one['save']:<16} {one['age'] or '-':>7}  {one['size'] or '-':>9}  {one['fault'] or 'usable'}"
            for one in described
        ]
        return Outcome(
            "\n".join(lines) or f"There is no save of the lab {session.lab.name}.",
            {"lab": session.lab.name, "saves": described},
        )


def _kept_outcome(kept: Kept) -> Outcome:
    names = ", ".join(note.save for note in kept.notes)
    age = judgement.age_text(time.time() - kept.note.created_s)
    return Outcome(
        f"The lab {kept.lab} is down and kept: {names}. ./inv lab.up starts from {kept.save} ({age} old).",
        {"lab": kept.lab, "saves": [], "kept": [note.save for note in kept.notes], "starts_from": kept.save},
    )


def _described(one: Save, why: list[str]) -> dict[str, object]:
    note, size = one.note, one.size_bytes
    return {
        "save": one.name,
        "complete": note is not None,
        "usable": not why,
        "fault": ("" if note else "incomplete: ") + "; ".join(why) if why else "",
        "created_s": note.created_s if note else None,
        "age": judgement.age_text(time.time() - note.created_s) if note else "",
        "size_bytes": size,
        "size": f"{size / 1024 / 1024:.0f} MiB" if size is not None else "",
        "build": note.build if note else None,
        "nodes": [part.node for part in one.parts],
    }


def forget(options: Options, name: str) -> Outcome:
    """Delete a save, also an incomplete one.

    Raises:
        LabError: there is no such save.
    """
    require_name(name)
    with _opened(options, "forget") as (session, hypervisor, domains):
        pending.settle(session, hypervisor)
        nodes = snapshots.forget(hypervisor, domains, name)
        if not nodes:
            raise LabError(f"there is no save {name} of the lab {session.lab.name}", remedy="See ./inv lab.saves")
        return Outcome(
            f"The save {name} is forgotten ({', '.join(nodes)}).",
            {"lab": session.lab.name, "save": name, "nodes": nodes},
        )
