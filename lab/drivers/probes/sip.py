"""A client of the telephone exchange: a status request of its own, and a whole call between two extensions by sipp.

The call is what a subscriber understands by "the telephone works": both telephones register with their passwords
(RFC 3261 section 22), one rings the other, it is answered, and the caller hangs up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path
from secrets import token_hex

from lab.core.errors import LabError
from lab.core.parsers.sip import SipResponse, parse_response
from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline, WaitError
from lab.drivers.probes.exchange import NotServed, Route, ask, measure
from lab.drivers.probes.sipp import Telephone, free_udp_ports

SIP_PORT = 5060
#: Shorter registrations are refused by exchanges (423, RFC 3261 section 10.2.8); this one outlives no test by much.
REGISTRATION_S = 60
_WORD = re.compile(r"[A-Za-z0-9_-]+")


def probe_sip_options(
    server: IPv4Address, source: IPv4Address, timeout_s: float, *, guest: str = "", port: int = SIP_PORT
) -> ProbeResult:
    """Ask the exchange what it can do (OPTIONS, RFC 3261 section 11): a light proof that it handles requests.

    Any final answer below 500 serves: an exchange may well refuse to tell a stranger (401, 404), and works.

    Args:
        server: address of the SIP server.
        source: address of this machine to ask from.
        timeout_s: seconds to wait.
        guest: name of the guest for the result.
        port: UDP port of the server.

    Raises:
        LabError: the source or the timeout cannot work.
    """
    route = Route(source, server, port)
    call = f"{token_hex(8)}@{source}"

    def understood(payload: bytes) -> SipResponse | None:
        response = parse_response(payload)
        if response is None or not response.final or response.headers.get("call-id") != call:
            return None
        return response

    def request(deadline: Deadline) -> str:
        response = ask(route, options_request(server, source, call), deadline, understood)
        answer = f"{response.code} {response.reason}".strip()
        if response.code >= 500:
            raise NotServed(f"OPTIONS answered {answer}")
        return f"OPTIONS answered {answer}"

    return measure("sip-options", guest, route, timeout_s, request)


def options_request(server: IPv4Address, source: IPv4Address, call: str) -> bytes:
    """An OPTIONS request; ``rport`` (RFC 3581) has the answer sent to the port that it came from.

    Args:
        server: address of the SIP server.
        source: address that it is sent from.
        call: unique name of this request (Call-ID).
    """
    lines = [
        f"OPTIONS sip:{server} SIP/2.0",
        f"Via: SIP/2.0/UDP {source};rport;branch=z9hG4bK{call.partition('@')[0]}",
        "Max-Forwards: 70",
        f"From: <sip:probe@{source}>;tag={call[:8]}",
        f"To: <sip:{server}>",
        f"Call-ID: {call}",
        "CSeq: 1 OPTIONS",
        f"Contact: <sip:probe@{source}>",
        "Accept: application/sdp",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def probe_sip_call(
    server: IPv4Address,
    source: IPv4Address,
    passwords: Mapping[str, str],
    timeout_s: float,
    work: Path,
    *,
    caller: str = "101",
    callee: str = "102",
    guest: str = "",
    port: int = SIP_PORT,
) -> ProbeResult:
    """Register two telephones with the exchange and complete a call from one to the other.

    Args:
        server: address of the SIP server.
        source: address of this machine where both telephones stand, on free ports.
        passwords: per extension, its password; letters, digits, ``-`` and ``_`` only, which is what sipp can carry.
        timeout_s: seconds for everything together.
        work: existing directory where sipp leaves its statistics, errors and messages (no passwords in them).
        caller: the extension that calls.
        callee: the extension that is called.
        guest: name of the guest for the result.
        port: UDP port of the server.

    Raises:
        LabError: sipp is not installed, an extension has no usable password, there is no such directory, or the
            source or the timeout cannot work.
    """
    route = Route(source, server, port)
    for extension in (caller, callee):
        if not _WORD.fullmatch(extension) or not _WORD.fullmatch(passwords.get(extension, "")):
            raise LabError(
                f"no usable password for the extension {extension!r}",
                remedy="Give each extension a password of letters, digits, - and _",
            )
    if not work.is_dir():
        raise LabError(f"{work} is not a directory", remedy="Give an existing directory for what sipp leaves behind")

    def request(deadline: Deadline) -> str:
        # A closed port is told at once here; sipp would ask it again and again until the deadline.
        ask(route, options_request(server, source, token_hex(8)), deadline, parse_response)
        ports = free_udp_ports(source, 4)
        ringing = Telephone(callee, passwords[callee], source, ports[0], ports[1], server, port, work)
        calling = Telephone(caller, passwords[caller], source, ports[2], ports[3], server, port, work)
        remarks: list[str] = []
        with ExitStack() as registrations:
            for telephone in (ringing, calling):
                _register(telephone, deadline)
                registrations.callback(_unregister, telephone, deadline, remarks)
            _call(calling, ringing, deadline)
        return "; ".join([f"{caller} and {callee} registered, call completed", *remarks])

    return measure("sip-call", guest, route, timeout_s, request)


def _register(telephone: Telephone, deadline: Deadline) -> None:
    fault = telephone.play("register", str(REGISTRATION_S), deadline)
    if fault:
        raise NotServed(f"{telephone.extension} could not register: {fault}")


def _unregister(telephone: Telephone, deadline: Deadline, remarks: list[str]) -> None:
    """Take a registration back; one that stays ends by itself soon, so this is remarked and fails nothing."""
    fault = telephone.play("register", "0", deadline, log="unregister")
    if fault:
        remarks.append(f"{telephone.extension} stays registered for {REGISTRATION_S} s: {fault}")


def _call(calling: Telephone, ringing: Telephone, deadline: Deadline) -> None:
    with ThreadPoolExecutor(max_workers=1) as beside:
        answered = beside.submit(ringing.play, "answer", "", deadline, once=False)
        fault = "interrupted"
        try:
            fault = _ring(calling, ringing, answered, deadline)
        finally:
            if fault:
                ringing.hang_up()
        unanswered = answered.result()
    if fault:
        raise NotServed(f"call from {calling.extension} to {ringing.extension}: {fault}")
    if unanswered:
        raise NotServed(f"call answered by {ringing.extension}: {unanswered}")


def _ring(calling: Telephone, ringing: Telephone, answered: Future[str], deadline: Deadline) -> str:
    """Call once the other telephone listens; why that failed, or empty."""
    try:
        ringing.wait_until_listening(deadline, lambda: "its sipp has ended" if answered.done() else "")
    except WaitError as error:
        return str(error)
    return calling.play("call", ringing.extension, deadline)
