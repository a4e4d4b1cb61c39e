"""Parsers of SIP responses and of what sipp leaves behind; the samples of sipp 3.6.1 are from real runs."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.sip import (
    SippStatistics,
    parse_response,
    parse_sipp_errors,
    parse_sipp_statistics,
    parse_udp_sockets,
)

# From a real run.
ERRORS = (
    "The following events occurred:\n"
    "2026-11-23\t18:20:48.958609\t1795458048.958609: Call-Id: 1-19148@127.77.0.1, receive timeout on message call:11, "
    "jumping to label 14"
    "2026-11-23\t18:21:08.251087\t1795458068.251087: Aborting call on unexpected message for Call-Id 'opt1': while "
    "expecting 'INVITE' (index 0), received 'OPTIONS sip:102@127.77.0.1:30102 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.77.0.1:36199;branch=z9hG4bKo\r\nFrom: <sip:a@127.77.0.1>;tag=1\r\n\r\n'\n"
    "2026-11-23\t18:20:10.252731\t1795458010.252731: register timed out after '8.000' seconds"
)
# From a real run, columns that are not read left out.
STATISTICS = """\
StartTime;ElapsedTime(C);TotalCallCreated;CurrentCall;SuccessfulCall(P);SuccessfulCall(C);FailedCall(P);FailedCall(C);Retransmissions(P);Retransmissions(C);
2026-11-23\t18:20:18.577473\t1795458018.577473;00:00:00;0;0;0;0;0;0;0;0;
2026-11-23\t18:20:18.577473\t1795458018.577473;00:00:08;3;1;0;1;1;2;4;5;
"""
# From a real machine, one row for each of two sockets.
SOCKETS = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  414: 0100007F:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 30512 2 0000000000000000 0
  990: 01004D7F:1770 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 41003 2 0000000000000000 0
"""


def test_failures_are_told_and_expected_events_are_not() -> None:
    assert parse_sipp_errors(ERRORS) == (
        "got OPTIONS sip:102@127.77.0.1:30102 SIP/2.0",
        "register timed out after '8.000' seconds",
    )
    assert parse_sipp_errors("") == ()


def test_the_last_row_of_the_statistics_counts() -> None:
    assert parse_sipp_statistics(STATISTICS) == SippStatistics(created=3, successful=1, failed=2, retransmissions=5)


@pytest.mark.parametrize("text", ["", "TotalCallCreated;\n", STATISTICS.replace("FailedCall(C)", "Other"), "a\nb\n"])
def test_statistics_without_figures_are_refused(text: str) -> None:
    with pytest.raises(LabError, match="statistics cannot be read"):
        parse_sipp_statistics(text)


def test_sockets_of_the_kernel() -> None:
    assert parse_udp_sockets(SOCKETS) == {(IPv4Address("127.0.0.1"), 5353), (IPv4Address("127.77.0.1"), 6000)}
    assert parse_udp_sockets(SOCKETS.splitlines()[0]) == frozenset()


@pytest.mark.parametrize("row", ["x", "0: zz:10", "0: 0100007F", "0: 01:10"])
def test_a_table_of_another_form_is_refused(row: str) -> None:
    with pytest.raises(LabError, match="/proc/net/udp"):
        parse_udp_sockets(f"heading\n{row}\n")


@given(st.ip_addresses(v=4), st.integers(0, 65535))
def test_any_socket_is_found(address: IPv4Address, port: int) -> None:
    row = f"  1: {address.packed[::-1].hex().upper()}:{port:04X} 00000000:0000 07"
    assert parse_udp_sockets(f"heading\n{row}\n") == {(address, port)}


def test_a_response_is_read_whatever_the_form_of_its_headers() -> None:
    payload = b"SIP/2.0 404 Not Found\r\ni: one@host\r\nCALL-ID : two@host\r\nVia: a\r\nvia: b\r\n\r\nbody: x\r\n"
    response = parse_response(payload)
    assert response is not None
    assert (response.code, response.reason, response.final) == (404, "Not Found", True)
    assert response.headers == {"call-id": "one@host", "via": "a"}


@pytest.mark.parametrize(("code", "final"), [(100, False), (180, False), (200, True), (603, True)])
def test_only_from_200_on_an_answer_is_final(code: int, final: bool) -> None:
    response = parse_response(f"SIP/2.0 {code}\r\n\r\n".encode())
    assert response is not None
    assert response.final is final


@pytest.mark.parametrize(
    "payload", [b"", b"\r\n\r\n", b"OPTIONS sip:a SIP/2.0\r\n\r\n", b"SIP/2.0 99 x", b"SIP/2.0 2000 x"]
)
def test_anything_else_is_no_response(payload: bytes) -> None:
    assert parse_response(payload) is None


@given(st.binary(max_size=300), st.booleans())
def test_no_datagram_breaks_the_parser(payload: bytes, prefixed: bool) -> None:
    response = parse_response((b"SIP/2.0 200 " if prefixed else b"") + payload)
    assert response is None or 100 <= response.code <= 699


def test_a_run_of_many_calls_tells_how_soon_they_were_answered() -> None:
    text = (Path(__file__).parent / "recorded/sipp-calls.csv").read_text()
    assert parse_sipp_statistics(text) == SippStatistics(8, 8, 0, 0, response_ms=4.0)


@pytest.mark.parametrize(
    ("cell", "expected"), [("00:00:01:250000", 1250.0), ("01:02:03:000004", 3723000.004), ("00:00:00:000000", None)]
)
def test_times_of_the_statistics(cell: str, expected: float | None) -> None:
    header, *rows = STATISTICS.splitlines()
    text = "\n".join([f"{header}ResponseTime1(C);", *(f"{row}{cell};" for row in rows)])
    assert parse_sipp_statistics(text).response_ms == expected
