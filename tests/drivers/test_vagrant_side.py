"""What Vagrant is given, made with real libvirt: thin disks, boxes, and nothing that a killed run has left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lab.core import addressing
from lab.core.model import LabImages
from lab.doors.process import run
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import vagrant_side
from lab.workflows.options import Options
from lab.workflows.session import Session
from tests.drivers.lab_here import Quiet, lab_of
from tests.golden.example import example_secrets

NAME = f"vside{os.getpid()}"
POOL = Path("/var/lib/libvirt/images") / NAME
CARD = "<interface type='user'><model type='virtio'/></interface>"


class Recorder:
    """Vagrant, as far as it was asked for anything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[Any] = []

    def box_add(self, name: str, catalogue: str, *, provider: str) -> None:
        self.asked.append(("box", name, json.loads(Path(catalogue).read_text())["name"], provider))

    def bring_up(self, node: str | None, limit_s: float) -> None:
        assert limit_s > 100
        self.asked.append(("up", node))


@pytest.fixture
def hypervisor() -> Iterator[Hypervisor]:
    connected = Hypervisor("qemu:///system")
    try:
        yield connected
    finally:
        for node in ("brina", "piova"):
            connected.remove_domain(f"{NAME}-{node}")
        connected.remove_pool(NAME)
        connected.close()


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A lab whose images are small files, and whose Vagrant only notes what it is asked for."""
    lab = replace(lab_of("smoke"), name=NAME)
    cache = tmp_path / "cache"
    cache.mkdir()
    run(["qemu-img", "create", "-q", "-f", "qcow2", str(cache / "node-x.qcow2"), "1G"], timeout_s=30)
    (cache / "guests-x.tar").write_bytes(b"guests".ljust(10240, b"\0"))
    images = LabImages(
        dict.fromkeys(lab.node_names, "node-x.qcow2"), {}, {}, "guests-x.tar", cache_pool_path=str(cache)
    )
    monkeypatch.setattr(vagrant_side, "planned_images", lambda _lab: images)
    monkeypatch.setattr(vagrant_side, "image_files", lambda _images: {"node-x.qcow2": cache / "node-x.qcow2"})
    program = Recorder(tmp_path / "build")
    monkeypatch.setattr(vagrant_side, "_program", lambda _session: program)
    return Session(lab, Options(), example_secrets(lab), tmp_path / "build", cast(Any, Quiet()))


def asked(session: Session) -> list[Any]:
    return cast(Any, vagrant_side)._program(session).asked


def tree() -> dict[str, bytes]:
    seeds = {f"nodes/{node}/seed.iso": node.encode().ljust(4096, b"\0") for node in ("brina", "piova")}
    pool = f"<pool type='dir'><name>{NAME}</name><target><path>{POOL}</path></target></pool>"
    return {"libvirt/pool.xml": pool.encode(), **seeds}


def define(hypervisor: Hypervisor, node: str, cards: int) -> None:
    number = addressing.domain_uuid(NAME, node)
    hypervisor.define_domain(
        f"<domain type='qemu'><name>{NAME}-{node}</name><uuid>{number}</uuid><memory unit='MiB'>16</memory>"
        f"<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{CARD * cards}</devices></domain>"
    )


def content(volume: str, tmp_path: Path) -> bytes:
    plain = tmp_path / "plain.raw"
    run(["qemu-img", "convert", "-O", "raw", str(POOL / volume), str(plain)], timeout_s=30)
    return plain.read_bytes()


def test_nodes_that_are_missing_get_thin_disks_and_are_made_together(
    session: Session, hypervisor: Hypervisor, tmp_path: Path
) -> None:
    assert vagrant_side.make_missing(session, hypervisor, tree()) == ["brina", "piova"]
    box = f"{NAME}/node-x"
    assert asked(session) == [("box", box, box, "libvirt"), ("up", None)]
    for node in ("brina", "piova"):
        # As large as what they show: a disk that ends early would lose its last guests.
        assert content(f"{node}-seed.qcow2", tmp_path) == node.encode().ljust(4096, b"\0")
        assert content(f"{node}-gueststore.qcow2", tmp_path) == b"guests".ljust(10240, b"\0")
        assert f"{node}-storage.qcow2" not in hypervisor.volume_names(NAME)


def test_a_node_that_is_whole_stays_and_a_half_made_one_is_made_anew(session: Session, hypervisor: Hypervisor) -> None:
    hypervisor.ensure_pool(tree()["libvirt/pool.xml"].decode())
    define(hypervisor, "brina", cards=3)
    define(hypervisor, "piova", cards=1)
    left = [f"{NAME}-piova.img", "piova-storage.qcow2", f"{NAME}-brina.img", "brina-storage.qcow2"]
    for name in left:
        hypervisor.upload_volume(NAME, name, b"left")
    notes = [session.folder / ".vagrant" / "machines" / node / "libvirt" for node in ("brina", "piova")]
    for folder in notes:
        folder.mkdir(parents=True)
    assert vagrant_side.make_missing(session, hypervisor, tree()) == ["piova"]
    assert asked(session)[-1] == ("up", "piova")
    assert hypervisor.state(f"{NAME}-piova") == "missing"
    assert hypervisor.state(f"{NAME}-brina") == "off"
    assert {*left} & hypervisor.volume_names(NAME) == {*left[2:]}
    assert [folder.exists() for folder in notes] == [True, False]


def test_nothing_is_asked_of_vagrant_when_all_nodes_are_there(session: Session, hypervisor: Hypervisor) -> None:
    for node in ("brina", "piova"):
        define(hypervisor, node, cards=3)
    assert vagrant_side.make_missing(session, hypervisor, tree()) == []
    assert asked(session) == []
    shutil.rmtree(session.folder, ignore_errors=True)
    assert vagrant_side.chosen(Options(), NAME, hypervisor) == "vagrant"


def test_a_second_box_of_the_same_image_is_not_added(session: Session, hypervisor: Hypervisor) -> None:
    vagrant_side.prepare(session, hypervisor, tree())
    (session.folder / "vagrant-home" / "boxes" / f"{NAME}-VAGRANTSLASH-node-x").mkdir(parents=True)
    vagrant_side.prepare(session, hypervisor, tree())
    assert [words[0] for words in asked(session)] == ["box"]
