"""``lab.import``: a bundle from elsewhere becomes a lab that is down here, with its saves kept.

A bundle is foreign. Networks, domains and descriptions of snapshots are never taken from it: they are rendered here
from its topology, and the rendering has to be the one that its saves were made with. Its disks go into volumes whose
names are computed here, and may name no file of this host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import libvirt

from lab.core import bundle, qcow2
from lab.core import kept as judgement
from lab.core.addressing import pool_uuid
from lab.core.bundle import Bundle
from lab.core.errors import LabError
from lab.core.kept import Present
from lab.core.model import Accelerator, Lab, Secrets
from lab.core.outcome import Outcome
from lab.core.topology import parse_topology, with_accelerator
from lab.doors import files, pipes
from lab.doors.clock import now_s
from lab.doors.process import ProcessError
from lab.doors.progress import Reporter, open_reporter
from lab.drivers import accelerator, imported_volumes, kept_saves, keys, snapshots
from lab.drivers.bundle_stream import EXPAND, BundleError, Reader
from lab.drivers.hypervisor import CACHE_POOL, Hypervisor
from lab.drivers.lab_images import CACHE_POOL_PATH, planned_images
from lab.workflows import host_side
from lab.workflows.options import TOPOLOGIES, Options, shown_path
from lab.workflows.session import Session, rendered

LIMIT_S = 3600.0


@dataclass(frozen=True)
class _Incoming:
    """A bundle whose documents have been read and believed.

    Args:
        content: its manifest.
        session: the lab as it is rendered here.
        tree: the rendered files by path.
    """

    content: Bundle
    session: Session
    tree: Mapping[str, bytes]


def import_bundle(options: Options, file: str, renew: bool = False) -> Outcome:
    """Take a bundle in; ``lab.up`` of its topology starts from it.

    Args:
        options: what was asked for.
        file: the bundle.
        renew: have that ``lab.up`` replace the secrets, which everybody has who has the bundle.

    Raises:
        LabError: it is damaged, does not fit this machine, or the lab exists here; nothing is changed then.
    """
    path = Path(file).expanduser()
    started_s = now_s()
    reporter = open_reporter(options.build, "", "import")
    hypervisor = Hypervisor()
    try:
        with (
            reporter.step(f"read {path.name}"),
            _damage_told(),
            pipes.reading(EXPAND, path, timeout_s=LIMIT_S) as stream,
        ):
            reader = Reader(stream)
            arriving = _believed(reader, options, reporter, hypervisor)
            session = arriving.session
            with _reserved(session, hypervisor):
                _take_in(reader, arriving, hypervisor, renew=renew)
    finally:
        hypervisor.close()
        reporter.close()
    kept, lab = arriving.content.kept, session.lab
    topology = _topology_for(kept.topology, options, lab.name)
    accel = f" --accel {kept.note.accelerator}" if _choice() != kept.note.accelerator else ""
    command = f"./inv lab.up -t {topology} --name {lab.name}{accel}"
    return Outcome(
        f"The lab {lab.name} is taken in, with its save {kept.save} ({arriving.content.size_bytes / 2**20:.0f} MiB, "
        f"{now_s() - started_s:.0f} s). It starts from it{', and has its secrets replaced,' if renew else ''} with"
        f"\n  {command}",
        {
            "lab": lab.name,
            "save": kept.save,
            "topology": topology,
            "command": command,
            "renew_secrets": renew,
            "content_bytes": arriving.content.size_bytes,
            "duration_s": round(now_s() - started_s, 2),
        },
    )


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except ProcessError as error:
        if error.result.returncode == 127:
            raise
        why = error.details[-1].split(":")[-1].strip() if error.details else "it cannot be expanded"
        raise BundleError(f"it is damaged, or no bundle ({why})") from error


def _choice() -> Accelerator:
    return accelerator.choose("auto").accelerator


def _believed(reader: Reader, options: Options, reporter: Reporter, hypervisor: Hypervisor) -> _Incoming:
    """Read and judge what is in front of the volumes; nothing is changed."""
    try:
        content = bundle.parse_manifest(reader.document(bundle.MANIFEST))
        raw = json.loads(reader.document(bundle.SECRETS))
        secrets = keys.from_document(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(str(error)) from error
    keys.mask_secrets(secrets)
    session = _session(content, secrets, options, reporter)
    names = imported_volumes.images_of(planned_images(session.lab))
    if why := bundle.member_fault(bundle.members(session.lab.node_names, names), list(content.sizes)):
        raise BundleError(why)
    if wrong := [name for name in (*session.lab.node_names, keys.GUESTS) if name not in secrets.host_private_keys]:
        raise BundleError(f"{bundle.SECRETS} has no host key of {wrong[0]}")
    return _Incoming(content, session, _fitting_tree(session, content, hypervisor))


def _session(content: Bundle, secrets: Secrets, options: Options, reporter: Reporter) -> Session:
    kept = content.kept
    try:
        lab: Lab = parse_topology(kept.topology, source="the bundle's topology", name=kept.lab)
    except LabError as error:
        raise BundleError("; ".join((error.message, *error.details[:3]))) from error
    kvm = kept.note.accelerator == "kvm"
    lab = with_accelerator(lab, "kvm" if kvm else "tcg")
    return Session(lab, replace(options, name=lab.name), secrets, options.build / lab.name, reporter)


def _fitting_tree(session: Session, content: Bundle, hypervisor: Hypervisor) -> dict[str, bytes]:
    """The rendered tree, which has to be the one that the saves were made with, on a machine that can carry them."""
    kept, wanted = content.kept, session.lab.accelerator
    tree = rendered(session)
    processor, features = kept_saves.processor(hypervisor, wanted)
    present = Present(
        tree={path: hashlib.sha256(raw).hexdigest() for path, raw in tree.items()},
        accelerator="kvm" if wanted == "kvm" and _choice() == "kvm" else "tcg",
        qemu=snapshots.qemu_version(hypervisor),
        processor=processor,
        features=features,
    )
    if why := judgement.obstacles(kept, present):
        raise LabError(
            f"the bundle of the lab {kept.lab} does not fit this machine: {'; '.join(why)}",
            remedy="Use the same version of this program, of QEMU's first two numbers, and under KVM the same "
            "processor; or build the lab here with ./inv lab.up",
            exit_code=2,
        )
    return tree


@contextmanager
def _reserved(session: Session, hypervisor: Hypervisor) -> Iterator[None]:
    """Hold the lock of a lab that must not be here; the lock's folder goes again when it was made for that."""
    name, folder = session.lab.name, session.folder
    there = folder.exists()
    try:
        with files.locked(folder / "lock", busy=f"another run is working on the lab {name}"):
            _require_own_pool(hypervisor, name)
            if hypervisor.owned_domains(name) or kept_saves.find(name) is not None:
                raise LabError(
                    f"there is a lab {name} here already, or its saves are kept",
                    remedy=f"./inv lab.down --name {name} --no-cache removes it",
                    exit_code=2,
                )
            yield
    finally:
        if not there:
            (folder / "lock").unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()


