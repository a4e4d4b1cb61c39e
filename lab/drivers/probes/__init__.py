"""Clients of the lab's services: every probe is one bounded request from the host's address beside the guest.

Each probe returns a :class:`~lab.core.service_result.ProbeResult` and raises only when it is misused; a service
that is down, wrong or late is a result. :func:`probe_all` asks all guests of a lab side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from secrets import randbelow
from tempfile import TemporaryDirectory

from lab.core.addressing import guest_gateway, guest_ip, service_gateway
from lab.core.model import Guest, Lab, Secrets
from lab.core.render.facts import ZONE_CUSTOMERS_ADDRESS, ZONE_WWW_ADDRESS
from lab.core.service_result import ProbeResult
from lab.drivers.probes.dns import DNS_PORT, fresh_name, probe_dns
from lab.drivers.probes.exchange import require_usable
from lab.drivers.probes.http import HTTP_PORT, NUMBERS, probe_http_entry, probe_http_page
from lab.drivers.probes.icmp import probe_icmp
from lab.drivers.probes.radius import (
    ACCOUNTING_PORT,
    AUTHENTICATION_PORT,
    probe_radius_accept,
    probe_radius_accounting,
    probe_radius_reject,
)
from lab.drivers.probes.sip import SIP_PORT, probe_sip_call, probe_sip_options

#: What the lab's authoritative server says about ``www`` in the zone, and about every name below ``customers``.
WWW_ADDRESS = IPv4Address(ZONE_WWW_ADDRESS)
CUSTOMER_ADDRESS = IPv4Address(ZONE_CUSTOMERS_ADDRESS)


@dataclass(frozen=True)
class ServicePorts:
    """Where the services listen; other than the assigned ports only in tests."""

    dns: int = DNS_PORT
    radius_authentication: int = AUTHENTICATION_PORT
    radius_accounting: int = ACCOUNTING_PORT
    http: int = HTTP_PORT
    sip: int = SIP_PORT


@dataclass(frozen=True)
class Client:
    """Where and with what the probes of one lab speak.

    Args:
        lab, secrets: the lab and what a subscriber of it knows.
        timeout_s: seconds for each request.
        thorough: everything that "served" means, instead of one quick request for each guest.
        work: directory for what sipp leaves behind.
        ports: where the services listen.
    """

    lab: Lab
    secrets: Secrets
    timeout_s: float
    thorough: bool
    work: Path
    ports: ServicePorts

    def source(self, guest: Guest) -> IPv4Address:
        """The address that requests to a guest come from: the host's on the service network, or in the guest's VLAN."""
        return guest_gateway(self.lab, guest)


def probe_all(
    lab: Lab,
    secrets: Secrets,
    *,
    timeout_s: float,
    thorough: bool,
    work: Path | None = None,
    ports: ServicePorts | None = None,
) -> list[ProbeResult]:
    """Ask the service of every guest, all guests at once, and return what a client saw, in the order of the guests.

    Args:
        lab: the lab.
        secrets: its secrets.
        timeout_s: seconds for each single request (a whole telephone call is one); a guest's requests follow each
            other, and there are three at most.
        thorough: a recursive DNS answer for a name never asked before and for ``www``; Access-Accept, Access-Reject
            for a wrong password and Accounting-Response; a row written and read back; two SIP registrations and a
            completed call. Otherwise one quick request per guest that writes nothing.
        work: existing directory where sipp leaves its files; a temporary one, removed afterwards, when None.
        ports: where the services listen, if not on their assigned ports.

    Raises:
        LabError: the timeout is not positive, sipp is not installed, or a secret cannot be used.
    """
    require_usable(service_gateway(lab), timeout_s)
    if not lab.guests:
        return []
    with ExitStack() as stack:
        place = work or Path(stack.enter_context(TemporaryDirectory(prefix=f"{lab.name}-probes-")))
        client = Client(lab, secrets, timeout_s, thorough, place, ports or ServicePorts())
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=len(lab.guests)))
        return [
            result for results in pool.map(lambda guest: probe_guest(client, guest), lab.guests) for result in results
        ]


def probe_guest(client: Client, guest: Guest) -> Sequence[ProbeResult]:
    """Ask one guest's service, the requests one after the other; see :func:`probe_all`."""
    probes: dict[str, Callable[[Client, Guest], Sequence[ProbeResult]]] = {
        "dns": _probe_dns,
        "radius": _probe_radius,
        "web": _probe_web,
        "telephony": _probe_telephony,
    }
    return probes[guest.service](client, guest)


def _probe_dns(client: Client, guest: Guest) -> Sequence[ProbeResult]:
    zone = client.lab.network.zone
    names = [(fresh_name(zone), CUSTOMER_ADDRESS)]
    if client.thorough:
        names.append((f"www.{zone}", WWW_ADDRESS))
    server = guest_ip(client.lab, guest)
    return [
        probe_dns(
            server, client.source(guest), name, address, client.timeout_s, guest=guest.name, port=client.ports.dns
        )
        for name, address in names
    ]


def _probe_radius(client: Client, guest: Guest) -> Sequence[ProbeResult]:
    server, source, shared = guest_ip(client.lab, guest), client.source(guest), client.secrets.radius_secret
    asked, told = client.ports.radius_authentication, client.ports.radius_accounting
    password, timeout_s, name = client.secrets.radius_password, client.timeout_s, guest.name
    results = [probe_radius_accept(server, source, shared, password, timeout_s, guest=name, port=asked)]
    if client.thorough:
        results.append(probe_radius_reject(server, source, shared, timeout_s, guest=name, port=asked))
        results.append(probe_radius_accounting(server, source, shared, timeout_s, guest=name, port=told))
    return results


def _probe_web(client: Client, guest: Guest) -> Sequence[ProbeResult]:
    server, source, port = guest_ip(client.lab, guest), client.source(guest), client.ports.http
    if client.thorough:
        number = randbelow(NUMBERS)
        return [probe_http_entry(server, source, number, client.timeout_s, guest=guest.name, port=port)]
    return [probe_http_page(server, source, client.timeout_s, guest=guest.name, port=port)]


def _probe_telephony(client: Client, guest: Guest) -> Sequence[ProbeResult]:
    server, source, port = guest_ip(client.lab, guest), client.source(guest), client.ports.sip
    if client.thorough:
        passwords = client.secrets.sip_passwords
        return [probe_sip_call(server, source, passwords, client.timeout_s, client.work, guest=guest.name, port=port)]
    return [probe_sip_options(server, source, client.timeout_s, guest=guest.name, port=port)]


__all__ = [
    "CUSTOMER_ADDRESS",
    "WWW_ADDRESS",
    "Client",
    "ServicePorts",
    "probe_all",
    "probe_dns",
    "probe_guest",
    "probe_http_entry",
    "probe_http_page",
    "probe_icmp",
    "probe_radius_accept",
    "probe_radius_accounting",
    "probe_radius_reject",
    "probe_sip_call",
    "probe_sip_options",
]
