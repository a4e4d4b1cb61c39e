"""A client of the RADIUS servers, as a network access server is one: RFC 2865 (access) and RFC 2866 (accounting).

pyrad makes, signs and checks the packets. Its own client is not used for the exchange: it sends from an unconnected
socket, so a server that is down costs the whole timeout instead of one refusal, and it never closes the socket.
"""

from __future__ import annotations

import io
from functools import cache
from ipaddress import IPv4Address
from secrets import token_hex
from typing import Any

from pyrad.dictionary import Dictionary
from pyrad.packet import (
    AccessAccept,
    AccessReject,
    AccountingResponse,
    AcctPacket,
    AuthPacket,
    Packet,
    PacketError,
)

from lab.core.errors import LabError
from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline
from lab.drivers.probes.exchange import NotServed, Route, ask, measure

AUTHENTICATION_PORT = 1812
ACCOUNTING_PORT = 1813

#: What the access server calls itself (NAS-Identifier), so that rows left by probes are told from customers' ones.
ACCESS_SERVER = "lab-probe"

#: The attributes that the probes send or may get back: names, numbers and types from RFC 2865 section 5, RFC 2866
#: section 5 and, for Message-Authenticator, RFC 2869 section 5.14 (80), in the dictionary format of RADIUS servers.
DICTIONARY = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE Service-Type 6 integer
ATTRIBUTE Framed-Protocol 7 integer
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE Class 25 octets
ATTRIBUTE Session-Timeout 27 integer
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Delay-Time 41 integer
ATTRIBUTE Acct-Input-Octets 42 integer
ATTRIBUTE Acct-Output-Octets 43 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Authentic 45 integer
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
ATTRIBUTE NAS-Port-Type 61 integer
ATTRIBUTE Message-Authenticator 80 octets
VALUE Service-Type Framed-User 2
VALUE Framed-Protocol PPP 1
VALUE Acct-Status-Type Start 1
VALUE Acct-Status-Type Stop 2
VALUE Acct-Authentic RADIUS 1
VALUE NAS-Port-Type Ethernet 15
"""


def probe_radius_accept(
    server: IPv4Address,
    source: IPv4Address,
    secret: str,
    password: str,
    timeout_s: float,
    *,
    username: str = "subscriber",
    guest: str = "",
    port: int = AUTHENTICATION_PORT,
) -> ProbeResult:
    """Log a subscriber in by PAP: an Access-Request with a Message-Authenticator must bring an Access-Accept.

    Args:
        server: address of the RADIUS server.
        source: address of this machine to ask from; the server must know it as a client.
        secret: the secret shared with the server.
        password: the subscriber's password.
        timeout_s: seconds to wait.
        username: the subscriber.
        guest: name of the guest for the result.
        port: UDP port of the server.

    Raises:
        LabError: the secret or the name is empty, or the source or the timeout cannot work.
    """
    route = Route(source, server, port)

    def request(deadline: Deadline) -> str:
        reply = _exchange(access_request(source, secret, username, password), route, deadline)
        if reply.code != AccessAccept:
            raise NotServed(f"{username}: {_named(reply)} instead of Access-Accept")
        return f"Access-Accept for {username}"

    _require(secret, username)
    return measure("radius-access", guest, route, timeout_s, request)


def probe_radius_reject(
    server: IPv4Address,
    source: IPv4Address,
    secret: str,
    timeout_s: float,
    *,
    username: str = "subscriber",
    guest: str = "",
    port: int = AUTHENTICATION_PORT,
) -> ProbeResult:
    """Log a subscriber in with a random wrong password: that must bring an Access-Reject, and nothing else.

    A server delays rejections on purpose (FreeRADIUS: ``reject_delay``, 1 s by default), so the timeout must allow
    for more than that.

    Args:
        server: address of the RADIUS server.
        source: address of this machine to ask from; the server must know it as a client.
        secret: the secret shared with the server.
        timeout_s: seconds to wait.
        username: the subscriber.
        guest: name of the guest for the result.
        port: UDP port of the server.

    Raises:
        LabError: see :func:`probe_radius_accept`.
    """
    route = Route(source, server, port)

    def request(deadline: Deadline) -> str:
        reply = _exchange(access_request(source, secret, username, token_hex(12)), route, deadline)
        if reply.code != AccessReject:
            raise NotServed(f"{username} with a wrong password: {_named(reply)} instead of Access-Reject")
        return f"Access-Reject for {username} with a wrong password"

    _require(secret, username)
    return measure("radius-reject", guest, route, timeout_s, request)


def probe_radius_accounting(
    server: IPv4Address,
    source: IPv4Address,
    secret: str,
    timeout_s: float,
    *,
    username: str = "subscriber",
    session: str = "",
    guest: str = "",
    port: int = ACCOUNTING_PORT,
) -> ProbeResult:
    """Report the start of a subscriber's session: an Accounting-Request must bring an Accounting-Response.

    A server answers only once it has stored the record (RFC 2866 section 2), so the answer proves the storage too.

    Args:
        server: address of the RADIUS server.
        source: address of this machine to ask from; the server must know it as a client.
        secret: the secret shared with the server.
        timeout_s: seconds to wait.
        username: the subscriber.
        session: Acct-Session-Id; a random one when empty.
        guest: name of the guest for the result.
        port: UDP port of the server.

    Raises:
        LabError: see :func:`probe_radius_accept`.
    """
    identifier = session or f"probe-{token_hex(6)}"
    route = Route(source, server, port)

    def request(deadline: Deadline) -> str:
        packet = accounting_request(source, secret, username, identifier)
        reply = _exchange(packet, route, deadline)
        if reply.code != AccountingResponse:
            raise NotServed(f"session {identifier}: {_named(reply)} instead of Accounting-Response")
        return f"Accounting-Response for the start of session {identifier}"

    _require(secret, username)
    return measure("radius-accounting", guest, route, timeout_s, request)


def _require(secret: str, username: str) -> None:
    if not secret or not username:
        raise LabError("a RADIUS request needs a secret and a user name", remedy="Read them from the lab's secrets")


@cache
def _dictionary() -> Any:
    return Dictionary(io.StringIO(DICTIONARY))


def access_request(source: IPv4Address, secret: str, username: str, password: str) -> Any:
    """An Access-Request by PAP with a Message-Authenticator; the arguments are those of the probes."""
    packet = AuthPacket(secret=secret.encode(), dict=_dictionary(), message_authenticator=True)
    _describe(packet, source, username)
    packet["User-Password"] = packet.PwCrypt(password)
    return packet


def accounting_request(source: IPv4Address, secret: str, username: str, session: str) -> Any:
    """An Accounting-Request for the start of a session; the arguments are those of the probes."""
    packet = AcctPacket(secret=secret.encode(), dict=_dictionary())
    _describe(packet, source, username)
    packet["Acct-Status-Type"] = "Start"
    packet["Acct-Session-Id"] = session
    packet["Acct-Authentic"] = "RADIUS"
    return packet


def reply_to(packet: Any, payload: bytes) -> Any:
    """The reply to a request that a datagram holds, its authenticator checked; None when it holds anything else."""
    try:
        reply = packet.CreateReply(packet=payload)
        return reply if packet.VerifyReply(reply, payload) else None
    except PacketError:
        return None


def _describe(packet: Any, source: IPv4Address, username: str) -> None:
    packet["User-Name"] = username
    packet["NAS-IP-Address"] = str(source)
    packet["NAS-Identifier"] = ACCESS_SERVER
    packet["NAS-Port"] = 0
    packet["NAS-Port-Type"] = "Ethernet"
    packet["Service-Type"] = "Framed-User"
    packet["Framed-Protocol"] = "PPP"
    packet["Calling-Station-Id"] = "02:00:00:00:00:01"


def _exchange(packet: Any, route: Route, deadline: Deadline) -> Packet:
    def understood(payload: bytes) -> Packet | None:
        return reply_to(packet, payload)

    return ask(route, packet.RequestPacket(), deadline, understood)


def _named(reply: Any) -> str:
    names = {AccessAccept: "Access-Accept", AccessReject: "Access-Reject", AccountingResponse: "Accounting-Response"}
    return names.get(reply.code, f"a packet of code {reply.code}")
