"""The parts of probes that judge or make messages, without any network."""

from __future__ import annotations

import errno
import json
from ipaddress import IPv4Address

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.parsers.sip import parse_response
from lab.drivers.probes import dns as dns_probe
from lab.drivers.probes import http, icmp, sip
from lab.drivers.probes.exchange import explained

WWW = IPv4Address("192.0.2.80")


def reply(
    *records: str, flags: int = dns.flags.QR | dns.flags.RD | dns.flags.RA, rcode: int = 0
) -> dns.message.Message:
    message = dns.message.make_response(dns.message.make_query("www.provider.example", "A"))
    message.flags = flags
    message.set_rcode(dns.rcode.Rcode(rcode))
    for record in records:
        name, kind, value = record.split()
        message.answer.append(dns.rrset.from_text(name, 60, "IN", kind, value))
    return dns.message.from_wire(message.to_wire())


def test_one_address_by_recursion_is_right_with_and_without_an_alias() -> None:
    assert dns_probe.fault_of(reply("www.provider.example. A 192.0.2.80"), WWW) == ""
    alias = reply("www.provider.example. CNAME other.example.", "other.example. A 192.0.2.80")
    assert dns_probe.fault_of(alias, WWW) == ""


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (reply(), "got no address"),
        (reply("other.example. A 192.0.2.80"), "got no address"),
        (reply("www.provider.example. A 192.0.2.81"), "expected 192.0.2.80, got 192.0.2.81"),
        (reply("www.provider.example. CNAME other.example."), "got no address"),
        (reply("www.provider.example. A 192.0.2.80", flags=dns.flags.QR), "offers no recursion"),
        (reply("www.provider.example. A 192.0.2.80", flags=0x8580), "not recursion"),
        (reply("www.provider.example. A 192.0.2.80", flags=0x8380), "cut short"),
        (reply(rcode=2), "SERVFAIL"),
    ],
)
def test_any_other_answer_is_a_fault(message: dns.message.Message, fault: str) -> None:
    assert fault in dns_probe.fault_of(message, WWW)


def test_an_alias_of_itself_is_a_fault_and_no_endless_search() -> None:
    looped = reply("www.provider.example. CNAME b.example.", "b.example. CNAME www.provider.example.")
    assert dns_probe.fault_of(looped, WWW)


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_the_answer_of_the_page_must_name_the_number(number: int, stored: int) -> None:
    assert (http.fault_of_stored(json.dumps({"stored": stored}), number) == "") is (number == stored)
    assert http.fault_of_stored(json.dumps({"stored": str(number), "rows": 1}), number) == ""


@pytest.mark.parametrize("body", ["", "stored", "[]", "{}", "null", '{"stored": null}', '{"stored": true}', "<html>1"])
def test_an_answer_of_another_kind_is_a_fault(body: str) -> None:
    assert http.fault_of_stored(body, 1)


@given(st.text(), st.integers(0, 9))
def test_no_body_makes_the_check_fail_otherwise_than_with_a_fault(body: str, number: int) -> None:
    assert isinstance(http.fault_of_stored(body, number), str)


@pytest.mark.parametrize("page", ["471", "<li>471</li>", "[1,471,2]", '{"n": "471"}', "471\n472"])
def test_a_row_is_found_on_the_page(page: str) -> None:
    assert http.lists(page, 471)


@pytest.mark.parametrize("page", ["", "4711", "1471", "id-471", "471.5", "0.471", "x471", "471px"])
def test_a_part_of_something_else_is_not_the_row(page: str) -> None:
    assert not http.lists(page, 471)


@given(st.binary(max_size=200))
def test_a_checksum_makes_the_sum_of_the_whole_vanish(data: bytes) -> None:
    even = data + b"\0" * (len(data) % 2)
    assert icmp.checksum(even + icmp.checksum(even).to_bytes(2, "big")) == 0


def test_the_checksum_of_the_standards_example() -> None:
    assert icmp.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2  # RFC 1071 section 3


IDS = st.integers(0, 2**16 - 1)


@given(IDS, IDS, st.binary(max_size=64))
def test_a_reply_is_the_request_with_another_type(identifier: int, sequence: int, payload: bytes) -> None:
    request = icmp.echo_request(identifier, sequence, payload)
    assert icmp.checksum(request) == 0
    blank = bytes(4) + request[4:]
    answer = blank[:2] + icmp.checksum(blank).to_bytes(2, "big") + blank[4:]
    assert icmp.is_echo_reply(answer, identifier, sequence, payload)
    assert not icmp.is_echo_reply(request, identifier, sequence, payload)
    assert not icmp.is_echo_reply(answer, identifier ^ 1, sequence, payload)
    assert not icmp.is_echo_reply(answer, identifier, sequence ^ 1, payload)
    assert not icmp.is_echo_reply(answer, identifier, sequence, payload + b"x")
    assert not icmp.is_echo_reply(answer[:2] + bytes([answer[2] ^ 1]) + answer[3:], identifier, sequence, payload)


@given(st.binary(max_size=100), st.binary(max_size=40), IDS)
def test_anything_may_arrive_on_a_raw_socket(packet: bytes, payload: bytes, identifier: int) -> None:
    assert not icmp.is_echo_reply(icmp.without_ip_header(packet)[:5], identifier, 1, payload)


def test_an_ip_header_with_options_is_cut_off_whole() -> None:
    assert icmp.without_ip_header(bytes([0x46]) + bytes(23) + b"message") == b"message"


def test_an_options_request_is_a_whole_message() -> None:
    request = sip.options_request(IPv4Address("10.64.0.25"), IPv4Address("10.64.0.1"), "0123456789abcdef@10.64.0.1")
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == b""
    assert head.startswith(b"OPTIONS sip:10.64.0.25 SIP/2.0\r\n")
    for line in (b"Call-ID: 0123456789abcdef@10.64.0.1", b"CSeq: 1 OPTIONS", b"Content-Length: 0"):
        assert line in head.split(b"\r\n")
    assert parse_response(request) is None


def test_what_went_wrong_is_told_in_words_about_the_lab() -> None:
    source = IPv4Address("10.64.0.1")
    told = {
        OSError(
            errno.EADDRNOTAVAIL, "x"
        ): "the lab's network is not up: no interface of this machine has the address 10.64.0.1",
        OSError(errno.ECONNREFUSED, "x"): "connection refused: the machine is there, its service is not",
        OSError(errno.EHOSTUNREACH, "x"): "no route to the machine: it does not answer on its network",
        OSError(errno.ENETUNREACH, "Network is unreachable"): "the lab's network is not up: Network is unreachable",
        TimeoutError(): "no valid answer within 2.5 s",
        TimeoutError("timed out"): "no valid answer within 2.5 s",
        OSError(errno.ETIMEDOUT, "x"): "no valid answer within 2.5 s",
        OSError(errno.EACCES, "Permission denied"): "Permission denied",
        OSError("something else"): "something else",
    }
    assert {error: explained(error, source, 2.5) for error in told} == told