def _require_own_pool(hypervisor: Hypervisor, name: str) -> None:
    """A lab's name comes with the bundle, and its pool is made anew: it must not be a pool of somebody else."""
    own = str(pool_uuid(name, "host"))
    if any(pool.name() == name and pool.UUIDString() != own for pool in hypervisor.connection.listAllStoragePools()):
        raise LabError(
            f"libvirt has a storage pool {name} that does not belong to a lab",
            remedy="The lab of the bundle cannot be taken in beside it; export it from a lab of another name",
            exit_code=2,
        )


def _take_in(reader: Reader, arriving: _Incoming, hypervisor: Hypervisor, *, renew: bool) -> None:
    """Fill the volumes, compare all digests, and only then note that they count; or remove them again."""
    session, tree = arriving.session, arriving.tree
    name = session.lab.name
    images = planned_images(session.lab)
    volumes = imported_volumes.Volumes(hypervisor, name, host_side.COMPLETE_MARK)
    with kept_saves.incoming(name):
        try:
            hypervisor.ensure_pool(host_side.CACHE_POOL_XML)
            # What is left of an earlier import that was killed.
            hypervisor.remove_pool(name, str(pool_uuid(name, "host")))
            hypervisor.ensure_pool(tree["libvirt/pool.xml"].decode())
            volumes.require_space(arriving.content.size_bytes)
            for member, size in arriving.content.sizes.items():
                blocks = reader.volume(member, size)
                volume = member.partition("/")[2]
                if member.startswith(bundle.image_member("")):
                    if volume in images.node_volume.values():
                        blocks = _judged(member, blocks)
                    volumes.take_image(volume, size, blocks, used=_labs_here(hypervisor, name))
                else:
                    node = volume.removesuffix("-system.qcow2")
                    base = f"{CACHE_POOL_PATH}/{images.node_volume[node]}" if node != volume else ""
                    volumes.take_disk(volume, size, _judged(member, blocks, base))
            reader.end()
            volumes.finish()
            kept_saves.store(arriving.content.kept, session.secrets, renew=renew)
        except BaseException as error:
            volumes.undo()
            kept_saves.discard(name)
            if isinstance(error, libvirt.libvirtError):
                raise LabError(
                    f"a volume of the bundle cannot be filled: {error}",
                    remedy=f"Look at the free space of the pools {CACHE_POOL} and {name}; nothing was changed",
                ) from error
            raise


def _labs_here(hypervisor: Hypervisor, but: str) -> list[str]:
    """Labs whose disks may be based on images of this host."""
    return sorted({*(domain.lab for domain in hypervisor.owned_domains()), *kept_saves.names()} - {but})


def _judged(member: str, blocks: Iterator[bytes], base: str = "") -> Iterator[bytes]:
    """The content of a qcow2 disk, if it names no file but the one that it may be based on."""
    first = next(blocks, b"")
    if why := qcow2.fault(first[: qcow2.HEAD_BYTES], backing=base, backing_format="qcow2" if base else ""):
        raise BundleError(f"{member} in it is not a disk of such a lab: {why}")
    yield from chain([first], blocks)


def _topology_for(text: str, options: Options, name: str) -> str:
    """What to type as topology: the name of a shipped one, or a file that is written for it."""
    for path in sorted(TOPOLOGIES.glob("*.yaml")):
        if path.read_text(encoding="utf-8") == text:
            return path.stem
    own = options.build / f"{name}.topology.yaml"
    files.write_atomically(own, text.encode())
    return shown_path(own)
