"""Senders of load against real daemons on loopback: the counts are right, and a service that stops shows as loss."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from probe_daemons import (
    GATEWAY,
    LAB,
    NOWHERE,
    PORTS,
    SECRETS,
    ZONE,
    Page,
    exchange,
    name_servers,
    radius_servers,
    server_of,
    web_server,
)

from lab.core.errors import LabError
from lab.core.load.profile import STUDY, LoadKind, Stream, scaled, streams
from lab.core.load.served import Served
from lab.doors import daemon
from lab.doors.clock import Deadline, wait_until
from lab.drivers.load import Sending, sending
from lab.drivers.load.calls import send_calls
from lab.drivers.load.sender import Task

pytestmark = pytest.mark.filterwarnings("error")


@contextmanager
def sent(*wanted: Stream, seconds: float, timeout_s: float = 2.0) -> Iterator[Sending]:
    with sending(LAB, SECRETS, wanted, seconds=seconds, timeout_s=timeout_s, ports=PORTS) as run:
        yield run


def whole(*wanted: Stream, seconds: float, timeout_s: float = 2.0) -> list[Served]:
    with sent(*wanted, seconds=seconds, timeout_s=timeout_s) as run:
        run.wait(seconds + 30)
        return run.finish()


def half(daemons: ExitStack, stream: Stream, seconds: float) -> Served:
    """A stream whose service stops in the middle."""
    with sent(stream, seconds=seconds, timeout_s=1.0) as run:
        threading.Event().wait(seconds / 2)
        daemons.close()
        run.wait(seconds + 30)
        return run.finish()[0]


def call_task(work: Path, calls: int, hold_s: float, seconds: float, **changes: object) -> Task:
    task = Task(
        stream=Stream("sip-call", "SimplesIP", calls / hold_s, calls),
        source=GATEWAY,
        server=server_of("SimplesIP"),
        zone=ZONE,
        secrets=SECRETS,
        seconds=seconds,
        timeout_s=2.0,
        work=work,
        ports=PORTS,
    )
    return dataclasses.replace(task, **changes)  # type: ignore[arg-type]


def tools() -> list[int]:
    """Ids of the tools that send from this process's own gateway address."""
    return daemon.find(lambda words: words[0] in ("dnsperf", "sipp") and str(GATEWAY) in words)


def test_names_are_asked_at_the_rate_and_all_answers_count(tmp_path: Path) -> None:
    with name_servers(tmp_path):
        (dns,) = whole(Stream("dns", "Passata", 200), seconds=3)
    assert dns.sent == pytest.approx(600, abs=30)
    assert (dns.answered, dns.wrong, dns.lost) == (dns.sent, 0, 0)
    assert dns.sent_per_s == pytest.approx(200, rel=0.1)
    assert 0 < dns.latency_ms["min"] <= dns.latency_ms["mean"] <= dns.latency_ms["max"]
    assert dns.remark == ""


def test_refusals_of_a_name_server_are_wrong_answers(tmp_path: Path) -> None:
    other = dataclasses.replace(LAB, network=dataclasses.replace(LAB.network, zone="other.example"))
    with (
        name_servers(tmp_path),
        sending(other, SECRETS, [Stream("dns", "Passata", 20)], seconds=1, timeout_s=2, ports=PORTS) as run,
    ):
        run.wait(30)
        (dns,) = run.finish()
    assert dns.answered == 0
    assert dns.wrong == dns.sent > 0
    assert dns.remark == f"{dns.sent} REFUSED"


def test_a_name_server_that_stops_shows_as_loss(tmp_path: Path) -> None:
    with ExitStack() as daemons:
        daemons.enter_context(name_servers(tmp_path))
        dns = half(daemons, Stream("dns", "Passata", 100), 4)
    assert dns.sent == pytest.approx(400, abs=20)
    assert 50 < dns.answered < dns.sent - 50
    assert dns.lost == dns.sent - dns.answered - dns.wrong > 50


def test_an_early_end_of_questions_is_no_loss(tmp_path: Path) -> None:
    with name_servers(tmp_path), sent(Stream("dns", "Passata", 50), seconds=600) as run:
        threading.Event().wait(2)
        (dns,) = run.finish()
    assert 0 < dns.sent < 1000
    assert (dns.answered, dns.lost) == (dns.sent, 0)


