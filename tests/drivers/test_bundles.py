"""Bundles through real libvirt storage and zstd: out of kept disks, into a machine that has nothing, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lab.core import bundle
from lab.core.addressing import pool_uuid
from lab.core.errors import LabError
from lab.core.kept import Kept
from lab.core.model import Lab, LabImages, Secrets
from lab.core.saves import Note, build_digest
from lab.doors import pipes
from lab.doors.process import ProcessError, run
from lab.drivers import kept_saves, keys, lab_images, snapshots, volume_stream
from lab.drivers.bundle_stream import COMPRESS, EXPAND, Reader, Writer
from lab.drivers.hypervisor import CACHE_POOL, Hypervisor
from lab.workflows import bundle_export, bundle_import, host_side, keeping, session
from lab.workflows.options import ROOT, Options
from tests.drivers.lab_here import lab_of

NAME = f"b{os.getpid()}"
BASE, STORE = f"{NAME}-node.qcow2", f"{NAME}-guests.tar"
IMAGES = LabImages(
    node_volume={"brina": BASE, "piova": BASE},
    kernel_volume={"brina": f"{NAME}-vmlinuz", "piova": f"{NAME}-vmlinuz"},
    initrd_volume={"brina": "", "piova": ""},
    guest_store_volume=STORE,
)
DISKS = ["brina-system.qcow2", "brina-storage.qcow2", "piova-system.qcow2", "piova-storage.qcow2"]


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Options:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (session, bundle_export, bundle_import, keeping, lab_images):
        if hasattr(module, "planned_images"):
            monkeypatch.setattr(module, "planned_images", lambda _lab: IMAGES)
    return Options(topology=ROOT / "topologies" / "smoke.yaml", name=NAME, build=tmp_path / "build")


@pytest.fixture
def hypervisor() -> Iterator[Hypervisor]:
    connected = Hypervisor("qemu:///system")
    try:
        yield connected
    finally:
        remove(connected)
        connected.close()


@pytest.fixture
def exported(options: Options, hypervisor: Hypervisor, tmp_path: Path) -> Path:
    """A bundle of a lab that is down, which is there still."""
    base, store = tmp_path / "base.qcow2", tmp_path / "store"
    store.write_bytes(secrets.token_bytes(3_000_000))
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(store), str(base)], timeout_s=30)
    hypervisor.ensure_pool(host_side.CACHE_POOL_XML)
    for name, content in ((BASE, base), (STORE, store), (f"{NAME}-vmlinuz", b"kernel" * 99)):
        hypervisor.upload_volume(CACHE_POOL, name, content)
        hypervisor.upload_volume(CACHE_POOL, name + host_side.COMPLETE_MARK, b"complete\n")
    with session.open_session(options, "test", accelerator="tcg", make_secrets=True) as one:
        tree = session.rendered(one)
        hypervisor.ensure_pool(tree["libvirt/pool.xml"].decode())
        for disk in DISKS:
            hypervisor.create_volume(NAME, tree[f"libvirt/volumes/{disk.removesuffix('.qcow2')}.xml"].decode())
        digests = {path: hashlib.sha256(raw).hexdigest() for path, raw in tree.items()}
        qemu = snapshots.qemu_version(hypervisor)
        note = Note(NAME, "ready", "ab" * 16, 1_800_000_000, build_digest(digests), "tcg", qemu)
        kept_saves.store(Kept(NAME, "ready", (note,), "", options.topology.read_text(), digests), one.secrets)
    shutil.rmtree(options.build)
    target = tmp_path / "lab.bundle"
    outcome = bundle_export.export(options, str(target))
    assert outcome.document["paused_s"] == 0
    return target


def remove(hypervisor: Hypervisor) -> None:
    """All of the lab that libvirt has, as on a machine that has never seen it."""
    hypervisor.remove_pool(NAME, str(pool_uuid(NAME, "host")))
    for name in hypervisor.volume_names(CACHE_POOL):
        if name.startswith(f"{NAME}-"):
            with suppress(LabError):
                hypervisor.delete_volume(CACHE_POOL, name)


def content(hypervisor: Hypervisor) -> dict[str, str]:
    """Digest of each volume of the lab."""
    found = {}
    for pool in (NAME, CACHE_POOL):
        for name in sorted(hypervisor.volume_names(pool)):
            if pool == NAME or name.startswith(f"{NAME}-"):
                volume = hypervisor.connection.storagePoolLookupByName(pool).storageVolLookupByName(name)
                digest = hashlib.sha256()
                for block in volume_stream.blocks_of(hypervisor.connection, volume, volume_stream.size_of(volume)):
                    digest.update(block)
                found[f"{pool}/{name}"] = digest.hexdigest()
    return found


def remade(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundle with other members, and the right digests of them."""
    with pipes.reading(EXPAND, path, timeout_s=60) as stream:
        reader = Reader(stream)
        members = {bundle.MANIFEST: reader.document(bundle.MANIFEST), bundle.SECRETS: reader.document(bundle.SECRETS)}
        for name, size in bundle.parse_manifest(members[bundle.MANIFEST]).sizes.items():
            members[name] = b"".join(reader.volume(name, size))
        reader.end()
    change(members)
    other = path.with_name("other.bundle")
    with pipes.writing(COMPRESS, other, timeout_s=60) as out:
        writer = Writer(out)
        for name, raw in members.items():
            writer.add(name, len(raw), [raw])
        writer.close()
    return other


