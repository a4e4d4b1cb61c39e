"""An ICMP echo (RFC 792): through the kernel's echo socket, a raw one, or ping(8), whichever is permitted."""

from __future__ import annotations

import math
import os
import socket
import struct
from ipaddress import IPv4Address
from itertools import count

from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline
from lab.doors.process import ProcessError, run
from lab.drivers.probes.exchange import NotServed, Route, listen, measure

ECHO_REPLY = 0
ECHO_REQUEST = 8
PAYLOAD = b"lab probe".ljust(32, b".")

_LOOPBACK = IPv4Address("127.0.0.1")
_LOOPBACK_LIMIT_S = 5.0
_sequences = count(1)


def probe_icmp(target: IPv4Address, source: IPv4Address, timeout_s: float, *, guest: str = "") -> ProbeResult:
    """Send one ICMP echo request and wait for its reply.

    Args:
        target: the machine that should answer.
        source: address of this machine to ask from.
        timeout_s: seconds to wait.
        guest: name of the guest, or of the node, for the result.

    Raises:
        LabError: the source or the timeout cannot work.
    """

    def request(deadline: Deadline) -> str:
        client = _echo_socket()
        if client is None:
            return _ping(target, source, deadline)
        with client:
            client.bind((str(source), 0))
            client.connect((str(target), 0))
            sequence = next(_sequences) & 0xFFFF
            identifier = _identifier(client)
            client.send(echo_request(identifier, sequence, PAYLOAD))
            return listen(client, deadline, lambda packet: _reply(packet, client, identifier, sequence))

    return measure("icmp", guest, Route(source, target), timeout_s, request)


def echo_refusal() -> str:
    """Why this user may send no echo; empty when it may, whatever answers."""
    client = _echo_socket()
    if client is not None:
        client.close()
        return ""
    try:
        _ping(_LOOPBACK, _LOOPBACK, Deadline.after(_LOOPBACK_LIMIT_S))
    except TimeoutError:
        return ""
    except NotServed as error:
        # ping(8) says the same on several lines.
        return " ".join(str(error).split())
    return ""


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of any number of bytes."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(identifier: int, sequence: int, payload: bytes) -> bytes:
    """An ICMP echo request; identifier and sequence are 16-bit numbers."""
    blank = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, identifier, sequence) + payload
    return blank[:2] + struct.pack("!H", checksum(blank)) + blank[4:]


def is_echo_reply(message: bytes, identifier: int, sequence: int, payload: bytes) -> bool:
    """Whether an ICMP message (without IP header) is the intact reply to the request with these values."""
    expected = struct.pack("!BB", ECHO_REPLY, 0), struct.pack("!HH", identifier, sequence) + payload
    return (message[:2], message[4:]) == expected and checksum(message) == 0


def without_ip_header(packet: bytes) -> bytes:
    """What an IPv4 packet carries; empty when the packet is shorter than the header it announces."""
    return packet[(packet[0] & 0x0F) * 4 :] if packet else b""


def _echo_socket() -> socket.socket | None:
    """The least privileged socket that can send an echo, or None where neither is permitted (icmp(7), raw(7))."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
        except PermissionError:
            continue
    return None


def _identifier(client: socket.socket) -> int:
    """The identifier of the requests: the kernel sets an echo socket's own as if it were its port (icmp(7))."""
    if client.type == socket.SOCK_DGRAM:
        return int(client.getsockname()[1])
    return os.getpid() & 0xFFFF


def _reply(packet: bytes, client: socket.socket, identifier: int, sequence: int) -> str | None:
    message = packet if client.type == socket.SOCK_DGRAM else without_ip_header(packet)
    return "echo reply" if is_echo_reply(message, identifier, sequence, PAYLOAD) else None


def _ping(target: IPv4Address, source: IPv4Address, deadline: Deadline) -> str:
    """One echo by ping(8), which has the privilege that this process lacks."""
    left_s = deadline.remaining_s()
    argv = ["ping", "-n", "-q", "-c", "1", "-W", str(math.ceil(left_s)), "-I", str(source), str(target)]
    try:
        result = run(argv, timeout_s=left_s, check=False)
    except ProcessError as error:
        if error.result.returncode < 0:
            raise TimeoutError from error
        raise NotServed(f"no permission to send an echo, and {error}") from error
    if result.returncode == 1:
        raise TimeoutError
    if not result.ok:
        raise NotServed(result.stderr.strip() or f"ping ended with {result.returncode}")
    return "echo reply (by ping)"