def test_radius_servers_are_asked_as_often_as_counted(tmp_path: Path) -> None:
    wanted = [
        Stream(kind, name, rate_per_s)
        for name in ("Speedauth", "Masterauth")
        for kind, rate_per_s in _rates((("radius-access", 4.0), ("radius-accounting", 25.0)))
    ]
    with radius_servers(tmp_path) as records:
        served = whole(*wanted, seconds=2)
        stored = records.read_text().count("Acct-Session-Id")
    assert [(one.sent, one.answered, one.wrong, one.lost) for one in served] == [(8, 8, 0, 0), (50, 50, 0, 0)] * 2
    assert stored == 100
    assert all(one.latency_ms["p50"] <= one.latency_ms["p99"] <= one.latency_ms["max"] for one in served)


def _rates(pairs: Sequence[tuple[LoadKind, float]]) -> Sequence[tuple[LoadKind, float]]:
    return pairs


def test_more_requests_than_numbers_of_one_socket_stay_apart(tmp_path: Path) -> None:
    with radius_servers(tmp_path) as records:
        (told,) = whole(Stream("radius-accounting", "Speedauth", 300.0), seconds=2, timeout_s=4)
        stored = records.read_text().count("Acct-Session-Id")
    assert (told.sent, told.answered, stored) == (600, 600, 600)


def test_a_wrong_answer_is_not_loss(tmp_path: Path) -> None:
    wrong = dataclasses.replace(SECRETS, radius_password="not-the-password")
    with (
        radius_servers(tmp_path),
        sending(LAB, wrong, [Stream("radius-access", "Speedauth", 5.0)], seconds=1, timeout_s=2, ports=PORTS) as run,
    ):
        run.wait(30)
        (asked,) = run.finish()
    assert (asked.sent, asked.answered, asked.wrong, asked.lost) == (5, 0, 5, 0)


def test_a_radius_server_that_stops_shows_as_loss(tmp_path: Path) -> None:
    with ExitStack() as daemons:
        records = daemons.enter_context(radius_servers(tmp_path))
        told = half(daemons, Stream("radius-accounting", "Speedauth", 25.0), 4)
    assert told.sent == 100
    # A server that is ended between its record and its answer has stored more than it answered, never less.
    assert told.answered <= records.read_text().count("Acct-Session-Id") <= told.answered + 2
    assert 10 < told.lost == 100 - told.answered < 90


def test_pages_are_fetched_as_often_as_counted() -> None:
    asked: list[str] = []

    class Counting(Page):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

    with web_server(server_of("Soldi"), Counting) as rows:
        (pages,) = whole(Stream("http", "Soldi", 10.0), seconds=2)
        assert rows == []
    assert (pages.sent, pages.answered, pages.lost, len(asked)) == (20, 20, 0, 20)
    assert pages.latency_ms["max"] > 0


def test_a_web_server_that_stops_shows_as_loss() -> None:
    with ExitStack() as daemons:
        daemons.enter_context(web_server(server_of("Soldi")))
        pages = half(daemons, Stream("http", "Soldi", 10.0), 3)
    assert pages.sent == 30
    assert 5 < pages.answered < 25
    assert pages.lost == 30 - pages.answered
    assert "refused" in pages.remark


def test_an_error_page_is_a_wrong_answer() -> None:
    class Broken(Page):
        def do_GET(self) -> None:
            self.answer("no database", 500)

    with web_server(server_of("Soldi"), Broken):
        (pages,) = whole(Stream("http", "Soldi", 5.0), seconds=1)
    assert (pages.sent, pages.answered, pages.wrong, pages.lost) == (5, 0, 5, 0)
    assert "status 500" in pages.remark


def test_a_connection_that_is_closed_without_an_answer_is_loss() -> None:
    class Stopping(Page):
        def do_GET(self) -> None:
            self.close_connection = True

    class HalfAnswered(Page):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"<html>")
            self.close_connection = True

    for handler in (Stopping, HalfAnswered):
        with web_server(server_of("Soldi"), handler):
            (pages,) = whole(Stream("http", "Soldi", 5.0), seconds=1)
        assert (pages.sent, pages.answered, pages.wrong, pages.lost) == (5, 0, 0, 5)
        assert pages.remark == "the server closed the connection before it had answered"


