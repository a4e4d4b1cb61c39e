"""A client of the recursive name server: one query over UDP (RFC 1035), and a look at the whole answer."""

from __future__ import annotations

from ipaddress import IPv4Address
from secrets import token_hex

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from lab.core.errors import LabError
from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline
from lab.drivers.probes.exchange import NotServed, Route, ask, measure

DNS_PORT = 53


def fresh_name(zone: str) -> str:
    """A name below ``customers`` in the zone that nobody has asked for before, so no cache can hold its answer."""
    return f"{token_hex(8)}.customers.{zone}"


def probe_dns(
    server: IPv4Address,
    source: IPv4Address,
    name: str,
    expected: IPv4Address,
    timeout_s: float,
    *,
    guest: str = "",
    port: int = DNS_PORT,
) -> ProbeResult:
    """Ask a recursive name server for the IPv4 address of a name that it is not authoritative for.

    Served means: recursion is offered, the answer is not the server's own authority but something it went and
    asked for, and the address (at the end of a chain of aliases, if there is one) is the expected one alone.

    Args:
        server: address of the name server.
        source: address of this machine to ask from.
        name: the name, see :func:`fresh_name`.
        expected: the one address that the name has.
        timeout_s: seconds to wait.
        guest: name of the guest for the result.
        port: UDP port of the server.

    Raises:
        LabError: the name is no domain name, or the source or the timeout cannot work.
    """
    route = Route(source, server, port)
    try:
        query = dns.message.make_query(name, "A")
    except dns.exception.DNSException as error:
        raise LabError(f"{name!r} is not a domain name: {error}", remedy="Give a name such as www.example") from error

    def understood(payload: bytes) -> dns.message.Message | None:
        try:
            reply = dns.message.from_wire(payload)
        except dns.exception.DNSException:
            return None
        return reply if query.is_response(reply) else None

    def request(deadline: Deadline) -> str:
        reply = ask(route, query.to_wire(), deadline, understood)
        fault = fault_of(reply, expected)
        if fault:
            raise NotServed(f"{name}: {fault}")
        return f"{name} is {expected}, by recursion"

    return measure("dns", guest, route, timeout_s, request)


def fault_of(reply: dns.message.Message, expected: IPv4Address) -> str:
    """Why a reply is not what the client of a recursive server should get; empty when it is.

    Args:
        reply: a reply to a query for one name's IPv4 address.
        expected: the address that must be the whole answer.
    """
    faults = {
        f"answered {dns.rcode.to_text(reply.rcode())}": reply.rcode() != dns.rcode.NOERROR,
        "not recursion: the server answers by its own authority (AA is set)": reply.flags & dns.flags.AA,
        "the server offers no recursion (RA is not set)": not reply.flags & dns.flags.RA,
        "the answer was cut short (TC is set)": reply.flags & dns.flags.TC,
    }
    for fault, present in faults.items():
        if present:
            return fault
    try:
        found = reply.resolve_chaining().answer if isinstance(reply, dns.message.QueryMessage) else None
    except dns.exception.DNSException as error:
        return f"the answer is not well-formed: {error}"
    addresses = sorted(record.address for record in found) if found is not None else []
    if addresses != [str(expected)]:
        return f"expected {expected}, got {', '.join(addresses) or 'no address'}"
    return ""