def test_a_bundle_brings_the_disks_to_another_machine(
    options: Options, hypervisor: Hypervisor, exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert exported.stat().st_mode & 0o777 == 0o600
    kept, before = kept_saves.find(NAME), content(hypervisor)
    assert kept is not None
    remove(hypervisor)
    assert content(hypervisor) == {}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    outcome = bundle_import.import_bundle(options, str(exported))
    assert content(hypervisor) == before
    assert kept_saves.find(NAME) == kept
    assert kept_saves.secrets_of(lab_named()) == secrets_in(exported)
    assert kept_saves.place().joinpath(NAME).stat().st_mode & 0o777 == 0o700
    assert not kept_saves.wants_renewal(NAME)
    assert outcome.document["command"] == f"./inv lab.up -t smoke --name {NAME}" + accel()
    assert not (options.build / NAME).exists()
    with pytest.raises(LabError, match=f"there is a lab {NAME} here already"):
        bundle_import.import_bundle(options, str(exported))
    assert content(hypervisor) == before


def test_the_secrets_of_a_bundle_are_replaced_on_demand(
    options: Options, hypervisor: Hypervisor, exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    remove(hypervisor)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    outcome = bundle_import.import_bundle(options, str(exported), True)
    assert outcome.document["renew_secrets"] is True
    assert "has its secrets replaced" in outcome.text
    # The lab starts from what its saves were made with; the wish waits for that.
    assert kept_saves.secrets_of(lab_named()) == secrets_in(exported)
    assert kept_saves.wants_renewal(NAME)


def lab_named() -> Lab:
    return replace(lab_of("smoke"), name=NAME)


def secrets_in(path: Path) -> Secrets:
    with pipes.reading(EXPAND, path, timeout_s=60) as stream:
        reader = Reader(stream)
        reader.document(bundle.MANIFEST)
        found = keys.from_document(json.loads(reader.document(bundle.SECRETS)))
        while stream.read(2**20):
            pass
    return found


def accel() -> str:
    return " --accel tcg" if bundle_import._choice() == "kvm" else ""


def foreign_base(members: dict[str, bytes]) -> None:
    name = bundle.disk_member("brina-system.qcow2")
    raw = bytearray(members[name])
    offset, length = struct.unpack_from(">QI", raw, 8)
    raw[offset : offset + length] = b"/etc/shadow".ljust(length, b"/")
    members[name] = bytes(raw)


def foreign_data_file(members: dict[str, bytes]) -> None:
    name = bundle.disk_member("piova-storage.qcow2")
    raw = bytearray(members[name])
    raw[79] |= 4
    members[name] = bytes(raw)


def other_topology(members: dict[str, bytes]) -> None:
    document = json.loads(members[bundle.MANIFEST])
    document["kept"]["topology"] = document["kept"]["topology"].replace("1536 MiB", "1600 MiB", 1)
    members[bundle.MANIFEST] = json.dumps(document).encode()


def no_topology(members: dict[str, bytes]) -> None:
    document = json.loads(members[bundle.MANIFEST])
    document["kept"]["topology"] = "nodes: 3"
    members[bundle.MANIFEST] = json.dumps(document).encode()


def other_qemu(members: dict[str, bytes]) -> None:
    document = json.loads(members[bundle.MANIFEST])
    document["kept"]["notes"] = [text.replace('"qemu": "', '"qemu": "1') for text in document["kept"]["notes"]]
    members[bundle.MANIFEST] = json.dumps(document).encode()


def no_secrets(members: dict[str, bytes]) -> None:
    members[bundle.SECRETS] = b"{}"


def one_more(members: dict[str, bytes]) -> None:
    document = json.loads(members[bundle.MANIFEST])
    document["members"].append({"name": "disks/../../etc/passwd", "size": 1})
    members[bundle.MANIFEST] = json.dumps(document).encode()
    members["disks/../../etc/passwd"] = b"x"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (foreign_base, "disks/brina-system.qcow2 in it is not a disk of such a lab: it is based on '/etc/shadow"),
        (foreign_data_file, "disks/piova-storage.qcow2 in it is not a disk of such a lab: its data is in another file"),
        (other_topology, "does not fit this machine: topology, program or images are others now"),
        (no_topology, "the bundle's topology: "),
        (other_qemu, "does not fit this machine: it was made with QEMU 1"),
        (no_secrets, "missing or unknown: "),
        (one_more, "it has the member 'disks/../../etc/passwd', which does not belong to its lab"),
    ],
)
def test_a_foreign_bundle_changes_nothing(
    options: Options, hypervisor: Hypervisor, exported: Path, change: Callable[[dict[str, bytes]], None], why: str
) -> None:
    other = remade(exported, change)
    remove(hypervisor)
    kept_saves.discard(NAME)
    with pytest.raises(LabError) as caught:
        bundle_import.import_bundle(options, str(other))
    assert why in caught.value.message
    assert caught.value.exit_code == 2
    unchanged(options, hypervisor)


