"""Vagrant itself, with its plugin: the rendered Vagrantfile, boxes, and what is said when something is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.core.vagrant_plan import BOX_VERSION, box_folder
from lab.doors.process import run
from lab.drivers import vagrant
from tests.golden.example import example_lab, example_secrets, rendered, switch_lab, unlike_lab

LABS = {"two-node": example_lab(), "kvm-unfenced": unlike_lab(), "switch": switch_lab()}

needs_vagrant = pytest.mark.skipif(
    shutil.which("vagrant") is None, reason="Vagrant is not installed; ./inv test.drivers installs it"
)


def written(folder: Path, name: str = "two-node", change: tuple[str, str] = ("", "")) -> vagrant.Vagrant:
    """Vagrant in a folder with a lab's Vagrantfile, and the key that it names."""
    (folder / "secrets").mkdir()
    (folder / "secrets" / "login_key").write_text(example_secrets(LABS[name]).login_private_key)
    text = rendered(LABS[name])["Vagrantfile"].decode()
    assert change[0] in text
    (folder / "Vagrantfile").write_text(text.replace(*change, 1))
    return vagrant.Vagrant(folder)


@needs_vagrant
@pytest.mark.parametrize("name", LABS)
def test_vagrant_accepts_the_rendered_file(name: str, tmp_path: Path) -> None:
    written(tmp_path, name).validate()


@needs_vagrant
@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("libvirt.nested = true", "libvirt.nestled = true", "nestled"),
        ('mac: "52:54:00', 'mac: "52-54-00', "not in"),
        ("libvirt.qemu_use_agent = true", "libvirt.qemu_use_agent = 1", "must be a boolean"),
        ('"secrets/login_key"', '"secrets/no_key"', "private_key_path"),
    ],
)
def test_vagrant_finds_what_is_wrong_in_it(right: str, wrong: str, said: str, tmp_path: Path) -> None:
    program = written(tmp_path, change=(right, wrong))
    with pytest.raises(LabError, match="`vagrant validate` failed") as caught:
        program.validate()
    assert said in "\n".join(caught.value.details)


@needs_vagrant
def test_vagrant_and_its_plugin_are_there(tmp_path: Path) -> None:
    vagrant.require(tmp_path / "lab")
    assert (tmp_path / "lab" / "vagrant-home").is_dir()


def test_a_plugin_that_is_missing_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Vagrant without it, as Debian's is without recommended packages; it prints what Vagrant 2.3.4 prints."""
    program = tmp_path / "vagrant"
    program.write_text("#!/bin/sh\necho 1764000000,,ui,info,No plugins installed.\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(LabError, match="Vagrant has no plugin vagrant-libvirt") as caught:
        vagrant.require(tmp_path / "lab")
    assert "apt-get install --no-install-recommends" in caught.value.remedy


def test_a_box_shows_the_image_and_holds_nothing_of_it(tmp_path: Path) -> None:
    """The box of a real image: unpacked, it reads as the image does, and is small."""
    content = bytes(range(256)) * 40_960
    raw, image = tmp_path / "disk.raw", tmp_path / "image.qcow2"
    raw.write_bytes(content)
    run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(image)], timeout_s=30)
    box = tmp_path / "boxes" / "image.box"
    vagrant.pack_box(image, (str(image), "qcow2"), box)
    assert [path.name for path in box.parent.iterdir()] == ["image.box"]
    assert box.stat().st_size < 300_000
    first = box.read_bytes()
    vagrant.pack_box(image, (str(image), "qcow2"), box)
    assert box.read_bytes() == first
    run(["tar", "-xf", str(box), "-C", str(tmp_path)], timeout_s=30)
    assert json.loads((tmp_path / "metadata.json").read_text())["virtual_size"] == 1
    shown = json.loads(run(["qemu-img", "info", "--output=json", str(tmp_path / "box.img")], timeout_s=30).stdout)
    assert (shown["backing-filename"], shown["backing-filename-format"]) == (str(image), "qcow2")
    again = tmp_path / "again.raw"
    run(["qemu-img", "convert", "-O", "raw", str(tmp_path / "box.img"), str(again)], timeout_s=30)
    assert again.read_bytes() == content


def test_a_box_of_what_is_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="qemu-img"):
        vagrant.pack_box(tmp_path / "nothing.qcow2", ("/nowhere", "qcow2"), tmp_path / "boxes" / "x.box")
    assert not (tmp_path / "boxes" / "x.box").exists()


@needs_vagrant
def test_vagrant_takes_a_box_into_the_labs_own_folder(tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "1G"], timeout_s=30)
    program = written(tmp_path)
    box, catalogue = tmp_path / "boxes" / "image.box", tmp_path / "boxes" / "image.json"
    vagrant.pack_box(image, (str(image), "qcow2"), box)
    for _ in range(2):
        vagrant.add_box(program, "halab/image", box, catalogue)
    assert [(one.name, one.provider, one.version) for one in program.box_list()] == [
        ("halab/image", "libvirt", BOX_VERSION)
    ]
    place = tmp_path / "vagrant-home" / "boxes" / box_folder("halab/image")
    assert (place / BOX_VERSION / "libvirt" / "box.img").exists()
    assert (place / "metadata_url").read_text() == f"file://{catalogue}"
