"""What comes of it when nodes under KVM do not go on from what they have just saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from lab.core.errors import LabError
from lab.core.model import Lab
from lab.core.topology import with_accelerator
from lab.drivers.hypervisor import Hypervisor, OwnedDomain
from lab.drivers.wind_back import SwitchedOffError
from lab.workflows import pending, snapshot
from lab.workflows.session import Session
from tests.golden.example import lab_of

OFF = SwitchedOffError("the nodes were switched off", remedy="./inv lab.up starts them")
FULL = LabError("node one cannot be saved: no space left")
NO_LIBVIRT = cast(Hypervisor, None)


@dataclass
class Said:
    """A session of which only lab and reporter are used, and what it was told."""

    lab: Lab = field(default_factory=lambda: with_accelerator(lab_of("smoke"), "kvm"))
    warnings: list[str] = field(default_factory=list)

    @property
    def reporter(self) -> Said:
        return self

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def raising(error: LabError) -> Any:
    def refuse(*_arguments: object) -> None:
        raise error

    return refuse


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    monkeypatch.setattr(snapshot, "found_saves", lambda _session, _hypervisor: [])
    return Said()


def test_a_lab_that_cannot_be_saved_is_up(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "save_now", raising(FULL))
    snapshot.save_ready(cast(Session, said), NO_LIBVIRT)
    assert said.warnings == ["the lab was not saved as ready: node one cannot be saved: no space left"]


def test_a_lab_whose_save_switched_it_off_is_not_up(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "save_now", raising(OFF))
    with pytest.raises(SwitchedOffError):
        snapshot.save_ready(cast(Session, said), NO_LIBVIRT)


@dataclass
class Paused:
    """A libvirt with two nodes, one of which stands still, and what it was told to continue."""

    continued: list[str] = field(default_factory=list)

    def owned_domains(self, lab: str) -> list[OwnedDomain]:
        return [OwnedDomain(f"{lab}-one", lab, "one", "paused"), OwnedDomain(f"{lab}-two", lab, "two", "running")]


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> Paused:
    there = Paused()

    def resume(_hypervisor: object, domains: list[OwnedDomain]) -> list[OwnedDomain]:
        there.continued += [one.node for one in domains]
        return domains

    monkeypatch.setattr(pending.snapshots, "resume_all", resume)
    return there


def going_on(said: Said, paused: Paused) -> None:
    here = cast(Hypervisor, paused)
    pending.go_on(cast(Session, said), here, here.owned_domains("smoke"))


def test_only_paused_nodes_are_wound_back_and_go_on(
    said: Said, paused: Paused, monkeypatch: pytest.MonkeyPatch
) -> None:
    wound: list[str] = []
    monkeypatch.setattr(pending, "wind_back_to_now", lambda _hypervisor, domains: wound.extend(d.node for d in domains))
    going_on(said, paused)
    assert (wound, paused.continued) == (["one"], ["one"])
    said.lab = with_accelerator(lab_of("smoke"), "tcg")
    going_on(said, paused)
    assert (wound, paused.continued) == (["one"], ["one", "one"])


def test_nodes_that_cannot_be_wound_back_go_on(said: Said, paused: Paused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "wind_back_to_now", raising(FULL))
    going_on(said, paused)
    assert paused.continued == ["one"]
    assert said.warnings == [
        "the guests' clocks will stand still for as long as the nodes did: node one cannot be saved: no space left"
    ]


def test_nodes_that_were_switched_off_do_not_go_on(said: Said, paused: Paused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "wind_back_to_now", raising(OFF))
    with pytest.raises(SwitchedOffError):
        going_on(said, paused)
    assert paused.continued == []