def test_many_calls_at_once_are_held_and_completed(tmp_path: Path) -> None:
    with exchange(tmp_path):
        calls = send_calls(call_task(tmp_path, 10, 2.0, 6), hold_s=2.0)
    assert calls.remark == ""
    assert 20 <= calls.sent <= 40
    assert (calls.answered, calls.lost) == (calls.sent, 0)
    assert calls.latency_ms["mean"] > 0
    # The column of calls that were going on, once a second.
    header, *lines = [line.split(";") for line in (tmp_path / "load-call.csv").read_text().splitlines()]
    at_once = [int(line[header.index("CurrentCall")]) for line in lines]
    assert 8 <= max(at_once) <= 10
    assert at_once[-1] == 0
    assert list(tmp_path.glob("*.fields")) == []


def test_an_exchange_that_stops_shows_as_lost_calls(tmp_path: Path) -> None:
    with ThreadPoolExecutor(max_workers=1) as pool, ExitStack() as daemons:
        daemons.enter_context(exchange(tmp_path))
        sending_calls = pool.submit(send_calls, call_task(tmp_path, 5, 1.0, 6, timeout_s=1.0), hold_s=1.0)
        wait_until((tmp_path / "load-call.csv").exists, what="the first call", deadline=Deadline.after(10))
        threading.Event().wait(3)
        daemons.close()
        calls = sending_calls.result()
    assert calls.answered > 0
    assert calls.lost > 0
    assert calls.sent == calls.answered + calls.lost
    assert calls.remark
    assert tools() == []


def test_without_an_exchange_no_call_is_begun(tmp_path: Path) -> None:
    calls = send_calls(call_task(tmp_path, 2, 1.0, 2, timeout_s=1.0), hold_s=1.0)
    assert (calls.sent, calls.answered) == (0, 0)
    assert "102 could not register" in calls.remark


def test_the_study_runs_against_all_services_at_once(tmp_path: Path) -> None:
    wanted = streams(scaled(STUDY, 0.2), LAB.guests)
    with name_servers(tmp_path), radius_servers(tmp_path), exchange(tmp_path), web_server(server_of("Soldi")):
        served = whole(*wanted, seconds=4, timeout_s=5)
    assert [(one.kind, one.guest) for one in served] == [(one.kind, one.guest) for one in wanted]
    assert [(one.kind, one.lost, one.wrong) for one in served] == [(one.kind, 0, 0) for one in wanted]
    counts = {f"{one.kind} {one.guest}": one.sent for one in served}
    assert counts.pop("dns Passata") == pytest.approx(920, rel=0.1)
    assert 1 <= counts.pop("sip-call SimplesIP") <= 6
    assert counts == {
        "radius-access Speedauth": 1,
        "radius-accounting Speedauth": 10,
        "radius-access Masterauth": 1,
        "radius-accounting Masterauth": 10,
        "http Soldi": 3,
    }


def test_an_interruption_ends_every_tool_at_once(tmp_path: Path) -> None:
    wanted = streams(scaled(STUDY, 0.1), LAB.guests)
    with name_servers(tmp_path), radius_servers(tmp_path), exchange(tmp_path), web_server(server_of("Soldi")):
        with pytest.raises(KeyboardInterrupt), sent(*wanted, seconds=600):
            # dnsperf, and one sipp for each telephone.
            wait_until(lambda: len(tools()) == 3, what="the tools", deadline=Deadline.after(20))
            ending = Deadline.after(60)
            raise KeyboardInterrupt
        assert tools() == []
        assert not ending.passed()


def test_a_lab_that_is_down_is_told_before_anything_is_sent() -> None:
    down = dataclasses.replace(
        LAB, network=dataclasses.replace(LAB.network, service_subnet=IPv4Network(f"{NOWHERE - 1}/24"))
    )
    with (
        pytest.raises(LabError, match="the lab's network is not up"),
        sending(down, SECRETS, streams(STUDY, LAB.guests), seconds=5, timeout_s=2),
    ):
        pytest.fail("nothing may be sent")


@pytest.mark.parametrize(("kind", "guest", "package"), [("dns", "Passata", "dnsperf")])
def test_a_missing_tool_is_told_with_a_remedy(
    kind: LoadKind, guest: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with sent(Stream(kind, guest, 5.0, 2), seconds=1) as run:
        run.wait(30)
        with pytest.raises(LabError, match="not installed") as caught:
            run.finish()
    assert package in caught.value.remedy