def unchanged(options: Options, hypervisor: Hypervisor) -> None:
    assert content(hypervisor) == {}
    assert not hypervisor.has_pool(NAME)
    assert kept_saves.names() == []
    assert not (options.build / NAME).exists()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_damaged_bundle_changes_nothing(
    options: Options, hypervisor: Hypervisor, exported: Path, share: float
) -> None:
    remove(hypervisor)
    kept_saves.discard(NAME)
    raw = bytearray(exported.read_bytes())
    place = int(share * len(raw))
    raw[place] ^= 0x55
    exported.write_bytes(raw)
    with pytest.raises(LabError, match="the bundle cannot be taken in"):
        bundle_import.import_bundle(options, str(exported))
    unchanged(options, hypervisor)
    exported.write_bytes(raw[:place])
    with pytest.raises(LabError, match="the bundle cannot be taken in"):
        bundle_import.import_bundle(options, str(exported))
    unchanged(options, hypervisor)


def test_another_image_of_the_same_name_is_not_replaced(
    options: Options, hypervisor: Hypervisor, exported: Path
) -> None:
    hypervisor.upload_volume(CACHE_POOL, STORE, b"of other packages")
    hypervisor.remove_pool(NAME)
    kept_saves.discard(NAME)
    before = content(hypervisor)
    with pytest.raises(LabError, match=f"the image {STORE} of this machine was baked of other package versions"):
        bundle_import.import_bundle(options, str(exported))
    assert content(hypervisor) == before


def test_a_pool_of_somebody_else_is_left_alone(options: Options, hypervisor: Hypervisor, exported: Path) -> None:
    remove(hypervisor)
    kept_saves.discard(NAME)
    place = Path("/var/lib/libvirt/images") / NAME
    hypervisor.ensure_pool(f"<pool type='dir'><name>{NAME}</name><target><path>{place}</path></target></pool>")
    try:
        hypervisor.upload_volume(NAME, "precious", b"data")
        with pytest.raises(LabError, match="does not belong to a lab"):
            bundle_import.import_bundle(options, str(exported))
        assert hypervisor.volume_names(NAME) == {"precious"}
    finally:
        hypervisor.remove_pool(NAME)


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(small)], timeout_s=10)
    try:
        with (
            pytest.raises(ProcessError, match="zstd") as caught,
            pipes.writing(COMPRESS, small / "x", timeout_s=60, remedy="Free some space") as stream,
        ):
            for _ in range(64):
                stream.write(secrets.token_bytes(2**20))
        assert "No space left" in " ".join(caught.value.details)
        assert caught.value.remedy == "Free some space"
        assert list(small.iterdir()) == []
    finally:
        run(["umount", str(small)], timeout_s=10)


def test_a_file_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot write"), pipes.writing(COMPRESS, tmp_path / "no/x", timeout_s=9):
        pass
    with pytest.raises(LabError, match="cannot read"), pipes.reading(EXPAND, tmp_path / "no", timeout_s=9):
        pass
    with pytest.raises(ZeroDivisionError), pipes.writing(COMPRESS, tmp_path / "x", timeout_s=9):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
