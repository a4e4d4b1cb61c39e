"""Streams of requests against real daemons that are switched off for known times, and what is made of them."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import pairwise
from pathlib import Path

import pytest
from probe_daemons import (
    GATEWAY,
    LAB,
    PORTS,
    SECRETS,
    Page,
    address,
    exchange,
    name_servers,
    radius_servers,
    server_of,
    web_server,
)

from lab.core.errors import LabError
from lab.core.measurement.ledger import acknowledged_numbers, compare
from lab.core.measurement.numbering import Numbering
from lab.core.measurement.outages import figures, outages
from lab.core.measurement.sample_lines import recordings_of_lines
from lab.core.measurement.samples import Recording, StreamKind, StreamSpec
from lab.core.model import ImageSource, Node
from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline, now_s, pause, wait_until
from lab.doors.daemon import find
from lab.drivers.probes.stream_requests import requests_of, specs_of
from lab.drivers.probes.streams import StreamRunner

NUMBERING = Numbering(7)
REQUEST = requests_of(LAB, SECRETS, NUMBERING)
#: One node; its address is on the loopback interface like all others of this /8. Under KVM the rates are the full ones.
MEASURED = replace(LAB, accelerator="kvm", nodes=(Node("brina", 1, 1, 1024, 4096, 1024, ImageSource()),))
SPECS = {spec.name: spec for spec in specs_of(MEASURED, ports=PORTS)}


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], Path]]:
    """All daemons; the rows of the page, and the file of accounting records."""
    work = tmp_path_factory.mktemp("streams")
    with name_servers(work), radius_servers(work) as accounting, exchange(work), web_server(server_of("Soldi")) as rows:
        yield rows, accounting


def process_of(word: str) -> int:
    """The daemon of this name that these tests started."""
    own = [
        number
        for number in find(lambda words: words[0] == word)
        if f"\nPPid:\t{os.getpid()}\n" in Path(f"/proc/{number}/status").read_text()
    ]
    assert len(own) == 1
    return own[0]


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """A daemon that is there and does not answer: its socket takes requests, nobody reads them."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def until_answering(runner: StreamRunner) -> None:
    wait_until(
        lambda: all(runner.answering().values()), what="all streams", deadline=Deadline.after(20), interval_s=0.05
    )


def named(recordings: tuple[Recording, ...], name: str) -> Recording:
    return next(recording for recording in recordings if recording.spec.name == name)


def longest_gap_s(recording: Recording) -> float:
    """The longest time from the sending of one request to that of the next."""
    return max(later.sent_s - earlier.sent_s for earlier, later in pairwise(recording.samples))


def test_a_page_that_is_off_for_seven_seconds_was_off_for_seven_seconds() -> None:
    place = address(60)
    spec = StreamSpec("http-read", "Soldi", f"{place}:{PORTS.http}", 0.1, 1.0)
    with ExitStack() as first, StreamRunner([spec], REQUEST) as runner:
        first.enter_context(web_server(place))
        until_answering(runner)
        pause(0.5)
        closing_s = now_s()
        first.close()
        off_s = now_s()
        pause(7.0)
        on_s = now_s()
        with web_server(place):
            up_s = now_s()
            until_answering(runner)
            pause(0.5)
            recording = runner.stop()[0]
    (outage,) = (one for one in outages(recording) if one.requests_lost >= 10)
    assert outage.end_s is not None
    measured_s = outage.end_s - outage.start_s
    first_lost = next(sample for sample in recording.samples if sample.sent_s == outage.start_s)
    # It went off between closing_s and off_s, and came back between on_s and up_s; nothing here depends on the load.
    assert measured_s + outage.start_uncertainty_s >= on_s - off_s >= 7.0
    assert measured_s - outage.end_uncertainty_s - first_lost.latency_s <= up_s - closing_s
    assert outage.start_s - outage.start_uncertainty_s <= off_s
    assert outage.end_s - outage.end_uncertainty_s <= up_s and on_s <= outage.end_s
    assert outage.start_uncertainty_s + outage.end_uncertainty_s < 1.5
    assert outage.requests_lost >= 40
    assert "refused" in recording.samples[first_lost.number + 2].detail


