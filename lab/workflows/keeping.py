"""Saves that outlive ``lab.down``: what is kept when a lab goes down, and starting the lab from it again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core import kept as judgement
from lab.core import saves as saves_of
from lab.core.addressing import pool_uuid
from lab.core.errors import LabError
from lab.core.kept import Kept, Present
from lab.core.model import Lab
from lab.core.saves import READY, Note
from lab.doors import files
from lab.drivers import fencing, kept_saves, keys, snapshots
from lab.drivers.hypervisor import CACHE_POOL, Hypervisor, OwnedDomain
from lab.drivers.lab_images import image_files, planned_images
from lab.workflows import host_side, pending, renewing
from lab.workflows.session import Session, kept_state

#: Says which save ``lab.up`` itself has left as ``ready``.
READY_MARK = "ready.json"
_DOMAINS = "libvirt/domains/"


@dataclass(frozen=True)
class Keeping:
    """Whether the disks of a lab stay when it goes down.

    Args:
        kept: what is kept; None for nothing.
        reason: why nothing is kept; empty when there was nothing to keep.
    """

    kept: Kept | None
    reason: str = ""


def note_ready(session: Session, note: Note) -> None:
    """Remember that this is the lab as ``lab.up`` left it."""
    files.write_json(session.folder / READY_MARK, {"token": note.token})


# Going down


def keep(lab: Lab, folder: Path, hypervisor: Hypervisor) -> Keeping:
    """Switch the nodes off and note the lab's saves, if a lab can start from them again; the lab's lock is held.

    Args:
        lab: the lab that goes down.
        folder: its ``build/<lab>``.
        hypervisor: the connection.
    """
    name = lab.name
    kept = kept_saves.find(name)
    domains = hypervisor.owned_domains(name)
    if kept is not None and hypervisor.has_pool(name) and _never_ran(folder, domains):
        return Keeping(kept)
    if not domains:
        return Keeping(None)
    kept_saves.discard(name)
    try:
        keeping = _judged(name, folder, hypervisor)
        if keeping.kept is None:
            return keeping
        secrets = keys.load_secrets(folder / "secrets", lab)
        if secrets is None:
            return Keeping(None, "its secrets are gone")
        for domain in domains:
            hypervisor.power_off(domain.name)
        kept_saves.store(keeping.kept, secrets, renew=renewing.phase_of(folder) not in (None, "renewed"))
    except LabError as error:
        # The lab has to go in any case.
        kept_saves.discard(name)
        return Keeping(None, error.message)
    return keeping


def complete(name: str, folder: Path, hypervisor: Hypervisor) -> Kept:
    """The complete saves of a lab that exists, as they would be kept.

    Raises:
        LabError: the lab is not whole.
    """
    state = kept_state(folder)
    domains = hypervisor.owned_domains(name)
    tree: dict[str, str] = state.get("tree", {})
    nodes = sorted(path.removeprefix(_DOMAINS).removesuffix(".xml") for path in tree if path.startswith(_DOMAINS))
    if not nodes or {domain.node for domain in domains} != set(nodes):
        raise LabError("the lab is not whole", remedy="./inv lab.up builds what is missing")
    if any(domain.driver == "vagrant" for domain in domains):
        # Its definition has another layout of devices, and its disks have other names, than what would be defined here.
        raise LabError("its nodes were made by Vagrant", remedy="Build the lab without --driver vagrant")
    accelerator = state.get("accelerator", "")
    now = {"build": saves_of.build_digest(tree), "accelerator": accelerator, "qemu": snapshots.qemu_version(hypervisor)}
    found = saves_of.judge(name, nodes, snapshots.parts(hypervisor, domains, sizes=False))
    for one in found:
        if one.leftovers:
            snapshots.forget(hypervisor, domains, one.name, only=one.leftovers)
    usable = [(one.note, one.snapshot) for one in found if one.note and not saves_of.obstacles(one.note, **now)]
    notes = tuple(note for note, name in usable if name == saves_of.snapshot_name(note.save, note.token))
    processor, features = kept_saves.processor(hypervisor, accelerator)
    return Kept(name, READY, notes, processor, topology_text(state), tree, features)


def _judged(name: str, folder: Path, hypervisor: Hypervisor) -> Keeping:
    kept = complete(name, folder, hypervisor)
    ready = next((note for note in kept.notes if note.save == READY), None)
    mark = files.read_json(folder / READY_MARK)
    if ready is None:
        return Keeping(None, f"it has no save {READY}")
    if not isinstance(mark, dict) or mark.get("token") != ready.token:
        return Keeping(None, f"its save {READY} is not the one that lab.up has made")
    return Keeping(kept)


def topology_text(state: Mapping[str, object]) -> str:
    """The topology document that a lab was built from; empty when it is gone."""
    text = state.get("topology_text")
    return text if isinstance(text, str) else ""


def _never_ran(folder: Path, domains: Sequence[OwnedDomain]) -> bool:
    """Whether no node has run to any purpose since a lab was kept: a run was killed half-way, up or down."""
    return pending.is_marked(folder) or all(domain.state in ("off", "crashed") for domain in domains)


# Coming up


def offered(session: Session, hypervisor: Hypervisor, *, fresh: bool) -> Kept | None:
    """What a lab that is not there can start from; what it cannot start from is removed.

    Args:
        session: the lab; its lock is held.
        hypervisor: the connection.
        fresh: start from nothing in any case.
    """
    name = session.lab.name
    kept = kept_saves.find(name)
    domains = hypervisor.owned_domains(name)
    if domains and (kept is None or not _never_ran(session.folder, domains)):
        kept_saves.discard(name)
        return None
    for domain in domains:
        hypervisor.remove_domain(domain.name)
    if kept is None or fresh:
        _remove_kept(session, hypervisor)
        return None
    return kept


def can_start(session: Session, hypervisor: Hypervisor, tree: Mapping[str, bytes], kept: Kept) -> bool:
    """Whether the lab can start from what is kept; if not, says why and removes it."""
    processor, features = kept_saves.processor(hypervisor, session.lab.accelerator)
    present = Present(
        tree={path: hashlib.sha256(content).hexdigest() for path, content in tree.items()},
        accelerator=session.lab.accelerator,
        qemu=snapshots.qemu_version(hypervisor),
        processor=processor,
        features=features,
    )
    why = judgement.obstacles(kept, present)
    there = hypervisor.volume_names(CACHE_POOL)
    images = [name for name in image_files(planned_images(session.lab)) if not _complete(name, there)]
    if images and not why:
        why = [f"images that it is based on are gone ({', '.join(images)})"]
    if why:
        session.reporter.note(f"The kept save {kept.save} cannot be used: {'; '.join(why)}. The nodes boot anew.")
        _remove_kept(session, hypervisor)
    return not why


def _complete(name: str, there: set[str]) -> bool:
    return {name, name + host_side.COMPLETE_MARK} <= there


def start(session: Session, hypervisor: Hypervisor, tree: Mapping[str, bytes], kept: Kept) -> bool:
    """Define the nodes and put them into the kept save; they run afterwards. Returns whether that went well.

    What fails before a node has run is said and removed, and the lab can be booted.
    """
    try:
        with session.reporter.step(f"start from the kept save {kept.save}"):
            _load(session, hypervisor, tree, kept)
    except LabError as error:
        session.reporter.warn(f"the lab could not be started from what was kept: {error.message}; it boots anew")
        for domain in hypervisor.owned_domains(session.lab.name):
            hypervisor.remove_domain(domain.name)
        _remove_kept(session, hypervisor)
        return False
    host_side.ensure_fencing(session)
    return True


def _load(session: Session, hypervisor: Hypervisor, tree: Mapping[str, bytes], kept: Kept) -> None:
    fencing.stop(host_side.fence_configuration(session.folder))
    host_side.ensure_host_objects(session, hypervisor, tree)
    for node in session.lab.nodes:
        hypervisor.upload_volume(session.lab.name, f"{node.name}-seed.iso", tree[f"nodes/{node.name}/seed.iso"])
        hypervisor.define_domain(tree[f"libvirt/domains/{node.name}.xml"].decode())
    domains = hypervisor.owned_domains(session.lab.name)
    for note in kept.notes:
        snapshots.redefine_all(hypervisor, domains, note)
    pending.begin(session, "load", kept.save)
    snapshots.revert_all(hypervisor, domains, saves_of.snapshot_name(kept.save, kept.note.token))
    for note in kept.notes:
        if note.save == READY:
            note_ready(session, note)
    snapshots.resume_all(hypervisor, domains)
    # A run that is killed before this is done again from the kept save; one that is killed behind it goes on.
    pending.end(session)
    kept_saves.discard(kept.lab)


def _remove_kept(session: Session, hypervisor: Hypervisor) -> None:
    pending.end(session)
    kept_saves.discard(session.lab.name)
    hypervisor.remove_pool(session.lab.name, str(pool_uuid(session.lab.name, "host")))
