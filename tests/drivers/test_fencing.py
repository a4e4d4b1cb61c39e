"""The fencing daemon of a lab: a real fence_virtd on a loopback address, with a configuration that owns no domain."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run
from lab.drivers import fencing

ROOT = Path(__file__).resolve().parent.parent.parent
ADDRESS = f"127.66.{os.getpid() % 250}.{1 + os.getpid() // 250 % 250}"
CONFIGURATION = """
fence_virtd {{ listener = "tcp"; backend = "libvirt"; foreground = "yes"; wait_for_init = "yes"; }}
listeners {{ tcp {{ key_file = "{key}"; address = "{address}"; port = "{port}"; hash = "sha256"; auth = "sha256";
    family = "ipv4"; }} }}
backends {{ libvirt {{ uri = "test:///default"; }} }}
groups {{ group {{ name = "nobody"; ip = "{address}"; uuid = "00000000-0000-4000-8000-000000000000"; }} }}
"""
START = """
import sys
from pathlib import Path
from lab.drivers import fencing
folder = Path(sys.argv[1])
started = fencing.start(
    folder / "fence_virt.conf", address=sys.argv[2], port=int(sys.argv[3]), working_folder=folder, log=folder / "log"
)
print(started)
"""


@dataclass(frozen=True)
class Fencer:
    """One lab's daemon."""

    folder: Path
    port: int

    @property
    def configuration(self) -> Path:
        return self.folder / fencing.CONFIGURATION

    def start(self) -> bool:
        return fencing.start(
            self.configuration,
            address=ADDRESS,
            port=self.port,
            working_folder=self.folder,
            log=self.folder / "log",
        )


def fencer(folder: Path, key: str = "fence.key") -> Fencer:
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port = probe.getsockname()[1]
    (folder / "fence.key").write_bytes(os.urandom(512))
    (folder / fencing.CONFIGURATION).write_text(CONFIGURATION.format(address=ADDRESS, port=port, key=key))
    return Fencer(folder, port)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Fencer]:
    made = fencer(tmp_path / "one")
    yield made
    fencing.stop(made.configuration)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Fencer]:
    made = fencer(tmp_path / "two")
    yield made
    fencing.stop(made.configuration)


def test_started_once_found_and_stopped(one: Fencer) -> None:
    assert fencing.processes(one.configuration) == []
    assert not fencing.answers(ADDRESS, one.port)
    assert one.start()
    found = fencing.processes(one.configuration)
    assert len(found) == 1
    assert fencing.answers(ADDRESS, one.port)
    assert not one.start()
    assert fencing.processes(one.configuration) == found
    assert fencing.stop(one.configuration)
    assert fencing.processes(one.configuration) == []
    assert not fencing.answers(ADDRESS, one.port)
    assert not fencing.stop(one.configuration)


def test_it_is_found_when_its_starter_is_gone(one: Fencer) -> None:
    argv = [sys.executable, "-c", START, str(one.folder), ADDRESS, str(one.port)]
    assert run(argv, timeout_s=60, cwd=ROOT).stdout == "True\n"
    assert len(fencing.processes(one.configuration)) == 1
    assert fencing.answers(ADDRESS, one.port)
    assert not one.start()
    assert run(argv, timeout_s=60, cwd=ROOT).stdout == "False\n"
    assert fencing.stop(one.configuration)


def test_one_that_was_killed_is_started_again(one: Fencer) -> None:
    one.start()
    (first,) = fencing.processes(one.configuration)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not fencing.processes(one.configuration), what="the end", deadline=Deadline.after(10))
    assert one.start()
    (second,) = fencing.processes(one.configuration)
    assert second != first


def test_two_labs_have_a_daemon_each(one: Fencer, two: Fencer) -> None:
    assert (one.start(), two.start()) == (True, True)
    assert fencing.answers(ADDRESS, one.port)
    assert fencing.stop(one.configuration)
    assert len(fencing.processes(two.configuration)) == 1
    assert fencing.answers(ADDRESS, two.port)


def test_one_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    bad = fencer(tmp_path / "bad", key="no-such.key")
    with pytest.raises(LabError, match="it ended") as caught:
        bad.start()
    assert str(bad.folder / "log") in caught.value.remedy
    assert "no-such.key" in "\n".join(caught.value.details)
    assert fencing.processes(bad.configuration) == []


def test_a_port_that_another_program_has_is_not_taken_for_the_daemon(one: Fencer) -> None:
    with socket.socket() as other:
        other.bind((ADDRESS, one.port))
        other.listen()
        assert fencing.answers(ADDRESS, one.port)
        with pytest.raises(LabError, match=f"{ADDRESS} port {one.port}"):
            one.start()
        assert fencing.processes(one.configuration) == []


def test_an_address_that_is_not_here_does_not_answer() -> None:
    # For documentation (RFC 5737): no interface has it, so nothing is sent.
    assert not fencing.answers("192.0.2.1", 1229)


def test_a_machine_without_it_is_told(monkeypatch: pytest.MonkeyPatch, one: Fencer) -> None:
    monkeypatch.setattr(fencing, "DAEMON", "no_such_daemon")
    with pytest.raises(LabError, match="no_such_daemon is not installed") as caught:
        one.start()
    assert "./inv" in caught.value.remedy
