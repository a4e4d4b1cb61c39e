"""What Vagrant is given, made with real libvirt: thin disks, boxes, and nothing that a killed run has left."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lab.core import addressing
from lab.core.errors import LabError
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
        self.busy: Callable[[], None] = lambda: None
        self.go_on = threading.Event()

    def box_add(self, name: str, catalogue: str, *, provider: str) -> None:
        self.asked.append(("box", name, json.loads(Path(catalogue).read_text())["name"], provider))

    def bring_up(self, node: str | None, limit_s: float) -> None:
        assert limit_s > 100
        self.asked.append(("up", node))
        self.busy()

    def abandon(self) -> None:
        self.asked.append(("abandon",))
        self.go_on.set()


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


def vagrant(session: Session) -> Recorder:
    program = cast(Any, vagrant_side)._program(session)
    assert isinstance(program, Recorder)
    return program


def asked(session: Session) -> list[Any]:
    return vagrant(session).asked


def made(session: Session, hypervisor: Hypervisor) -> list[str]:
    with vagrant_side.making_missing(session, hypervisor, tree()) as names:
        return names


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
    assert made(session, hypervisor) == ["brina", "piova"]
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
    assert made(session, hypervisor) == ["piova"]
    assert asked(session)[-1] == ("up", "piova")
    assert hypervisor.state(f"{NAME}-piova") == "missing"
    assert hypervisor.state(f"{NAME}-brina") == "off"
    assert {*left} & hypervisor.volume_names(NAME) == {*left[2:]}
    assert [folder.exists() for folder in notes] == [True, False]


def test_nothing_is_asked_of_vagrant_when_all_nodes_are_there(session: Session, hypervisor: Hypervisor) -> None:
    for node in ("brina", "piova"):
        define(hypervisor, node, cards=3)
    assert made(session, hypervisor) == []
    assert asked(session) == []
    shutil.rmtree(session.folder, ignore_errors=True)
    assert vagrant_side.chosen(Options(), NAME, hypervisor) == "vagrant"


@pytest.fixture
def waiting(session: Session, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A Vagrant that has switched its nodes on and waits for them; libvirt's own view of them is not what matters."""
    program = vagrant(session)
    on: list[str] = []

    def busy() -> None:
        on.append("running")
        assert program.go_on.wait(20)
        if ("abandon",) in program.asked:
            raise LabError("ended")

    program.busy = busy
    monkeypatch.setattr(hypervisor, "state", lambda _domain: on[0] if on else "missing")
    return program


def test_what_comes_next_begins_while_vagrant_waits_for_ssh(
    session: Session, hypervisor: Hypervisor, waiting: Recorder
) -> None:
    ended = threading.Event()
    with vagrant_side.making_missing(session, hypervisor, tree()) as names:
        assert names == ["brina", "piova"]
        assert not waiting.go_on.is_set()
        waiting.go_on.set()
        ended.set()
    assert ended.is_set()
    assert ("abandon",) not in waiting.asked


def test_vagrant_is_ended_when_what_comes_next_fails(
    session: Session, hypervisor: Hypervisor, waiting: Recorder
) -> None:
    with (
        pytest.raises(LabError, match="the cluster"),
        vagrant_side.making_missing(session, hypervisor, tree()),
    ):
        raise LabError("the cluster does not form")
    assert waiting.asked[-1] == ("abandon",)


def test_a_vagrant_that_fails_later_fails_the_whole(
    session: Session, hypervisor: Hypervisor, waiting: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = waiting.busy

    def busy() -> None:
        before()
        raise LabError("no ssh to piova")

    monkeypatch.setattr(waiting, "busy", busy)
    with (
        pytest.raises(LabError, match="no ssh to piova"),
        vagrant_side.making_missing(session, hypervisor, tree()),
    ):
        waiting.go_on.set()


def test_a_vagrant_that_fails_at_once_fails_before_what_comes_next(session: Session, hypervisor: Hypervisor) -> None:
    def busy() -> None:
        raise LabError("no such box")

    vagrant(session).busy = busy
    begun: list[bool] = []
    with (
        pytest.raises(LabError, match="no such box"),
        vagrant_side.making_missing(session, hypervisor, tree()),
    ):
        begun.append(True)
    assert not begun


def test_a_second_box_of_the_same_image_is_not_added(session: Session, hypervisor: Hypervisor) -> None:
    vagrant_side.prepare(session, hypervisor, tree())
    (session.folder / "vagrant-home" / "boxes" / f"{NAME}-VAGRANTSLASH-node-x").mkdir(parents=True)
    vagrant_side.prepare(session, hypervisor, tree())
    assert [words[0] for words in asked(session)] == ["box"]
