"""What all probes share: one bounded request from a source address of the lab, turned into a result.

A probe is bound to the lab's own gateway address before anything is sent. While the lab is down this address does
not exist, binding fails, and no packet for the lab's (private) subnet can leave by the host's default route.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypeVar

from lab.core.errors import LabError
from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline, now_s

Answer = TypeVar("Answer")

#: The largest UDP payload over IPv4; a datagram is never read in part.
LARGEST_DATAGRAM = 65507


class NotServed(Exception):
    """An answer came and it is not the one that a served client gets; the text says why."""


@dataclass(frozen=True)
class Route:
    """From where to where a request goes.

    Args:
        source: address of this machine that the request is bound to.
        target: address of the server.
        port: port of the server; 0 where there are no ports.
    """

    source: IPv4Address
    target: IPv4Address
    port: int = 0

    def __str__(self) -> str:
        return f"{self.target}:{self.port}" if self.port else str(self.target)


def measure(
    service: str, guest: str, route: Route, timeout_s: float, request: Callable[[Deadline], str]
) -> ProbeResult:
    """Run one request of a client and turn its outcome, whatever it is, into a result.

    Args:
        service: what is asked for, see :class:`ProbeResult`.
        guest: name of the guest that should answer; may be empty.
        route: from where to where the request goes.
        timeout_s: seconds that the whole request may take.
        request: makes the request within the deadline given to it and returns what was received; raises
            :class:`NotServed` for a wrong answer, OSError (TimeoutError included) for none.

    Raises:
        LabError: the timeout is not positive, or the source is not the address of an interface; both are mistakes
            of the caller and never states of the lab.
    """
    require_usable(route.source, timeout_s)
    started_s = now_s()
    ok = False
    try:
        require_present(route.source)
        detail = request(Deadline.after(timeout_s))
        ok = True
    except NotServed as verdict:
        detail = str(verdict)
    except OSError as error:
        detail = explained(error, route.source, timeout_s)
    return ProbeResult(service, guest, str(route), ok, detail, (now_s() - started_s) * 1000)


def require_usable(source: IPv4Address, timeout_s: float) -> None:
    """Refuse arguments that no probe can work with.

    Raises:
        LabError: the timeout is not positive, or the source would not bind to one address.
    """
    if not timeout_s > 0:
        raise LabError(f"a probe cannot end within {timeout_s} s", remedy="Give a timeout of more than 0 seconds")
    if source.is_unspecified or source.is_multicast or source == IPv4Address("255.255.255.255"):
        raise LabError(
            f"a probe cannot speak from {source}", remedy="Give the lab's own gateway address on the host as source"
        )


def require_present(source: IPv4Address) -> None:
    """Bind a socket to the address and close it again.

    Raises:
        OSError: EADDRNOTAVAIL when no interface of this machine has the address.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        trial.bind((str(source), 0))


def explained(error: OSError, source: IPv4Address, timeout_s: float) -> str:
    """Why no answer came, in words about the lab rather than about system calls.

    Args:
        error: what the operating system said; a TimeoutError means that nothing came in time.
        source: the address that the request was bound to.
        timeout_s: how long an answer was waited for, in seconds.
    """
    if isinstance(error, TimeoutError) and error.errno in {None, errno.ETIMEDOUT}:
        return f"no valid answer within {timeout_s:g} s"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"the lab's network is not up: no interface of this machine has the address {source}"
    if error.errno == errno.ECONNREFUSED:
        return "connection refused: the machine is there, its service is not"
    if error.errno == errno.EHOSTUNREACH:
        return "no route to the machine: it does not answer on its network"
    if error.errno in {errno.ENETUNREACH, errno.ENETDOWN}:
        return f"the lab's network is not up: {error.strerror}"
    return error.strerror or str(error) or type(error).__name__


def ask(route: Route, request: bytes, deadline: Deadline, understood: Callable[[bytes], Answer | None]) -> Answer:
    """Send one UDP datagram from a bound and connected socket and wait for the datagram that answers it.

    Connected, so that only the target is heard and a refusal (ICMP port unreachable) ends the wait at once.

    Args:
        route: from where (any free port) to where.
        request: the payload.
        deadline: when to give up.
        understood: returns the answer that a payload holds, or None for a payload that answers something else.

    Raises:
        OSError: the address is not there, the port is closed, or (TimeoutError) nothing that fits came in time.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((str(route.source), 0))
        client.connect((str(route.target), route.port))
        client.send(request)
        return listen(client, deadline, understood)


def listen(client: socket.socket, deadline: Deadline, understood: Callable[[bytes], Answer | None]) -> Answer:
    """Read datagrams from a connected socket until one is understood.

    Raises:
        OSError: refused, or (TimeoutError) the deadline passed.
    """
    while True:
        left_s = deadline.remaining_s()
        if left_s <= 0:
            raise TimeoutError
        client.settimeout(left_s)
        answer = understood(client.recv(LARGEST_DATAGRAM))
        if answer is not None:
            return answer