def test_a_daemon_that_is_stopped_twice_has_two_outages_and_delays_nobody_else(
    daemons: tuple[list[str], Path],
) -> None:
    """A stopped daemon answers what waits in its socket when it goes on; what had been waiting too long is lost."""
    process = process_of("unbound")
    specs = [replace(SPECS["dns Passata"], timeout_s=0.5), SPECS["sip-options SimplesIP"], SPECS["icmp Passata"]]
    times = []
    with StreamRunner(specs, REQUEST) as runner:
        until_answering(runner)
        for _ in range(2):
            with stopped(process):
                begun_s = now_s()
                pause(1.5)
                times.append((begun_s, now_s()))
            until_answering(runner)
            pause(0.7)
        recordings = runner.stop()
    found = [one for one in outages(named(recordings, "dns Passata")) if one.requests_lost >= 5]
    assert len(found) == 2
    for outage, (begun_s, ended_s) in zip(found, times, strict=True):
        assert outage.end_s is not None
        assert outage.start_s - outage.start_uncertainty_s <= begun_s <= outage.start_s + 0.5
        assert outage.end_s - outage.end_uncertainty_s <= ended_s <= outage.end_s
    for name in ("sip-options SimplesIP", "icmp Passata"):
        beside = named(recordings, name)
        assert outages(beside) == ()
        assert longest_gap_s(beside) < beside.spec.interval_s + 0.4


