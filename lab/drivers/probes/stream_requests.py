"""The streams of a lab and their requests: which machine is asked what, how often, and by which probe.

Each request has a socket of its own. Requests of one stream overlap while a service is silent, and a socket of its own
is what keeps their answers apart (for RADIUS, identifier and source port together, RFC 2865 section 3); and a kept
connection would show the loss of the connection instead of the loss of the service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

from lab.core.addressing import guest_gateway, guest_ip, node_service_ip, service_gateway
from lab.core.measurement.numbering import Numbering
from lab.core.measurement.samples import StreamKind, StreamSpec
from lab.core.model import Guest, Lab, Probes, Secrets
from lab.core.service_result import ProbeResult
from lab.drivers.probes import CUSTOMER_ADDRESS, ServicePorts
from lab.drivers.probes.dns import fresh_name, probe_dns
from lab.drivers.probes.http import probe_http_page, probe_http_write
from lab.drivers.probes.icmp import probe_icmp
from lab.drivers.probes.radius import probe_radius_accept, probe_radius_accounting
from lab.drivers.probes.sip import probe_sip_options
from lab.drivers.probes.streams import Request


def specs_of(lab: Lab, probes: Probes | None = None, ports: ServicePorts | None = None) -> tuple[StreamSpec, ...]:
    """The streams of a lab: each guest's service, then echoes of each guest and each node.

    Args:
        lab: the lab.
        probes: rates and timeout as they are to be; those of the lab's topology, at the lab's share of them, when
            None. A rate of 0 gives no stream.
        ports: where the services listen, if not on their assigned ports.
    """
    rates = probes or lab.probes
    share = lab.probes.share_under_tcg if probes is None and lab.accelerator == "tcg" else 1.0
    timeout_s = rates.timeout_ms / 1000
    found = [
        StreamSpec(kind, guest.name, f"{guest_ip(lab, guest)}:{port}", 1 / (per_s * share), timeout_s)
        for guest in lab.guests
        for kind, per_s, port in _asked_of(guest, rates, ports or ServicePorts())
        if per_s > 0
    ]
    if rates.icmp_per_s > 0:
        machines = [(guest.name, guest_ip(lab, guest)) for guest in lab.guests]
        machines += [(node.name, node_service_ip(lab, node)) for node in lab.nodes]
        found += [
            StreamSpec("icmp", name, str(place), 1 / (rates.icmp_per_s * share), timeout_s) for name, place in machines
        ]
    return tuple(found)


def requests_of(lab: Lab, secrets: Secrets, numbering: Numbering) -> Request:
    """What makes the requests of a lab's streams, bound to the host's address beside the machine that is asked.

    Args:
        lab: the lab.
        secrets: what its clients know.
        numbering: numbers of the rows that writing requests leave behind.
    """
    sources = {guest.name: guest_gateway(lab, guest) for guest in lab.guests}
    shared, password, zone = secrets.radius_secret, secrets.radius_password, lab.network.zone

    def request(spec: StreamSpec, number: int) -> ProbeResult:
        address, _, port_text = spec.address.partition(":")
        server, port = IPv4Address(address), int(port_text or 0)
        name, wait_s = spec.target, spec.timeout_s
        source = sources.get(name, service_gateway(lab))
        probes: dict[StreamKind, Callable[[], ProbeResult]] = {
            "icmp": lambda: probe_icmp(server, source, wait_s, guest=name),
            "dns": lambda: probe_dns(server, source, fresh_name(zone), CUSTOMER_ADDRESS, wait_s, guest=name, port=port),
            "radius-access": lambda: probe_radius_accept(
                server, source, shared, password, wait_s, guest=name, port=port
            ),
            "radius-accounting": lambda: probe_radius_accounting(
                server, source, shared, wait_s, session=numbering.session(number), guest=name, port=port
            ),
            "http-read": lambda: probe_http_page(server, source, wait_s, guest=name, port=port),
            "http-write": lambda: probe_http_write(
                server, source, numbering.row(number), wait_s, guest=name, port=port
            ),
            "sip-options": lambda: probe_sip_options(server, source, wait_s, guest=name, port=port),
        }
        return probes[spec.kind]()

    return request


def _asked_of(guest: Guest, rates: Probes, ports: ServicePorts) -> Iterator[tuple[StreamKind, float, int]]:
    match guest.service:
        case "dns":
            yield "dns", rates.dns_per_s, ports.dns
        case "radius":
            yield "radius-access", rates.radius_authentication_per_s, ports.radius_authentication
            yield "radius-accounting", rates.radius_accounting_per_s, ports.radius_accounting
        case "web":
            yield "http-read", rates.http_read_per_s, ports.http
            yield "http-write", rates.http_write_per_s, ports.http
        case "telephony":
            yield "sip-options", rates.sip_options_per_s, ports.sip
