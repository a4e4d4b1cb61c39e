"""The telephone probes against Kamailio, and against exchanges that do what Kamailio does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from probe_daemons import GATEWAY, NOWHERE, PORTS, SECRETS, address, exchange, server_of

from lab.core.errors import LabError
from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline
from lab.drivers.probes import probe_sip_call, probe_sip_options
from lab.drivers.probes.sipp import Telephone, free_udp_ports

pytestmark = pytest.mark.filterwarnings("error")

PASSWORDS = {**SECRETS.sip_passwords, **{number: f"password-of-{number}" for number in ("103", "104", "105")}}


@pytest.fixture(scope="module", autouse=True)
def kamailio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with exchange(tmp_path_factory.mktemp("sip")):
        yield


def call(
    work: Path,
    *,
    server: IPv4Address | None = None,
    source: IPv4Address = GATEWAY,
    passwords: dict[str, str] = PASSWORDS,
    timeout_s: float = 15,
    caller: str = "101",
    callee: str = "102",
) -> ProbeResult:
    return probe_sip_call(
        server or server_of("SimplesIP"),
        source,
        passwords,
        timeout_s,
        work,
        caller=caller,
        callee=callee,
        guest="SimplesIP",
        port=PORTS.sip,
    )


def options(server: IPv4Address, source: IPv4Address = GATEWAY, timeout_s: float = 5) -> ProbeResult:
    return probe_sip_options(server, source, timeout_s, guest="SimplesIP", port=PORTS.sip)


class Peer:
    """One end of SIP conversations, by hand."""

    def __init__(self, own: IPv4Address, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((str(own), port))
        self.socket.settimeout(3)
        self.own = f"{own}:{self.socket.getsockname()[1]}"
        self.other: tuple[str, int] = ("", 0)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def hear(self, *beginnings: str) -> dict[str, str]:
        """The next message that begins with one of these; sent again ones of others are passed over."""
        for _ in range(20):
            payload, self.other = self.socket.recvfrom(65507)
            head, _, _ = payload.decode().partition("\r\n\r\n")
            first, *lines = head.split("\r\n")
            if first.startswith(beginnings):
                return {"": first} | {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}
        raise AssertionError(f"no message begins with {beginnings}")

    def answer(self, request: dict[str, str], status: str, *more: str, tag: str = "server") -> None:
        to = request["To"] if ";tag=" in request["To"] else f"{request['To']};tag={tag}"
        kept = [f"{name}: {request[name]}" for name in ("Via", "From", "Call-ID", "CSeq")]
        self.send(f"SIP/2.0 {status}", *kept, f"To: {to}", f"Contact: <sip:{self.own}>", *more)

    def request(self, method: str, call_id: str, sequence: int, from_: str, to: str, branch: str) -> None:
        self.send(
            f"{method} sip:telephone SIP/2.0",
            f"Via: SIP/2.0/UDP {self.own};branch=z9hG4bK{branch}",
            f"From: {from_}",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {sequence} {method}",
            f"Contact: <sip:{self.own}>",
            "Max-Forwards: 70",
        )

    def send(self, *lines: str) -> None:
        self.socket.sendto("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode(), self.other)


def is_registered(extension: str) -> bool:
    with Peer(GATEWAY) as peer:
        peer.other = (str(server_of("SimplesIP")), PORTS.sip)
        own = f"<sip:test@{GATEWAY}>;tag=1"
        lines = [
            f"OPTIONS sip:{extension}@{server_of('SimplesIP')} SIP/2.0",
            f"Via: SIP/2.0/UDP {peer.own};branch=z9hG4bKq",
        ]
        lines += [
            f"From: {own}",
            f"To: <sip:{extension}@{GATEWAY}>",
            "Call-ID: who",
            "CSeq: 1 OPTIONS",
            "Max-Forwards: 9",
        ]
        peer.send(*lines)
        return peer.hear("SIP/2.0")[""] == "SIP/2.0 200 OK"


def test_an_exchange_answers_options() -> None:
    result = options(server_of("SimplesIP"))
    assert result.ok, result
    assert result.detail == "OPTIONS answered 200 OK"
    assert result.service == "sip-options"


@pytest.mark.parametrize(("status", "ok"), [("404 Not Found", True), ("401 Unauthorized", True), ("503 Away", False)])
def test_what_counts_as_an_answer_to_options(status: str, ok: bool) -> None:
    with Peer(address(98), PORTS.sip) as peer, ThreadPoolExecutor() as pool:
        result = pool.submit(options, address(98))
        request = peer.hear("OPTIONS")
        peer.answer({**request, "Call-ID": "of another request"}, "200 OK")
        peer.answer(request, "100 Trying")
        peer.answer(request, status)
        assert result.result().ok is ok
        assert result.result().detail == f"OPTIONS answered {status}"


def test_options_to_a_closed_port_and_into_silence() -> None:
    closed = options(address(99), timeout_s=30)
    assert (closed.ok, "refused" in closed.detail, closed.latency_ms < 1000) == (False, True, True)
    with Peer(address(98), PORTS.sip):
        silent = options(address(98), timeout_s=0.3)
    assert (silent.ok, silent.detail) == (False, "no valid answer within 0.3 s")


def test_both_register_and_the_call_is_completed(tmp_path: Path) -> None:
    result = call(tmp_path)
    assert result.ok, result
    assert result.detail == "101 and 102 registered, call completed"
    assert (result.service, result.guest) == ("sip-call", "SimplesIP")
    said = (tmp_path / "call-101.messages").read_text()
    for line in ("407 Proxy Authentication Required", "180 Ringing", "200 OK", "ACK sip:", "BYE sip:"):
        assert line in said
    assert "BYE sip:" in (tmp_path / "answer-102.messages").read_text()


def test_nobody_stays_registered_and_no_password_is_left_behind(tmp_path: Path) -> None:
    assert call(tmp_path).ok
    assert not is_registered("101")
    assert not is_registered("102")
    left = list(tmp_path.iterdir())
    assert len(left) >= 10
    for file in left:
        assert "password-of" not in file.read_text(), file


def test_calls_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    pairs = [("101", "102"), ("103", "105")]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda pair: call(tmp_path, caller=pair[0], callee=pair[1]), pairs))
    assert all(result.ok for result in results), results


def test_a_wrong_password_of_either_one_is_found_out(tmp_path: Path) -> None:
    for extension in ("101", "102"):
        result = call(tmp_path, passwords={**PASSWORDS, extension: "wrong"}, timeout_s=10)
        assert not result.ok
        assert f"{extension} could not register: got SIP/2.0 401" in result.detail
        assert result.latency_ms < 5000


def test_a_refused_call_ends_soon(tmp_path: Path) -> None:
    result = call(tmp_path, callee="104", timeout_s=30)
    assert not result.ok
    assert result.detail == "call from 101 to 104: got SIP/2.0 486 Busy here"
    assert result.latency_ms < 8000
    assert not is_registered("104")


def test_an_exchange_that_asks_nobody_for_a_password_is_found_out(tmp_path: Path) -> None:
    with Peer(address(98), PORTS.sip) as peer, ThreadPoolExecutor() as pool:
        result = pool.submit(call, tmp_path, server=address(98), timeout_s=5)
        peer.answer(peer.hear("OPTIONS"), "200 OK")
        peer.answer(peer.hear("REGISTER"), "200 OK")
        verdict = result.result()
    assert not verdict.ok
    assert "102 could not register: got SIP/2.0 200 OK" in verdict.detail


def test_an_exchange_that_is_down_costs_no_timeout(tmp_path: Path) -> None:
    result = call(tmp_path, server=address(99), timeout_s=60)
    assert not result.ok
    assert "refused" in result.detail
    assert result.latency_ms < 1000


def test_an_exchange_that_falls_silent_costs_one_timeout(tmp_path: Path) -> None:
    with Peer(address(98), PORTS.sip) as peer, ThreadPoolExecutor() as pool:
        result = pool.submit(call, tmp_path, server=address(98), timeout_s=2)
        peer.answer(peer.hear("OPTIONS"), "200 OK")
        verdict = result.result()
    assert not verdict.ok
    assert "102 could not register: " in verdict.detail
    assert verdict.latency_ms < 5000


def test_without_the_source_address_the_network_is_not_up(tmp_path: Path) -> None:
    result = call(tmp_path, source=NOWHERE)
    assert not result.ok
    assert "the lab's network is not up" in result.detail
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("passwords", [{}, {"101": "a", "102": "a]b"}, {"101": "a;b", "102": "b"}])
def test_passwords_that_cannot_be_used_are_misuse(tmp_path: Path, passwords: dict[str, str]) -> None:
    with pytest.raises(LabError, match="no usable password"):
        call(tmp_path, passwords=passwords)


def test_a_missing_directory_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="not a directory"):
        call(tmp_path / "none")


def test_a_missing_sipp_is_told_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="cannot start sipp") as caught:
        call(tmp_path)
    assert "sip-tester" in caught.value.remedy


def telephone(extension: str, work: Path, server: Peer) -> Telephone:
    own, control = free_udp_ports(GATEWAY, 2)
    host, port = server.own.split(":")
    return Telephone(extension, "word", GATEWAY, own, control, IPv4Address(host), int(port), work)


def played(play: Callable[[], str], talk: Callable[[], None]) -> str:
    """What a scenario says in the end, while a test talks to it."""
    verdicts: list[str] = []
    thread = threading.Thread(target=lambda: verdicts.append(play()))
    thread.start()
    try:
        talk()
    finally:
        thread.join()
    return verdicts[0]


CALLER, CALLEE = "<sip:101@exchange>;tag=c", "<sip:102@exchange>"


def called(work: Path, talk: Callable[[Peer], None]) -> str:
    """What the called telephone says in the end, while a test talks to it as the exchange."""
    with Peer(GATEWAY) as peer:
        ringing = telephone("102", work, peer)
        deadline = Deadline.after(10)

        def once_it_listens() -> None:
            ringing.wait_until_listening(deadline, lambda: "")
            peer.other = (str(GATEWAY), ringing.port)
            talk(peer)

        return played(lambda: ringing.play("answer", "", deadline, once=False), once_it_listens)


def test_the_called_telephone_bears_status_questions_and_new_media_addresses(tmp_path: Path) -> None:
    """Exchanges ask a telephone whether it is alive (OPTIONS), and move the media by INVITEs within the call."""

    def talk(peer: Peer) -> None:
        peer.request("OPTIONS", "alive-1", 1, CALLER, CALLEE, "o")
        peer.hear("SIP/2.0 200")
        peer.request("INVITE", "call-1", 1, CALLER, CALLEE, "i")
        peer.hear("SIP/2.0 180")
        there = peer.hear("SIP/2.0 200")["To"]
        peer.request("ACK", "call-1", 1, CALLER, there, "a")
        peer.request("NOTIFY", "alive-2", 1, CALLER, CALLEE, "n")
        peer.hear("SIP/2.0 200")
        peer.request("INVITE", "call-1", 2, CALLER, there, "i2")
        peer.hear("SIP/2.0 200")
        peer.request("ACK", "call-1", 2, CALLER, there, "a2")
        peer.request("BYE", "call-1", 3, CALLER, there, "b")
        peer.hear("SIP/2.0 200")

    assert called(tmp_path, talk) == ""


def test_the_called_telephone_bears_acknowledgements_of_what_it_said_again(tmp_path: Path) -> None:
    """An exchange that is slow hears an answer twice, and acknowledges both (RFC 3261, 13.2.2.4)."""

    def talk(peer: Peer) -> None:
        peer.request("INVITE", "call-2", 1, CALLER, CALLEE, "i")
        there = peer.hear("SIP/2.0 200")["To"]
        for branch in ("a", "a-again", "a-late"):
            peer.request("ACK", "call-2", 1, CALLER, there, branch)
        peer.request("BYE", "call-2", 2, CALLER, there, "b")
        peer.hear("SIP/2.0 200")

    assert called(tmp_path, talk) == ""


@pytest.mark.parametrize(
    ("before_bye", "after_bye"),
    [(("re-ack",), ()), (("re-ack", "re-ack-again", "re-ack-late"), ()), (("re-ack",), ("re-ack-late", "re-ack-last"))],
    ids=["acknowledged once", "again", "after its goodbye"],
)
def test_the_calling_telephone_follows_new_media_addresses_and_hangs_up_in_the_same_call(
    tmp_path: Path, before_bye: tuple[str, ...], after_bye: tuple[str, ...]
) -> None:
    with Peer(address(97), PORTS.sip) as peer:
        calling = telephone("101", tmp_path, peer)
        deadline = Deadline.after(10)

        def talk() -> None:
            invite = peer.hear("INVITE")
            challenge = 'WWW-Authenticate: Digest realm="exchange", nonce="0123456789abcdef", algorithm=MD5'
            peer.answer(invite, "401 Unauthorized", challenge, tag="challenge")
            peer.hear("ACK")
            invite = peer.hear("INVITE")
            assert 'username="101"' in invite["Authorization"]
            peer.answer(invite, "200 OK", tag="answered")
            assert peer.hear("ACK")["To"].endswith(";tag=answered")
            peer.request("INVITE", invite["Call-ID"], 7, f"{invite['To']};tag=answered", invite["From"], "re")
            peer.hear("SIP/2.0 200")
            for branch in before_bye:
                peer.request("ACK", invite["Call-ID"], 7, f"{invite['To']};tag=answered", invite["From"], branch)
            bye = peer.hear("BYE")
            for branch in after_bye:
                peer.request("ACK", invite["Call-ID"], 7, f"{invite['To']};tag=answered", invite["From"], branch)
            assert bye["To"].endswith(";tag=answered")
            assert bye["From"] == invite["From"]
            assert bye[""] == f"BYE sip:{peer.own} SIP/2.0"
            peer.answer(bye, "200 OK")

        assert played(lambda: calling.play("call", "102", deadline), talk) == ""
