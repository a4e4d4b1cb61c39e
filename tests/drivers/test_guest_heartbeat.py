"""The service of a guest that writes its heartbeat: the script itself, on files instead of disks."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.core.drills.heartbeats import Heartbeat, parse_heartbeat

SCRIPT = Path(__file__).parents[2] / "lab/recipes/guest-common/rootfs/etc/lab/services/85-heartbeat"
LIMIT_S = 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk as the lab makes it; applets of busybox are the programs of this host."""
    shim = tmp_path / "bin" / "busybox"
    shim.parent.mkdir()
    shim.write_text('#!/bin/sh\nexec "$@"\n')
    shim.chmod(0o755)
    path = tmp_path / "heartbeat.raw"
    path.write_bytes(b"\n" + bytes(4095))
    return path


@contextmanager
def beating(disk: Path) -> Iterator[None]:
    """A guest that writes ten times a second."""
    path = f"{disk.parent / 'bin'}:/usr/bin:/bin"
    with subprocess.Popen(["/bin/sh", str(SCRIPT), str(disk), "0.1"], env={"PATH": path}) as process:
        try:
            yield
            assert process.poll() is None
        finally:
            process.kill()


def seen(disk: Path, wanted: Callable[[Heartbeat], bool]) -> Heartbeat:
    """The first record that is as wanted."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        found = parse_heartbeat(disk.read_bytes().partition(b"\n")[0].decode())
        if found and wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def found_after(disk: Path, line: str) -> Heartbeat:
    """The first record that tells of another writer when a line is there again and again.

    Written once, it could come between a guest's look and its write.
    """

    def told(found: Heartbeat) -> bool:
        if found.strangers:
            return True
        plant(disk, line)
        time.sleep(0.3)
        return False

    return seen(disk, told)


def plant(disk: Path, line: str) -> None:
    """A line, whole at once."""
    draft = disk.with_suffix(".new")
    draft.write_text(f"{line}\n")
    draft.replace(disk)


def test_a_guest_alone_counts_on_and_finds_nobody(disk: Path) -> None:
    with beating(disk):
        first = seen(disk, lambda _: True)
        later = seen(disk, lambda found: found.sequence > 5)
    assert (later.instance, later.strangers, later.stranger) == (first.instance, 0, "-")


def test_a_guest_that_starts_anew_finds_nobody_and_keeps_the_count(disk: Path) -> None:
    with beating(disk):
        first = seen(disk, lambda _: True)
        told = found_after(disk, "heartbeat other 7 1.0 0 -")
        assert told.stranger == "other/7"
    with beating(disk):
        later = seen(disk, lambda found: found.instance not in (first.instance, "other") and found.sequence > 5)
    assert later.strangers >= told.strangers
    assert later.stranger == "other/7"


def test_of_two_guests_with_one_disk_each_finds_the_other(disk: Path) -> None:
    with beating(disk):
        first = seen(disk, lambda _: True).instance
        with beating(disk):
            second = seen(disk, lambda found: found.instance != first).instance
            assert seen(disk, lambda found: found.instance == first and found.strangers > 0).stranger.startswith(second)
            assert seen(disk, lambda found: found.instance == second and found.strangers > 0).stranger.startswith(first)


def test_a_lost_write_is_no_other_writer(disk: Path) -> None:
    with beating(disk):
        own = seen(disk, lambda found: found.sequence > 3)
        for _ in range(5):
            plant(disk, f"heartbeat {own.instance} {own.sequence - 1} 1.0 0 -")
            time.sleep(0.2)
        assert seen(disk, lambda found: found.sequence > own.sequence + 3).strangers == 0


def test_a_copy_of_itself_is_found(disk: Path) -> None:
    with beating(disk):
        own = seen(disk, lambda _: True).instance
        assert found_after(disk, f"heartbeat {own} 1000000 1.0 0 -").stranger == f"{own}/1000000"


def test_what_is_no_record_is_somebody_elses(disk: Path) -> None:
    with beating(disk):
        seen(disk, lambda _: True)
        plant(disk, "nonsense")
        assert found_after(disk, "nonsense").stranger == "nobody/0"
