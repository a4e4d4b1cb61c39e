"""The planned names of a lab's images against what a bake, with a pretended builder, leaves."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from lab_here import lab_of

from lab.core.errors import LabError
from lab.core.model import ImageSource, Lab
from lab.drivers import bakery, image_cache, lab_images
from lab.drivers.bake_build import BuildRequest, BuildResult

DISK = b"QFI\xfb and more"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is built from now on, into a cache of this test."""
    names: list[str] = []

    def build(request: BuildRequest) -> BuildResult:
        names.append(request.recipe.name)
        paths = {name: request.work / name for name in ("root", "kernel", "initrd")}
        for name, path in paths.items():
            path.write_text(f"{name} of {request.recipe.name}")
        return BuildResult(paths["root"], paths["kernel"], paths["initrd"], {}, 1)

    real: Callable[..., object] = bakery.bake
    monkeypatch.setattr(bakery, "bake", partial(real, builder=build))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return names


def names_of(lab: Lab) -> list[str]:
    return list(lab_images.image_files(lab_images.planned_images(lab)))


@pytest.mark.parametrize("topology", ["smoke", "two-node"])
def test_what_was_planned_is_there_after_a_bake(built: list[str], tmp_path: Path, topology: str) -> None:
    lab = lab_of(topology)
    files = lab_images.image_files(lab_images.planned_images(lab))
    assert lab_images.cache_folder() == tmp_path / "cache/ha-lab/images"
    assert not any(path.exists() for path in files.values())
    lab_images.ensure_images(lab)
    assert sorted(built) == sorted({member.image.recipe for member in lab.guests} | {"node"})
    assert [name for name, path in files.items() if not path.is_file()] == []
    assert {name: path.name for name, path in files.items()} == {name: name for name in files}
    # A second run bakes nothing and plans the same.
    lab_images.ensure_images(lab)
    assert sorted(built) == sorted(set(built))
    assert names_of(lab) == list(files)


def test_a_bake_that_ends_while_another_one_tidies_up_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes its own directory between the look at what is there and the lock of it."""
    image_cache.prepare(tmp_path)
    other = tmp_path / f"{image_cache.WORK_PREFIX}other"
    other.mkdir()
    really = image_cache._try_lock

    def after_the_other(descriptor: int) -> bool:
        other.rmdir()
        return really(descriptor)

    monkeypatch.setattr(image_cache, "_try_lock", after_the_other)
    assert image_cache.remove_leftovers(tmp_path) == []


def test_the_store_holds_what_the_guests_are_copied_from(built: list[str]) -> None:
    lab = lab_of("two-node")
    lab_images.ensure_images(lab)
    planned = lab_images.planned_images(lab)
    with tarfile.open(lab_images.cache_folder() / planned.guest_store_volume) as store:
        members = set(store.getnames())
    for guest in lab.guests:
        assert f"{guest.image.recipe}.qcow2" in members
        assert {f"guest-{guest.image.suite}-vmlinuz", f"guest-{guest.image.suite}-initrd"} <= members


def test_a_file_of_ones_own_is_planned_under_the_name_that_it_gets(built: list[str], tmp_path: Path) -> None:
    source = tmp_path / "mine.qcow2"
    source.write_bytes(DISK)
    image = ImageSource(file=str(source), sha256=hashlib.sha256(DISK).hexdigest().upper())
    lab = lab_of("smoke")
    lab = replace(lab, nodes=tuple(replace(node, image=image) for node in lab.nodes))
    planned = lab_images.planned_images(lab)
    lab_images.ensure_images(lab)
    assert "node" not in built
    assert planned.kernel_volume == {"brina": "", "piova": ""}
    (name,) = set(planned.node_volume.values())
    assert (lab_images.cache_folder() / name).read_bytes() == DISK


def test_a_lab_without_guests_is_planned(built: list[str]) -> None:
    lab = replace(lab_of("smoke"), guests=())
    files = lab_images.image_files(lab_images.planned_images(lab))
    lab_images.ensure_images(lab)
    assert built == ["node"]
    missing = [name for name, path in files.items() if not path.is_file()]
    assert missing == []


def test_an_image_that_cannot_be_baked_is_told(built: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_words: object, **_named: object) -> None:
        raise LabError("baking node failed", remedy="Look at the log")

    monkeypatch.setattr(bakery, "bake", fail)
    with pytest.raises(LabError, match="baking node failed"):
        lab_images.ensure_images(lab_of("smoke"))
