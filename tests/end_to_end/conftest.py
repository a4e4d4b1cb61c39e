"""The real lab, end to end: every test takes the lab where the one before it left it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from lab.drivers.hypervisor import Hypervisor
from tests.end_to_end.time_left import TimeLeft

ROOT = Path(__file__).resolve().parents[2]
NAME = "endtoend"
LAB = ("--name", NAME)
GUESTS = {"Passata", "Speedauth", "Masterauth", "Soldi", "SimplesIP"}


TIME_LEFT = pytest.StashKey[TimeLeft]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--until", type=float, help="moment on the monotonic clock, seconds, at which all tests have to be over"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "takes(seconds, always=False): how long on the machine of the README; always: also when time is short",
    )
    config.stash[TIME_LEFT] = TimeLeft(config.getoption("--until"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Leave out what does not fit into the time any more, and learn from what was run how slow the machine is."""
    marker, left = item.get_closest_marker("takes"), item.config.stash[TIME_LEFT]
    started_s = time.monotonic()
    refusal = left.refusal(marker.args[0], started_s) if marker and not marker.kwargs.get("always") else ""
    if refusal:
        item.add_marker(pytest.mark.skip(reason=refusal))
    result = yield
    if marker and not refusal:
        left.record(marker.args[0], time.monotonic() - started_s)
    return result


def pytest_terminal_summary(terminalreporter: Any) -> None:
    left_out = [report.nodeid for report in terminalreporter.stats.get("skipped", [])]
    if left_out:
        terminalreporter.section(f"{len(left_out)} NOT RUN: nothing is known of them", red=True, bold=True)
        terminalreporter.write_line("\n".join(left_out))


def invoke(*words: str, limit_s: float = 2400) -> subprocess.CompletedProcess[str]:
    """Type a command as a person would; its progress is shown while it runs, and its end is kept for a failure."""
    argv = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words]
    print(f"\n$ ./inv {' '.join(words)}", flush=True)
    started = time.monotonic()
    with subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        progress: list[str] = []
        showing = threading.Thread(target=_show, args=(process.stderr, progress), daemon=True)
        showing.start()
        with _ended_after(process, limit_s):
            output = process.stdout.read()
        showing.join(timeout=10)
    print(f"{output[-4000:]}\n[{time.monotonic() - started:.1f} s, exit code {process.returncode}]", flush=True)
    return subprocess.CompletedProcess(argv, process.returncode, output, "".join(progress[-60:]))


def _show(stream: IO[str], kept: list[str]) -> None:
    for line in stream:
        print(line, end="", file=sys.stderr, flush=True)
        kept.append(line)


@contextmanager
def _ended_after(process: subprocess.Popen[str], limit_s: float) -> Iterator[None]:
    """End a command that takes too long; its exit code says so."""
    timer = threading.Timer(limit_s, process.kill)
    timer.start()
    try:
        yield
        process.wait()
    finally:
        timer.cancel()


def invoke_json(*words: str, limit_s: float = 2400) -> dict[str, Any]:
    """A command's JSON document; the command must succeed."""
    result = invoke(*words, "--json", limit_s=limit_s)
    said = f"{result.stderr[-6000:]}\n{result.stdout[-2000:]}"
    if result.returncode:
        said += _kept_evidence()
    assert result.returncode == 0, f"./inv {' '.join(words)} ended with {result.returncode}:\n{said}"
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def _kept_evidence() -> str:
    """The ends of what the failed command kept: a machine that runs these tests may be gone when somebody asks."""
    sizes = {"cluster": 6000, "guest-consoles": 4000, "journal": 3000}
    ends = []
    for what, size in sizes.items():
        for path in sorted((ROOT / "build" / NAME / "logs").glob(f"*-{what}.txt")):
            ends.append(f"\n--- {path.name}\n{path.read_text(errors='replace')[-size:]}")
    return "".join(ends)


def status() -> dict[str, Any]:
    return invoke_json("lab.status", *LAB, limit_s=300)


def boot_ids(document: dict[str, Any]) -> dict[str, str]:
    return {name: node["seen"]["boot_id"] for name, node in document["nodes"].items()}


def status_after(*words: str) -> dict[str, Any]:
    document = invoke_json(*words, *LAB)
    assert {answer["guest"] for answer in document["services"]} == GUESTS
    seen = status()
    assert seen["healthy"], seen["problems"]
    return seen


def kill_while_running(*words: str, when: Any, limit_s: float = 900) -> None:
    """Start a command and end it with SIGKILL as soon as a condition holds."""
    argv = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words]
    print(f"\n$ ./inv {' '.join(words)}   # to be killed", flush=True)
    process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + limit_s
    while not when():
        assert process.poll() is None, "the command ended before it could be killed"
        assert time.monotonic() < deadline, "the moment to kill never came"
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def host_state() -> dict[str, Any]:
    """Everything of labs that can be left behind on a host."""
    hypervisor = Hypervisor()
    try:
        connection = hypervisor.connection
        links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
        processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return {
            "domains": sorted(domain.name() for domain in connection.listAllDomains()),
            "networks": sorted(network.name() for network in connection.listAllNetworks()),
            "pools": sorted(pool.name() for pool in connection.listAllStoragePools() if pool.name() != "ha-lab-cache"),
            "links": sorted(line.split()[0].split("@")[0] for line in links.splitlines()),
            "processes": sorted(line for line in processes.splitlines() if NAME in line and "pytest" not in line),
            "folders": sorted(str(p) for p in Path("/var/lib/libvirt/images").glob("*") if p.name != "ha-lab-cache"),
        }
    finally:
        hypervisor.close()


def domain_states(name: str = NAME) -> dict[str, str]:
    """State of a lab's domains by node."""
    hypervisor = Hypervisor()
    try:
        return {domain.node: domain.state for domain in hypervisor.owned_domains(name)}
    finally:
        hypervisor.close()


@pytest.fixture(scope="session")
def before() -> dict[str, Any]:
    """The host before the lab; what an aborted run left is removed first."""
    assert invoke("lab.down", "--no-cache", "--name", NAME).returncode == 0
    return host_state()
