"""The rendered service network, made for real: its dnsmasq serves the lab's zone with authority, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import libvirt
import pytest

from lab.core import addressing
from lab.doors.clock import Deadline, wait_until
from tests.golden.example import at_subnets, example_lab, rendered

LAB = at_subnets(example_lab(), "rzone")
SERVER = str(addressing.service_gateway(LAB))
ZONE = LAB.network.zone


def ask(name: str, kind: str = "A") -> dns.message.Message:
    """The answer, asked from the lab's own gateway address, so that nothing can leave the host."""
    query = dns.message.make_query(name, kind)
    return dns.query.udp(query, SERVER, timeout=5, source=SERVER)


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[libvirt.virNetwork]:
    connection = libvirt.open("qemu:///system")
    made = connection.networkCreateXMLFlags(
        rendered(LAB)["libvirt/networks/service.xml"].decode(), libvirt.VIR_NETWORK_CREATE_VALIDATE
    )

    def answers() -> bool:
        try:
            return bool(ask(ZONE, "SOA").answer)
        except (OSError, dns.exception.DNSException):
            return False

    try:
        wait_until(answers, what="dnsmasq", deadline=Deadline.after(20), interval_s=0.1)
        yield made
    finally:
        made.destroy()
        connection.close()


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (f"www.{ZONE}", "192.0.2.80"),
        (f"customers.{ZONE}", "192.0.2.81"),
        (f"acme.customers.{ZONE}", "192.0.2.81"),
        (f"deep.below.customers.{ZONE}", "192.0.2.81"),
        (f"ns.{ZONE}", SERVER),
    ],
)
def test_names_of_the_zone_are_answered_with_authority(name: str, address: str) -> None:
    answer = ask(name)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags & dns.flags.AA
    assert [str(item) for rrset in answer.answer for item in rrset if rrset.rdtype == dns.rdatatype.A] == [address]


def test_the_zone_names_its_server() -> None:
    answer = ask(ZONE, "NS")
    assert answer.flags & dns.flags.AA
    assert [str(item) for rrset in answer.answer for item in rrset] == [f"ns.{ZONE}."]


def test_a_name_that_is_not_there_is_denied_with_authority() -> None:
    answer = ask(f"nothing.{ZONE}")
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert answer.flags & dns.flags.AA


@pytest.mark.parametrize("name", ["example.org", "localhost", "80.2.0.192.in-addr.arpa"])
def test_other_zones_are_refused_not_forwarded(name: str) -> None:
    answer = ask(name)
    assert answer.rcode() == dns.rcode.REFUSED
    assert not answer.answer
    assert not answer.flags & dns.flags.RA