def test_a_silent_service_is_asked_at_its_rate_all_the_same() -> None:
    """Nobody reads the socket, so every request lasts its whole timeout, and they overlap."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((str(address(61)), 0))
        spec = StreamSpec("dns", "Passata", f"{address(61)}:{silent.getsockname()[1]}", 0.1, 1.0)
        with StreamRunner([spec], REQUEST) as runner:
            pause(3.0)
            recording = runner.stop()[0]
        missed = runner.missed().get(spec.name, 0)
    assert 26 <= len(recording.samples) + missed <= 31
    assert len(recording.samples) >= 20
    assert not any(sample.ok for sample in recording.samples)
    assert all(sample.latency_s >= 1.0 for sample in recording.samples)
    overlaps = sum(later.sent_s < earlier.received_s for earlier, later in pairwise(recording.samples))
    assert overlaps == len(recording.samples) - 1
    (outage,) = outages(recording)
    assert outage.end_s is None and outage.requests_lost == len(recording.samples)


def test_all_streams_are_sent_at_their_rates_and_cost_little(daemons: tuple[list[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "deep" / "samples.jsonl"
    rows, accounting = daemons
    with StreamRunner(list(SPECS.values()), REQUEST, path) as runner:
        until_answering(runner)
        before = resource.getrusage(resource.RUSAGE_SELF)
        begun_s = now_s()
        pause(6.0)
        lasted_s = now_s() - begun_s
        after = resource.getrusage(resource.RUSAGE_SELF)
        seen = runner.snapshot()
        recordings = runner.stop()
        assert runner.stop() == recordings
    # The page is served by this process too, in threads of its own, so this is more than the streams cost.
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{sum(1 / one.interval_s for one in SPECS.values()):.0f} requests/s, {used_s / lasted_s:.3f} of a core")
    assert {recording.spec.name for recording in recordings} == set(SPECS)
    for recording, earlier in zip(recordings, seen, strict=True):
        spec = recording.spec
        assert recording.samples[: len(earlier.samples)] == earlier.samples
        assert [sample.number for sample in recording.samples] == list(range(1, len(recording.samples) + 1))
        wanted = lasted_s / spec.interval_s
        within = [sample for sample in recording.samples if begun_s <= sample.sent_s < begun_s + lasted_s]
        assert len(within) + runner.missed().get(spec.name, 0) >= wanted - 2
        assert wanted * 0.8 - 2 <= len(within) <= wanted + 2
        assert figures(recording, begun_s).answered >= 0.8 * len(recording.samples)
    assert used_s < 0.5 * lasted_s
    written = recordings_of_lines(path.read_text().splitlines(keepends=True))
    assert [len(one.samples) for one in written] == [len(one.samples) for one in recordings]
    assert [one.spec for one in written] == [one.spec for one in recordings]
    stored = NUMBERING.numbers_of_rows(map(int, rows))
    assert compare(acknowledged_numbers(named(recordings, "http-write Soldi")), stored).ok
    kept = accounting.read_text()
    sessions = [line.split('"')[1] for line in kept.splitlines() if "Acct-Session-Id" in line]
    numbers = NUMBERING.numbers_of_sessions(sessions)
    for name in ("Speedauth", "Masterauth"):
        assert set(acknowledged_numbers(named(recordings, f"radius-accounting {name}"))) <= set(numbers)


def test_a_write_that_was_answered_and_forgotten_is_found() -> None:
    class Forgetful(Page):
        """Says of every row that it was stored, and keeps no third one."""

        def do_POST(self) -> None:
            super().do_POST()
            if len(self.rows) == 3:
                self.rows.pop()
                self.rows.append("-1")

    place = address(62)
    spec = StreamSpec("http-write", "Soldi", f"{place}:{PORTS.http}", 0.1, 1.0)
    with web_server(place, Forgetful) as rows, StreamRunner([spec], REQUEST) as runner:
        wait_until(lambda: len(rows) > 5, what="rows", deadline=Deadline.after(10), interval_s=0.05)
        recording = runner.stop()[0]
    ledger = compare(acknowledged_numbers(recording), NUMBERING.numbers_of_rows(map(int, rows)))
    assert len(ledger.lost) == 1 and not ledger.ok


def test_nothing_is_sent_from_an_address_that_is_not_there() -> None:
    lab = replace(LAB, network=replace(LAB.network, service_subnet=IPv4Network("192.0.2.0/24")))
    with StreamRunner([SPECS["icmp Passata"]], requests_of(lab, SECRETS, NUMBERING)) as runner:
        pause(0.3)
        recording = runner.stop()[0]
    assert recording.samples and not any(sample.ok for sample in recording.samples)
    assert "not up" in recording.samples[0].detail


def test_a_mistake_in_a_request_is_raised_at_the_end() -> None:
    def mistaken(spec: StreamSpec, number: int) -> ProbeResult:
        raise LabError("no such thing")

    runner = StreamRunner([SPECS["icmp Passata"]], mistaken)
    runner.start()
    wait_until(lambda: runner.snapshot()[0].samples, what="a sample", deadline=Deadline.after(5), interval_s=0.02)
    with pytest.raises(LabError, match="no such thing"):
        runner.stop()
    assert runner.snapshot()[0].samples[0].detail == "LabError: no such thing"


def test_streams_have_to_be_told_apart_and_start_once() -> None:
    spec = SPECS["icmp Passata"]
    with pytest.raises(LabError, match="same name"):
        StreamRunner([spec, spec], REQUEST)
    with pytest.raises(LabError, match="positive"):
        StreamRunner([replace(spec, interval_s=0)], REQUEST)
    with StreamRunner([spec], REQUEST) as runner, pytest.raises(LabError, match="before"):
        runner.start()


def test_places_that_nobody_could_take_are_left_out_and_counted_instead_of_sent_in_a_volley() -> None:
    """Both threads of the stream are held for half a second by requests that do not keep to their timeout."""
    held = threading.Event()

    def slow(spec: StreamSpec, number: int) -> ProbeResult:
        if number in {1, 2}:
            held.wait(0.5)
        return ProbeResult("icmp", "x", "x", True, "", 0)

    spec = StreamSpec("icmp", "x", "x", 0.05, 0.05)
    with StreamRunner([spec], slow) as runner:
        wait_until(
            lambda: len(runner.snapshot()[0].samples) > 10, what="more", deadline=Deadline.after(5), interval_s=0.05
        )
        recording = runner.stop()[0]
    assert recording.samples[2].sent_s - recording.samples[1].sent_s > 0.3
    assert runner.missed()["icmp x"] >= 6
    assert recording.samples[10].sent_s - recording.samples[2].sent_s > 0.3


def test_the_streams_of_a_lab() -> None:
    assert {name: 1 / spec.interval_s for name, spec in SPECS.items()} == {
        "dns Passata": 10,
        "radius-access Speedauth": 5,
        "radius-accounting Speedauth": 5,
        "radius-access Masterauth": 5,
        "radius-accounting Masterauth": 5,
        "http-read Soldi": 5,
        "http-write Soldi": 5,
        "sip-options SimplesIP": 2,
        **{f"icmp {name}": 10 for name in ("Passata", "Speedauth", "Masterauth", "Soldi", "SimplesIP", "brina")},
    }
    emulated = {spec.name: spec for spec in specs_of(replace(MEASURED, accelerator="tcg"))}
    share = MEASURED.probes.share_under_tcg
    assert 0 < share < 1
    assert {name: spec.interval_s * share for name, spec in emulated.items()} == pytest.approx(
        {name: spec.interval_s for name, spec in SPECS.items()}
    )
    off = specs_of(MEASURED, replace(MEASURED.probes, icmp_per_s=0, http_write_per_s=0, timeout_ms=300))
    kinds: set[StreamKind] = {spec.kind for spec in off}
    assert not kinds & {"icmp", "http-write"} and {spec.timeout_s for spec in off} == {0.3}
    assert GATEWAY not in {spec.address for spec in SPECS.values()}
