"""The probe of the web page against small web servers, good and bad ones."""

from __future__ import annotations

import json
import time
from ipaddress import IPv4Address

import pytest
from probe_daemons import GATEWAY, NOWHERE, PORTS, Page, address, web_server

from lab.core.errors import LabError
from lab.core.service_result import ProbeResult
from lab.drivers.probes import probe_http_entry, probe_http_page
from lab.drivers.probes.http import probe_http_write

pytestmark = pytest.mark.filterwarnings("error")

SERVER = address(24)


def write(
    number: int = 4711, *, server: IPv4Address = SERVER, source: IPv4Address = GATEWAY, timeout_s: float = 5
) -> ProbeResult:
    return probe_http_entry(server, source, number, timeout_s, guest="Soldi", port=PORTS.http)


class Forgetful(Page):
    """Says that it stored the number, and does not."""

    def do_POST(self) -> None:
        super().do_POST()
        self.rows.clear()


class Broken(Page):
    """The database is gone."""

    def do_POST(self) -> None:
        self.answer("no database", 500)

    do_GET = do_POST


class Elsewhere(Page):
    """Sends the client to another place."""

    def do_POST(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"http://{address(25)}:{PORTS.http}/")
        self.send_header("Content-Length", "0")
        self.end_headers()


class Off(Page):
    """Stores another number than it was given."""

    def do_POST(self) -> None:
        self.answer(json.dumps({"stored": 4712}))


class Trickling(Page):
    """Sends a little often enough for each wait, and never ends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b"<li>")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            self.close_connection = True


class Endless(Page):
    """Sends as much as the client takes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(bytes(2**20))
        except OSError:
            self.close_connection = True


def test_a_row_is_written_and_read_back() -> None:
    with web_server(SERVER) as rows:
        result = write(4711)
        assert result.ok, result
        assert rows == ["4711"]
    assert result.detail == "row 4711 written and read back"
    assert (result.service, result.guest, result.target) == ("http", "Soldi", f"{SERVER}:{PORTS.http}")


def test_the_quick_probe_writes_nothing() -> None:
    with web_server(SERVER) as rows:
        assert probe_http_page(SERVER, GATEWAY, 5, port=PORTS.http).ok
        assert rows == []


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{address(99)}:9")
    with web_server(SERVER):
        assert write().ok


@pytest.mark.parametrize(
    ("handler", "fault"),
    [
        (Forgetful, "the row 4711 was stored but is not on the page"),
        (Broken, "POST /entries.php: status 500"),
        (Elsewhere, "POST /entries.php: status 302"),
        (Off, "says that 4712 was stored instead of 4711"),
        (Endless, "more than"),
    ],
)
def test_a_wrong_answer_does_not_serve(handler: type[Page], fault: str) -> None:
    with web_server(SERVER, handler):
        result = write()
    assert not result.ok
    assert fault in result.detail


def test_an_error_page_does_not_serve_the_quick_probe() -> None:
    with web_server(SERVER, Broken):
        result = probe_http_page(SERVER, GATEWAY, 5, port=PORTS.http)
    assert not result.ok
    assert "status 500" in result.detail


def test_the_timeout_is_for_the_whole_of_it() -> None:
    with web_server(SERVER, Trickling):
        result = write(timeout_s=0.5)
    assert not result.ok
    assert result.detail == "no valid answer within 0.5 s"
    assert 450 < result.latency_ms < 1500


def test_a_closed_port_is_told_at_once() -> None:
    result = write(timeout_s=30)
    assert not result.ok
    assert "refused" in result.detail
    assert result.latency_ms < 1000


def test_without_the_source_address_nothing_is_written() -> None:
    with web_server(SERVER) as rows:
        result = write(source=NOWHERE)
        assert rows == []
    assert not result.ok
    assert "the lab's network is not up" in result.detail


@pytest.mark.parametrize("number", [-1, 2**31])
def test_a_number_that_does_not_fit_is_misuse(number: int) -> None:
    with pytest.raises(LabError, match="cannot be stored"):
        write(number)


def test_a_write_alone_believes_the_answer_and_reads_nothing_back() -> None:
    with web_server(SERVER, Forgetful):
        result = probe_http_write(SERVER, GATEWAY, 4711, 5, guest="Soldi", port=PORTS.http)
    assert result.ok and result.service == "http-write" and result.detail == "row 4711 stored"


def test_a_write_alone_wants_the_right_answer() -> None:
    with web_server(SERVER, Off):
        result = probe_http_write(SERVER, GATEWAY, 4711, 5, port=PORTS.http)
    assert not result.ok and "instead of 4711" in result.detail
    with web_server(SERVER, Broken):
        assert not probe_http_write(SERVER, GATEWAY, 4711, 5, port=PORTS.http).ok
    assert "refused" in probe_http_write(SERVER, GATEWAY, 4711, 5, port=PORTS.http).detail
    with pytest.raises(LabError):
        probe_http_write(SERVER, GATEWAY, 2**31, 5, port=PORTS.http)
