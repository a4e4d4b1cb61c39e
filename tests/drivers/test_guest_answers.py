"""The script that waits for a guest that starts first: against real sockets, and as the process that an agent runs."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.doors.process import Result, run
from tests.golden.example import example_lab, rendered
from tests.unit.node_programs import guest_answers

FILES = "nodes/brina/files/"
HERE = "127.0.0.1"


@contextmanager
def server(kind: socket.SocketKind, answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """One that gives one answer after another on a port of its own, until it is closed."""
    with socket.socket(socket.AF_INET, kind) as listening:
        listening.bind((HERE, 0))
        listening.settimeout(20)
        if kind == socket.SOCK_STREAM:
            listening.listen()

        def serve() -> None:
            if kind == socket.SOCK_STREAM:
                accepted, _ = listening.accept()
                with accepted:
                    accepted.sendall(answer(accepted.recv(4096)))
            else:
                question, asker = listening.recvfrom(4096)
                listening.sendto(answer(question), asker)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(20)


@pytest.mark.parametrize(
    ("kind", "ask", "answer"),
    [
        (socket.SOCK_DGRAM, guest_answers.dns_answers, lambda question: question[:2] + b"\x81\x80" + question[4:]),
        (socket.SOCK_DGRAM, guest_answers.sip_answers, lambda question: b"SIP/2.0 404 Not Found\r\n\r\n"),
        (socket.SOCK_STREAM, guest_answers.web_answers, lambda question: b"HTTP/1.1 403 Forbidden\r\n\r\n"),
    ],
)
def test_any_answer_counts(
    kind: socket.SocketKind, ask: Callable[[str, int], bool], answer: Callable[[bytes], bytes]
) -> None:
    with server(kind, answer) as port:
        assert ask(HERE, port)
    with server(kind, lambda question: b"??" + question) as port:
        assert not ask(HERE, port)


def test_questions_are_well_formed() -> None:
    seen: list[bytes] = []
    with server(socket.SOCK_DGRAM, lambda question: seen.append(question) or b"SIP/2.0 200 OK\r\n\r\n") as port:  # type: ignore[func-returns-value]
        assert guest_answers.sip_answers(HERE, port)
    first, *headers = seen[0].decode().removesuffix("\r\n\r\n").split("\r\n")
    assert first == f"OPTIONS sip:{HERE} SIP/2.0"
    assert {"Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq"} <= {line.partition(":")[0] for line in headers}
    name = guest_answers.DNS_QUESTION[12:]
    assert name == b"\x09localhost\x00\x00\x01\x00\x01"


def test_a_machine_that_is_there_answers() -> None:
    assert guest_answers.machine_answers(HERE)


def test_it_waits_for_one_that_comes_late_and_for_nobody_for_ever() -> None:
    asked: list[float] = []

    def late() -> bool:
        asked.append(time.monotonic())
        if len(asked) == 1:
            raise ConnectionRefusedError
        if len(asked) == 2:
            raise TimeoutError
        return True

    assert guest_answers.wait(late, 60)
    assert len(asked) == 3
    assert not guest_answers.wait(lambda: False, 0.3)


@pytest.fixture
def node(tmp_path: Path) -> Callable[[str], Result]:
    """The rendered script as on a node, its folders and the guest's address replaced; run for a resource."""
    tree = rendered(example_lab())
    settings = json.loads(tree[FILES + "etc/lab/lab.json"])
    assert 0 < settings["answer_limit_s"] <= 60
    settings["answer_limit_s"] = 1
    settings["guests"]["passata"]["ip"] = HERE
    settings["guests"]["passata"]["service"] = "radius"
    (tmp_path / "lab.json").write_text(json.dumps(settings))
    (tmp_path / "processes").mkdir()
    text = tree[FILES + "usr/local/sbin/lab-guest-answers"].decode()
    for before, after in (
        ("/etc/lab/lab.json", "lab.json"),
        ("/run/lab-guest-answers", "marks"),
        ("/run/libvirt/qemu", "processes"),
    ):
        assert text.count(f'"{before}"') == 1
        text = text.replace(f'"{before}"', repr(str(tmp_path / after)))
    script = tmp_path / "lab-guest-answers"
    script.write_text(text)

    def started(resource: str) -> Result:
        words = (sys.executable, "-I", str(script))
        return run(words, timeout_s=60, check=False, env={**os.environ, "OCF_RESOURCE_INSTANCE": resource})

    return started


def test_a_start_is_waited_for_once(node: Callable[[str], Result], tmp_path: Path) -> None:
    process, mark = tmp_path / "processes/passata.pid", tmp_path / "marks/passata"
    process.write_text("1\n")
    assert node("VM_1").returncode == 0
    first = mark.stat().st_mtime_ns
    assert node("VM_1").returncode == 0
    assert mark.stat().st_mtime_ns == first
    # Another run of the guest: its process is younger than the mark.
    later = time.time_ns() + 10**9
    os.utime(process, ns=(later, later))
    assert node("VM_1").returncode == 0
    assert mark.stat().st_mtime_ns > first


def test_a_resource_that_is_no_guests(node: Callable[[str], Result]) -> None:
    result = node("OCFS_MOUNT")
    assert result.returncode == 1
    assert result.stdout.startswith("OCFS_MOUNT is the resource of no guest in ")
