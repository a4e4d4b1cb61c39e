"""A lab that goes down and comes up from its disks, with two tiny domains in real QEMU; also when a run is killed."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lab.core.model import Fencing, LabImages
from lab.core.renewal import Phase
from lab.core.saves import READY, Note, build_digest
from lab.doors import files
from lab.drivers import kept_saves, keys, snapshots
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import clocks, host_side, keeping, listing, pending, prune, renewing, snapshot
from lab.workflows.options import Options
from lab.workflows.session import Session
from tests.drivers import test_snapshots as tiny
from tests.drivers.lab_here import BashHere, Quiet, lab_of
from tests.golden.example import example_secrets

hypervisor = tiny.hypervisor
NAME, NODES = tiny.NAME, tiny.NODES


def tree() -> dict[str, bytes]:
    """What is rendered of the lab, as far as it is about the domains."""
    place = f"/var/lib/libvirt/images/{NAME}"
    found = {"libvirt/pool.xml": f"<pool type='dir'><name>{NAME}</name><target><path>{place}</path></target></pool>"}
    for node in NODES:
        name = f"{NAME}-{node}"
        number = uuid.uuid5(uuid.NAMESPACE_DNS, name)
        found[f"libvirt/domains/{node}.xml"] = tiny.DOMAIN.format(name=name, uuid=number, lab=NAME, node=node)
        found[f"nodes/{node}/seed.iso"] = "seed" * 128
    return {path: text.encode() for path, text in found.items()}


def digests() -> dict[str, str]:
    return {path: hashlib.sha256(raw).hexdigest() for path, raw in tree().items()}


@pytest.fixture
def lab_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(keeping, "planned_images", lambda _lab: LabImages({}, {}, {}, ""))

    # Networks would be real bridges of this machine; the domains here have no cards.
    def pool_only(_session: Session, connected: Hypervisor, rendered: Mapping[str, bytes]) -> None:
        connected.ensure_pool(rendered["libvirt/pool.xml"].decode())

    monkeypatch.setattr(host_side, "ensure_host_objects", pool_only)
    monkeypatch.setattr(keeping, "pool_uuid", lambda _name, _role: "")
    lab = lab_of("smoke")
    nodes = tuple(replace(node, name=name) for node, name in zip(lab.nodes, NODES, strict=True))
    lab = replace(lab, name=NAME, nodes=nodes, fencing=Fencing(method="none"))
    folder = tmp_path / "build" / NAME
    secrets = example_secrets(lab)
    keys.save_secrets(folder / "secrets", secrets)
    state = {"accelerator": "tcg", "tree": digests(), "topology_text": "lab: {}\n"}
    files.write_json(folder / "state.json", state)
    return Session(lab, Options(build=tmp_path / "build"), secrets, folder, cast(Any, Quiet()))


def saved(session: Session, hypervisor: Hypervisor, *, token: str = "ab" * 16) -> dict[str, int]:
    """Save the running lab as ``lab.up`` does; returns what its nodes have counted to."""
    tiny.wait_counting(hypervisor)
    qemu = snapshots.qemu_version(hypervisor)
    note = Note(NAME, READY, token, 1_800_000_000, build_digest(digests()), "tcg", qemu)
    snapshots.save_all(hypervisor, hypervisor.owned_domains(NAME), note)
    keeping.note_ready(session, note)
    snapshots.suspend_all(hypervisor, hypervisor.owned_domains(NAME))
    later = {node: tiny.counted(hypervisor, node) for node in NODES}
    snapshots.resume_all(hypervisor, hypervisor.owned_domains(NAME))
    tiny.wait_counting(hypervisor, max(later.values()))
    return later


def go_down(session: Session, hypervisor: Hypervisor) -> keeping.Keeping:
    kept = keeping.keep(session.lab, session.folder, hypervisor)
    for domain in hypervisor.owned_domains(NAME):
        hypervisor.remove_domain(domain.name)
    return kept


def come_up(session: Session, hypervisor: Hypervisor) -> bool:
    kept = keeping.offered(session, hypervisor, fresh=False)
    if kept is None:
        return False
    return keeping.can_start(session, hypervisor, tree(), kept) and keeping.start(session, hypervisor, tree(), kept)


def test_a_lab_comes_back_as_it_was_saved(lab_session: Session, hypervisor: Hypervisor) -> None:
    later = saved(lab_session, hypervisor)
    kept = go_down(lab_session, hypervisor).kept
    assert kept is not None and kept.save == READY
    assert kept_saves.find(NAME) == kept
    assert kept_saves.secrets_of(lab_session.lab) == lab_session.secrets
    assert kept_saves.names() == [NAME]
    assert come_up(lab_session, hypervisor)
    assert tiny.states(hypervisor) == ["running", "running"]
    assert all(tiny.counted(hypervisor, node) > 0 for node in NODES)
    assert kept_saves.find(NAME) is None
    assert not pending.is_marked(lab_session.folder)
    (save,) = snapshot.found_saves(lab_session, hypervisor)
    assert save.note == kept.note
    snapshots.revert_all(hypervisor, hypervisor.owned_domains(NAME), save.snapshot)
    assert all(tiny.counted(hypervisor, node) <= later[node] for node in NODES)
    # And once more, from a lab that was started like that.
    assert go_down(lab_session, hypervisor).kept == kept
    assert come_up(lab_session, hypervisor)


def test_only_the_ready_of_lab_up_is_kept(lab_session: Session, hypervisor: Hypervisor) -> None:
    saved(lab_session, hypervisor)
    files.write_json(lab_session.folder / keeping.READY_MARK, {"token": "cd" * 16})
    kept = keeping.keep(lab_session.lab, lab_session.folder, hypervisor)
    assert kept == keeping.Keeping(None, "its save ready is not the one that lab.up has made")
    snapshots.forget(hypervisor, hypervisor.owned_domains(NAME), READY)
    kept = keeping.keep(lab_session.lab, lab_session.folder, hypervisor)
    assert kept == keeping.Keeping(None, "it has no save ready")
    hypervisor.remove_domain(f"{NAME}-two")
    kept = keeping.keep(lab_session.lab, lab_session.folder, hypervisor)
    assert kept == keeping.Keeping(None, "the lab is not whole")
    assert kept_saves.names() == []


def test_a_down_that_was_killed_is_finished_by_down_or_up(lab_session: Session, hypervisor: Hypervisor) -> None:
    saved(lab_session, hypervisor)
    kept = keeping.keep(lab_session.lab, lab_session.folder, hypervisor).kept
    assert tiny.states(hypervisor) == ["off", "off"]
    hypervisor.remove_domain(f"{NAME}-two")
    assert keeping.keep(lab_session.lab, lab_session.folder, hypervisor).kept == kept
    assert come_up(lab_session, hypervisor)
    assert tiny.states(hypervisor) == ["running", "running"]


def test_an_up_that_was_killed_starts_again(lab_session: Session, hypervisor: Hypervisor) -> None:
    saved(lab_session, hypervisor)
    kept = go_down(lab_session, hypervisor).kept
    assert kept is not None
    assert come_up(lab_session, hypervisor)
    # As if it had been killed before its end: noted still, and one node has run already.
    kept_saves.store(kept, lab_session.secrets)
    pending.begin(lab_session, "load", READY)
    hypervisor.connection.lookupByName(f"{NAME}-one").suspend()
    assert keeping.keep(lab_session.lab, lab_session.folder, hypervisor).kept == kept
    assert come_up(lab_session, hypervisor)
    assert tiny.states(hypervisor) == ["running", "running"]
    assert not pending.is_marked(lab_session.folder)


@pytest.mark.parametrize(("phase", "wanted"), [("wanted", True), ("nodes", True), ("renewed", False), (None, False)])
def test_a_renewal_that_is_not_finished_is_wanted_of_the_kept_lab(
    lab_session: Session, hypervisor: Hypervisor, phase: Phase | None, wanted: bool
) -> None:
    saved(lab_session, hypervisor)
    if phase:
        renewing.note(lab_session.folder, phase)
    assert go_down(lab_session, hypervisor).kept
    assert kept_saves.wants_renewal(NAME) == wanted
    shutil.rmtree(lab_session.folder)
    renewing.take_over_wish(lab_session)
    assert come_up(lab_session, hypervisor)
    assert renewing.phase_of(lab_session.folder) == ("wanted" if wanted else None)
    assert not kept_saves.wants_renewal(NAME)


def test_a_lab_that_runs_is_never_taken_back(lab_session: Session, hypervisor: Hypervisor) -> None:
    saved(lab_session, hypervisor)
    kept = go_down(lab_session, hypervisor).kept
    assert kept is not None
    assert come_up(lab_session, hypervisor)
    # As if it had been killed after its nodes were let go, before the note of them was removed.
    kept_saves.store(kept, lab_session.secrets)
    assert not come_up(lab_session, hypervisor)
    assert tiny.states(hypervisor) == ["running", "running"]
    assert kept_saves.find(NAME) is None


def test_disks_without_a_note_and_fresh_starts_leave_nothing(lab_session: Session, hypervisor: Hypervisor) -> None:
    saved(lab_session, hypervisor)
    assert go_down(lab_session, hypervisor).kept
    kept_saves.discard(NAME)
    assert not come_up(lab_session, hypervisor)
    assert not hypervisor.has_pool(NAME)


def test_a_save_that_is_not_in_the_disks_is_given_up(lab_session: Session, hypervisor: Hypervisor) -> None:
    saved(lab_session, hypervisor)
    kept = go_down(lab_session, hypervisor).kept
    assert kept is not None
    other = replace(kept, notes=(replace(kept.note, token="ef" * 16),))
    kept_saves.store(other, lab_session.secrets)
    assert not come_up(lab_session, hypervisor)
    assert tiny.domains(hypervisor) == []
    assert not hypervisor.has_pool(NAME)
    assert kept_saves.names() == []


def test_another_tree_is_not_started(lab_session: Session, hypervisor: Hypervisor) -> None:
    saved(lab_session, hypervisor)
    kept = go_down(lab_session, hypervisor).kept
    assert kept is not None
    assert not keeping.can_start(lab_session, hypervisor, {**tree(), "more": b""}, kept)
    assert not hypervisor.has_pool(NAME)
    assert kept_saves.find(NAME) is None


def test_what_is_kept_is_listed_and_pruned(
    lab_session: Session, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(lab_session, hypervisor)
    assert go_down(lab_session, hypervisor).kept
    listed = listing.list_labs(lab_session.options)
    assert listed.document["kept"] == {NAME: {"save": READY, "created_s": 1_800_000_000}}
    assert f"{NAME:<12} tcg   down; its save ready is kept" in listed.text
    monkeypatch.setattr(prune, "pool_uuid", lambda _name, _role: "")
    assert prune.remove_kept(hypervisor) == [NAME]
    assert not hypervisor.has_pool(NAME)
    with kept_saves.incoming("half"):
        assert kept_saves.names() == ["half"]
        assert "half of what was kept" in listing.list_labs(lab_session.options).text
    assert prune.remove_kept(hypervisor) == ["half"]
    assert kept_saves.names() == []


@pytest.mark.parametrize(
    ("guests", "code", "said"), [("test", 0, ""), ("", 0, ""), ("test gone test lost", 1, "not set in: gone lost")]
)
def test_a_guest_whose_clock_cannot_be_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guests: str, code: int, said: str
) -> None:
    # virsh itself, on libvirt's test driver, which has a domain "test" and takes its time; only the list is given.
    real = shutil.which("virsh")
    own = tmp_path / "virsh"
    own.write_text(f'#!/bin/sh\n[ "$1" = list ] && echo {guests} || exec {real} -c test:///default "$@"\n')
    own.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = BashHere("here", tmp_path, tmp_path).run(clocks._SET_GUEST_CLOCKS)
    assert result.returncode == code
    assert result.stderr.strip().endswith(said)
