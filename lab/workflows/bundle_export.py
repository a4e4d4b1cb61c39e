"""``lab.export``: a lab's saves in one file, with all that another machine needs to start the lab from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt

from lab.core import bundle
from lab.core.bundle import Bundle
from lab.core.errors import LabError
from lab.core.kept import Kept
from lab.core.model import Lab, Secrets
from lab.core.outcome import Outcome
from lab.core.saves import READY, require_name
from lab.core.topology import parse_topology, with_accelerator
from lab.doors import files, pipes
from lab.doors.clock import now_s
from lab.doors.progress import Reporter, open_reporter
from lab.drivers import kept_saves, keys, snapshots, volume_stream
from lab.drivers.bundle_stream import COMPRESS, Writer
from lab.drivers.hypervisor import CACHE_POOL, Hypervisor
from lab.drivers.lab_images import image_files, planned_images
from lab.workflows import clocks, keeping, pending, renewing
from lab.workflows.options import Options, load_lab, shown_path
from lab.workflows.session import Session, open_session, rendered

LIMIT_S = 3600.0
_REMEDY = "Free some space there, or give a file on another disk; the lab and its saves are as they were"


@dataclass(frozen=True)
class _Source:
    """What is exported."""

    lab: Lab
    kept: Kept
    secrets: Secrets


def export(options: Options, file: str, save: str = "") -> Outcome:
    """Write a bundle of the lab, which may run, be halted, or be down with its saves kept.

    Args:
        options: what was asked for.
        file: the file to write.
        save: the save that the lab starts from on the other machine; ``ready``, or what is kept, when empty.

    Raises:
        LabError: there is no such usable save, or the file cannot be written; the lab goes on in any case.
    """
    target = _target(file)
    lab = load_lab(options)
    folder = options.build / lab.name
    started_s = now_s()
    hypervisor = Hypervisor()
    try:
        if hypervisor.owned_domains(lab.name):
            paused_s, source, size = _of_a_lab(options, hypervisor, target, save)
        else:
            with files.locked(folder / "lock", busy=f"another run is working on the lab {lab.name}"):
                source = _of_kept(options, lab, save)
                reporter = open_reporter(options.build, "", "export")
                try:
                    _require_same_build(source, options, reporter)
                    size = _write(source, hypervisor, target, reporter)
                finally:
                    reporter.close()
            paused_s = 0.0
            with suppress(OSError):
                (folder / "lock").unlink()
                folder.rmdir()
    finally:
        hypervisor.close()
    still = f" Its nodes stood still for {paused_s:.1f} s." if paused_s else ""
    return Outcome(
        f"The lab {lab.name} with its save {source.kept.save} is in {shown_path(target)} "
        f"({size / 2**20:.0f} MiB of {target.stat().st_size / 2**20:.0f} MiB compressed, {now_s() - started_s:.0f} s)."
        f"{still}\nIt holds the lab's secrets: keep it as private as the lab. ./inv lab.import takes it in elsewhere.",
        {
            "lab": lab.name,
            "save": source.kept.save,
            "file": str(target),
            "size_bytes": target.stat().st_size,
            "content_bytes": size,
            "paused_s": round(paused_s, 2),
            "duration_s": round(now_s() - started_s, 2),
        },
    )


def _target(file: str) -> Path:
    target = Path(file).expanduser().absolute()
    if not target.parent.is_dir() or target.is_dir():
        raise LabError(
            f"{file} cannot be the file of a bundle", remedy="Give a file in a folder that exists", exit_code=2
        )
    return target


def _of_kept(options: Options, lab: Lab, save: str) -> _Source:
    kept, secrets = kept_saves.find(lab.name), kept_saves.secrets_of(lab)
    if kept is None or secrets is None:
        raise LabError(
            f"there is no lab {lab.name} here, and no save is kept", remedy=f"Build it with {options.up_command}"
        )
    keys.mask_secrets(secrets)
    return _Source(lab, _chosen(kept, save or kept.save), secrets)


def _of_a_lab(options: Options, hypervisor: Hypervisor, target: Path, save: str) -> tuple[float, _Source, int]:
    with (
        open_session(options, "export") as session,
        files.locked(session.folder / "lock", busy=f"another run is working on the lab {session.lab.name}"),
    ):
        renewing.require_none(session.folder, "it is not exported")
        pending.settle(session, hypervisor)
        saved = keeping.complete(session.lab.name, session.folder, hypervisor)
        source = _Source(session.lab, _chosen(saved, save or READY), session.secrets)
        _require_same_build(source, options, session.reporter)
        domains = hypervisor.owned_domains(session.lab.name)
        pending.begin(session, "save", source.kept.save)
        started_s = now_s()
        stopped = []
        try:
            # QEMU writes what it holds of its disks' tables when it stops.
            stopped = snapshots.suspend_all(hypervisor, domains)
            size = _write(source, hypervisor, target, session.reporter)
        finally:
            # Not only those that suspend_all has told: it may have been interrupted after the first.
            pending.go_on(session, hypervisor, stopped or [one for one in domains if one.state == "running"])
            paused_s = now_s() - started_s if stopped else 0.0
            pending.end(session)
            if stopped:
                clocks.set_clocks(session)
        return paused_s, source, size


def _chosen(kept: Kept, save: str) -> Kept:
    require_name(save)
    if save not in {note.save for note in kept.notes}:
        raise LabError(
            f"there is no usable save {save} of the lab {kept.lab}",
            remedy=f"Make it with ./inv lab.save {save}; there is now: "
            f"{', '.join(note.save for note in kept.notes) or 'none'}",
        )
    return replace(kept, save=save)


def _require_same_build(source: _Source, options: Options, reporter: Reporter) -> None:
    """An import renders the lab again; what would not come out as the saves were made with is not exported.

    Raises:
        LabError: the program, or what it bakes, has changed since the lab was built.
    """
    kept = source.kept
    lab = with_accelerator(
        parse_topology(kept.topology, source="the lab's topology", name=kept.lab),
        "kvm" if kept.note.accelerator == "kvm" else "tcg",
    )
    tree = rendered(Session(lab, options, source.secrets, options.build / lab.name, reporter))
    if {path: hashlib.sha256(raw).hexdigest() for path, raw in tree.items()} != kept.tree:
        raise LabError(
            f"the lab {kept.lab} was built by another version of this program, so no machine could take it in",
            remedy="Export it with that version, or build it anew with ./inv lab.down --no-cache and ./inv lab.up",
        )


def _write(source: _Source, hypervisor: Hypervisor, target: Path, reporter: Reporter) -> int:
    """Write the bundle; returns the size of the volumes in it."""
    volumes = {
        **{bundle.image_member(name): (CACHE_POOL, name) for name in image_files(planned_images(source.lab))},
        **{bundle.disk_member(name): (source.lab.name, name) for name in bundle.disk_volumes(source.lab.node_names)},
    }
    with _explained():
        handles = {
            member: hypervisor.connection.storagePoolLookupByName(pool).storageVolLookupByName(name)
            for member, (pool, name) in volumes.items()
        }
        sizes = {member: volume_stream.size_of(handles[member]) for member in handles}
    order = bundle.members(source.lab.node_names, list(image_files(planned_images(source.lab))))
    content = Bundle(source.kept, {member: sizes[member] for member in order})
    documents = {
        bundle.MANIFEST: bundle.manifest_text(content).encode(),
        bundle.SECRETS: (json.dumps(keys.as_document(source.secrets)) + "\n").encode(),
    }
    with (
        reporter.step(f"write {target.name}"),
        pipes.writing(COMPRESS, target, timeout_s=LIMIT_S, remedy=_REMEDY) as stream,
        _explained(),
    ):
        writer = Writer(stream)
        for name, raw in documents.items():
            writer.add(name, len(raw), [raw])
        for name, size in content.sizes.items():
            writer.add(name, size, volume_stream.blocks_of(hypervisor.connection, handles[name], size))
        writer.close()
    return content.size_bytes


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (libvirt.libvirtError, EOFError) as error:
        raise LabError(f"a disk of the lab cannot be read: {error}", remedy="See ./inv lab.status") from error
