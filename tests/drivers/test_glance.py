"""A glance at a node, said by a real shell: libvirt's notes, processes, mounts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.workflows.observe import GLANCE_SECTIONS, MARK, node_facts


def glance(place: Path, mount_point: str) -> str:
    """What the lines say, with the folders of a node below another one."""
    lines = [f"echo '{MARK}{name}'; {line % {'mount_point': mount_point}}" for name, line in GLANCE_SECTIONS.items()]
    script = "; ".join(lines).replace("/run/libvirt/qemu", str(place / "qemu")).replace("/proc/drbd", f"{place}/drbd")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=30)
    return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "qemu").mkdir()
    return tmp_path


def test_guests_are_those_whose_process_is_there(place: Path) -> None:
    notes = place / "qemu"
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in ("passata", "soldi", "gone", "empty", "blank", "starting"):
        (notes / f"{name}.xml").write_text("<domstatus/>")
    # libvirt writes the number without a newline.
    (notes / "passata.pid").write_text(str(os.getpid()))
    (notes / "soldi.pid").write_text(f"{os.getpid()}\n")
    (notes / "gone.pid").write_text(str(ended.pid))
    (notes / "empty.pid").write_text("")
    (notes / "blank.pid").write_text("\n")
    # Its own.
    (notes / "driver.pid").write_text(str(os.getpid()))
    assert node_facts(glance(place, "/nowhere")).running_guests == ("passata", "soldi")


def test_no_guests_no_drbd_no_mount(place: Path) -> None:
    facts = node_facts(glance(place, "/nowhere"))
    assert (facts.running_guests, facts.drbd, facts.mount, facts.cluster) == ((), None, "", None)


def test_what_is_mounted_is_told_as_by_findmnt(place: Path) -> None:
    """Source, kind and options; /proc is mounted everywhere."""
    source, kind, options = node_facts(glance(place, "/proc")).mount.splitlines()[-1].split()
    assert kind == "proc"
    assert source
    assert {"rw", "ro"} & set(options.split(","))


def test_drbd_is_read_as_in_a_look(place: Path) -> None:
    recorded = Path(__file__).parent.parent / "unit/recorded/lab-proc-drbd.txt"
    (place / "drbd").write_text(recorded.read_text())
    facts = node_facts(glance(place, "/nowhere"))
    assert facts.drbd is not None
    assert facts.drbd.device(0).dual_primary
