"""Guests from the inside, after clients were served: who they are, what runs and listens, what their databases hold."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from look import CLOCK_LIMIT_S, Look

from lab.core import addressing
from lab.core.drills.heartbeats import parse_heartbeat
from lab.core.model import Guest, Lab
from lab.core.service_result import ProbeResult

#: Per service: daemons with their users, and the ports that must be open on all addresses or on the guest's own.
DAEMONS = {
    "dns": ("bind", "named"),
    "radius": ("freerad", "freeradius"),
    "web": ("mysql", "mariadbd"),
    "telephony": ("asterisk", "asterisk"),
}
UDP_PORTS = {"dns": {53}, "radius": {1812, 1813}, "web": set[int](), "telephony": {5060}}
TCP_PORTS = {"dns": {53}, "radius": set[int](), "web": {80}, "telephony": set[int]()}
MYSQL_PORT = 3306
LISTENING = "0A"
#: Kernel and firmware keep a part of the memory to themselves.
LEAST_SHARE_OF_MEMORY = 0.6
#: 127.0.0.1 as /proc/net writes it.
LOOPBACK = "0100007F"
#: What the guest's service script asks the kernel for.
EXCHANGE_SLACK_NS = 100_000_000
#: A guest writes every five seconds.
HEARTBEAT_AGE_S = 30
#: What the clients of this run did cannot be longer ago.
RECENT_S = 300


def ports(table: str, *, listening: bool) -> dict[int, set[str]]:
    """Local ports of /proc/net/tcp or udp with the addresses (in hexadecimal) that they are open on."""
    found: dict[int, set[str]] = {}
    for row in table.splitlines()[1:]:
        words = row.split()
        if listening and words[3] != LISTENING:
            continue
        address, port = words[1].split(":")
        found.setdefault(int(port, 16), set()).add(address)
    return found


def reachable(table: str, *, listening: bool) -> set[int]:
    """The ports that others can reach."""
    return {port for port, addresses in ports(table, listening=listening).items() if addresses - {LOOPBACK}}


def processes(inside: Look) -> set[tuple[str, str]]:
    """Users and commands of what runs."""
    users = {number: name for name, _, number, *_ in (line.split(":") for line in inside.lines("users"))}
    values = [line.split()[1] for line in inside.lines("processes")]
    return {(users.get(number, number), command) for command, number in zip(values[::2], values[1::2], strict=True)}


def test_guest_knows_its_name(guest: Guest, inside: Look) -> None:
    assert inside.text("hostname") == guest.domain


def test_clock_is_that_of_the_host(inside: Look) -> None:
    assert abs(inside.clock_error_s()) < CLOCK_LIMIT_S


def test_guest_has_its_address(lab: Lab, guest: Guest, inside: Look) -> None:
    prefix = addressing.guest_subnet(lab, guest).prefixlen
    assert f"inet {addressing.guest_ip(lab, guest)}/{prefix} " in inside.text("address")
    assert len(inside.lines("address")) == 1
    assert inside.text("mac") == addressing.guest_mac(lab, guest)
    assert f"default via {addressing.guest_gateway(lab, guest)} " in inside.text("route") + " "


def test_guest_has_the_size_that_the_topology_says(guest: Guest, inside: Look) -> None:
    assert int(inside.text("disk size")) * 512 == guest.disk_mib * 2**20
    assert inside.text("processors") == str(guest.vcpus)
    memory_kib = int(inside.text("memory").split()[1])
    assert LEAST_SHARE_OF_MEMORY * guest.memory_mib * 1024 < memory_kib <= guest.memory_mib * 1024


def test_guest_is_a_virtual_machine_that_has_been_up_for_a_while(inside: Look) -> None:
    assert inside.text("hypervisor flag") == "hypervisor"
    assert float(inside.text("uptime").split()[0]) > 1


def test_guests_root_is_writable(inside: Look) -> None:
    device, _place, kind, options, *_ = inside.text("root").split()
    assert (device, kind) == ("/dev/vda", "ext4") or (device, kind) == ("/dev/root", "ext4")
    assert "rw" in options.split(",")


def test_guests_personal_files_are_those_of_the_lab(
    guest: Guest, inside: Look, seed_files: dict[str, dict[str, bytes]]
) -> None:
    there = {path: digest for digest, path in (line.split(maxsplit=1) for line in inside.lines("digests"))}
    expected = seed_files[guest.domain]
    assert len(expected) > 5
    different = [path for path, content in expected.items() if there.get(path) != hashlib.sha256(content).hexdigest()]
    assert different == []


def test_guests_resolve_names_with_the_labs_recursive_servers(lab: Lab, guest: Guest, inside: Look) -> None:
    found = re.findall(r"^nameserver (\S+)$", inside.text("resolver"), flags=re.MULTILINE)
    assert found == [
        str(addressing.guest_ip(lab, other))
        for other in lab.guests
        if other.service == "dns" and other.vlan == guest.vlan
    ]


def test_heartbeat_is_fresh_and_the_same_guests_on_both_copies(
    lab: Lab, guest: Guest, inside: Look, node_looks: dict[str, Look]
) -> None:
    own = parse_heartbeat(inside.text("heartbeat"))
    assert own is not None
    assert own.strangers == 0
    written_s, now_s = float(inside.text("heartbeat").split()[3]), float(inside.text("uptime").split()[0])
    assert now_s - written_s < HEARTBEAT_AGE_S * lab.time_scale
    for look in node_looks.values():
        lines = dict(line.partition(" ")[::2] for line in look.lines("heartbeats"))
        found = parse_heartbeat(lines[Path(addressing.heartbeat_path(lab, guest)).name])
        assert found is not None, look.host
        assert (found.instance, found.strangers) == (own.instance, 0), look.host


def test_daemon_runs_as_its_own_user(guest: Guest, inside: Look) -> None:
    assert DAEMONS[guest.service] in processes(inside)


def test_ssh_and_agent_run(inside: Look) -> None:
    assert {("root", "dropbear"), ("root", "qemu-ga")} <= processes(inside)


def test_service_listens_on_its_ports(guest: Guest, inside: Look) -> None:
    assert UDP_PORTS[guest.service] <= reachable(inside.text("udp"), listening=False)
    assert TCP_PORTS[guest.service] | {22} <= reachable(inside.text("tcp"), listening=True)


@pytest.mark.service("web")
def test_web_server_runs_and_its_database_is_for_itself(inside: Look) -> None:
    assert ("www-data", "apache2") in processes(inside)
    assert MYSQL_PORT not in reachable(inside.text("tcp"), listening=True)


def test_programs_keep_their_addresses_in_an_emulated_guest(lab: Lab, inside: Look) -> None:
    """QEMU translates a program again for each process in which it is at another address."""
    assert inside.text("random addresses") == ("0" if lab.accelerator == "tcg" else "2")


def test_sent_packets_interrupt_no_emulated_guest(lab: Lab, inside: Look) -> None:
    """The initrd passes an option of the kernel's command line to the module that it names."""
    assert inside.text("interrupts for sent packets") == ("N" if lab.accelerator == "tcg" else "Y")


@pytest.mark.service("web")
def test_row_written_by_the_client_is_in_the_database(inside: Look, served: dict[str, list[ProbeResult]]) -> None:
    (answer,) = served["http"]
    stored = re.search(r"row (\d+) written", answer.detail)
    assert stored, answer.as_line()
    assert stored[1] in inside.lines("entries")
    assert inside.text("engine") == "InnoDB"


@pytest.mark.service("radius")
def test_accounting_record_of_the_client_is_in_the_database(inside: Look, served: dict[str, list[ProbeResult]]) -> None:
    (answer,) = served["radius-accounting"]
    identifier = re.search(r"session (\S+)", answer.detail)
    assert identifier, answer.as_line()
    rows = [line.split("|") for line in inside.lines("accounting")]
    mine = [row for row in rows if row[0] == identifier[1]]
    assert [row[1] for row in mine] == ["subscriber"]
    assert mine[0][2], "the record has no time"


@pytest.mark.service("radius")
def test_both_verdicts_are_in_the_database(inside: Look, served: dict[str, list[ProbeResult]]) -> None:
    assert [answer.ok for name in ("radius-access", "radius-reject") for answer in served[name]] == [True, True]
    rows = [line.split("|") for line in inside.lines("logins")]
    recent = {(user, verdict) for user, verdict, age_s in rows if 0 <= int(age_s) < RECENT_S}
    assert {("subscriber", "Access-Accept"), ("subscriber", "Access-Reject")} <= recent


@pytest.mark.service("telephony")
def test_both_extensions_are_known(inside: Look) -> None:
    names = {line.split()[0].partition("/")[0] for line in inside.lines("extensions")}
    assert {"101", "102"} <= names


@pytest.mark.service("telephony")
def test_the_idle_exchange_sleeps(inside: Look) -> None:
    """Without this slack one of its threads wakes the guest a hundred times a second."""
    assert int(inside.text("slack")) == EXCHANGE_SLACK_NS
