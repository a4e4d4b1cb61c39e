"""A lab's Open vSwitch, with another one in the place of the nodes: plugged into the taps as QEMU would be.

The other one speaks LACP on the legs; what lives in its VLANs are network namespaces, and what is proven is proven by
packets. Namespaces, devices and programs carry the number of this process.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.core.parsers.openvswitch import parse_lacp, parse_stations
from lab.core.switch_plan import HostPort, SwitchPlan, Trunk
from lab.core.switch_state import carrying_text, lacp_problems, strangers
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run
from lab.drivers import openvswitch, switch_devices
from lab.workflows import switching
from lab.workflows.down import down
from lab.workflows.options import Options

ROOT = Path(__file__).resolve().parent.parent.parent
LAB = f"sw{os.getpid() % 100_000}"
UPLINK = f"{LAB}-ser"
VLAN = 42
#: Subnets of documentation and benchmarks (RFC 5737, RFC 2544), each address used in this machine only.
NODE_NET, VOICE_NET = "198.18.{}.{}", "198.19.{}.{}"
THIRD = os.getpid() % 250
HOST, NODE = NODE_NET.format(THIRD, 1), NODE_NET.format(THIRD, 11)
CLIENT, PHONE = VOICE_NET.format(THIRD, 1), VOICE_NET.format(THIRD, 21)
VOICE_MAC = "52:54:00:00:42:01"

START = """
import sys
from pathlib import Path
from lab.drivers import openvswitch
from tests.drivers.test_openvswitch import plan
openvswitch.ensure(plan(sys.argv[2], client=sys.argv[3]), Path(sys.argv[1]) / "switch", Path(sys.argv[1]))
print("made", flush=True)
sys.stdin.readline()
"""


def plan(name: str = LAB, *, client: str = CLIENT) -> SwitchPlan:
    return SwitchPlan(
        lab_name=name,
        bridge=f"{name}-sw",
        datapath=f"{name}-dp",
        uplink=f"{name}-ser",
        trunks=(
            Trunk("brina", (f"{name}-n1l1", f"{name}-n1l2"), ()),
            Trunk("piova", (f"{name}-n2l1", f"{name}-n2l2"), ()),
        ),
        host_ports=(HostPort(f"{name}.{VLAN}", VLAN, VOICE_MAC, IPv4Interface(f"{client}/24")),),
        lacp=True,
        fast=True,
    )


def ip(*words: str) -> None:
    run(["ip", *words], timeout_s=10)


def devices(name: str = LAB) -> list[str]:
    return sorted(
        path.name for path in switch_devices.DEVICES.iterdir() if path.name.startswith((f"{name}-", f"{name}."))
    )


def pings(address: str, *, inside: str = "", source: str = "") -> bool:
    where = ["ip", "netns", "exec", inside] if inside else []
    option = ["-I", source] if source else []
    return run([*where, "ping", "-c", "2", "-i", "0.2", "-W", "1", *option, address], timeout_s=10, check=False).ok


def wait_for_ping(address: str, *, inside: str = "", source: str = "") -> None:
    """An address may have been asked for in vain just before, and is not asked for again at once."""
    wait_until(
        lambda: pings(address, inside=inside, source=source),
        what=f"an answer of {address}",
        deadline=Deadline.after(10),
    )


@dataclass(frozen=True)
class Switched:
    """A lab's switch: where it lives, and what it is to be."""

    folder: Path
    plan: SwitchPlan

    @property
    def place(self) -> Path:
        return self.folder / "switch"

    def ensure(self) -> bool:
        return openvswitch.ensure(self.plan, self.place, self.folder)

    def lacp_problems(self) -> list[str]:
        known = {trunk.name: self.peer_macs() for trunk in self.plan.trunks}
        trunks = tuple(replace(trunk, macs=known[trunk.name]) for trunk in self.plan.trunks)
        return lacp_problems(replace(self.plan, trunks=trunks), parse_lacp(openvswitch.ask(self.place, "lacp/show")))

    def peer_macs(self) -> tuple[str, ...]:
        return tuple(path.read_text().strip() for path in switch_devices.DEVICES.glob(f"{LAB}p*-sw/address"))


@pytest.fixture
def bridge() -> Iterator[str]:
    ip("link", "add", UPLINK, "type", "bridge")
    ip("address", "add", f"{HOST}/24", "dev", UPLINK)
    ip("link", "set", UPLINK, "up")
    yield UPLINK
    ip("link", "del", UPLINK)


@pytest.fixture
def switched(tmp_path: Path, bridge: str) -> Iterator[Switched]:
    # A path too long for the address of a socket, as it may be with a person's repository.
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    made = Switched(folder, plan())
    yield made
    openvswitch.stop(LAB, made.place)


class Nodes:
    """Two nodes: a switch of their own for each, with a bond on the taps, a host ``br0`` and a telephone behind it."""

    def __init__(self, folder: Path, lab: SwitchPlan) -> None:
        self.spaces: list[str] = []
        self.places = {}
        for number, trunk in enumerate(lab.trunks, start=1):
            name, place = f"{LAB}p{number}", folder / f"node{number}"
            own = SwitchPlan(name, f"{name}-sw", f"{name}-dp", "", (), (), lacp=True, fast=True)
            openvswitch._start_programs(place, folder)
            openvswitch._make_bridge(own, place)
            self.places[trunk.name] = place
            taps = [word for leg in trunk.legs for word in ("--", "set", "interface", leg, "type=tap")]
            bond = ("lacp=active", "bond_mode=balance-tcp", "other_config:lacp-time=fast", f"trunks=0,{VLAN}")
            self.tell(trunk.name, "add-bond", own.bridge, "bond0", *trunk.legs, *bond, *taps)

    def tell(self, node: str, *words: str) -> None:
        openvswitch._words(self.places[node], *words)

    def station(self, node: str, address: str, vlan: int) -> str:
        """A machine behind a node, in a network namespace; returns the name of that."""
        number = int(self.places[node].name[-1])
        port = f"{LAB}p{number}.{vlan}"
        bridge = f"{LAB}p{number}-sw"
        self.tell(node, "add-port", bridge, port, f"tag={vlan}", "--", "set", "interface", port, "type=internal")
        ip("netns", "add", port)
        self.spaces.append(port)
        ip("link", "set", port, "netns", port)
        ip("-n", port, "address", "add", f"{address}/24", "dev", port)
        ip("-n", port, "link", "set", port, "up")
        return port

    def close(self) -> None:
        for space in self.spaces:
            ip("netns", "del", space)
        for place in self.places.values():
            openvswitch.stop(f"{LAB}p{place.name[-1]}", place)


@pytest.fixture
def nodes(switched: Switched, tmp_path: Path) -> Iterator[Nodes]:
    switched.ensure()
    made = Nodes(tmp_path, switched.plan)
    yield made
    made.close()


def wait_for_lacp(switched: Switched, problems: int) -> None:
    wait_until(
        lambda: len(switched.lacp_problems()) == problems,
        what="LACP",
        deadline=Deadline.after(20),
        interval_s=0.2,
        details=lambda: [openvswitch.ask(switched.place, "lacp/show")],
    )


def test_both_nodes_negotiate_and_a_pulled_leg_costs_next_to_nothing(switched: Switched, nodes: Nodes) -> None:
    wait_for_lacp(switched, 0)
    assert carrying_text(switched.plan, parse_lacp(openvswitch.ask(switched.place, "lacp/show"))) == (
        "brina 2 of 2 legs, piova 2 of 2 legs"
    )
    nodes.station("brina", NODE, 0)
    wait_for_ping(NODE)
    pulled = switched.plan.trunks[0].legs[0]
    switch_devices.set_cable(pulled, plugged=False)
    assert switch_devices.is_pulled(pulled)
    assert switched.lacp_problems() != []
    assert pings(NODE)
    # What was pulled stays pulled, whoever looks after the switch.
    assert not switched.ensure()
    assert switch_devices.is_pulled(pulled)
    switch_devices.set_cable(pulled, plugged=True)
    wait_for_lacp(switched, 0)
    assert not switch_devices.is_pulled(pulled)


def test_a_partner_without_lacp_is_seen(switched: Switched, nodes: Nodes) -> None:
    wait_for_lacp(switched, 0)
    nodes.tell("piova", "set", "port", "bond0", "lacp=off")
    wait_for_lacp(switched, 2)
    assert all("piova" in problem for problem in switched.lacp_problems())


def test_a_vlan_is_for_its_members_only(switched: Switched, nodes: Nodes) -> None:
    wait_for_lacp(switched, 0)
    phone = nodes.station("brina", PHONE, VLAN)
    # An address of the telephones in the untagged network: a VLAN that leaks would let these two meet.
    outsider = nodes.station("piova", VOICE_NET.format(THIRD, 22), 0)
    other = nodes.station("piova", NODE, 42 + 1)
    wait_for_ping(PHONE, source=CLIENT)
    wait_for_ping(CLIENT, inside=phone)
    assert not pings(PHONE, inside=outsider)
    assert not pings(CLIENT, inside=outsider)
    assert not pings(NODE), "the nodes' trunks carry the planned VLANs only"
    assert not pings(HOST, inside=other)
    ip("netns", "exec", phone, "ip", "route", "add", "default", "via", CLIENT)
    wait_for_ping(HOST, inside=phone)
    inside = nodes.station("brina", NODE, 0)
    ip("netns", "exec", inside, "ip", "route", "add", "default", "via", HOST)
    wait_for_ping(NODE)
    assert not pings(NODE, inside=phone), "the host is no way out of the VLAN"
    stations = parse_stations(openvswitch.ask(switched.place, "fdb/show", switched.plan.bridge))
    address = run(["ip", "netns", "exec", phone, "cat", f"/sys/class/net/{phone}/address"], timeout_s=5).stdout.strip()
    assert strangers(stations, VLAN, (VOICE_MAC, address)) == []
    assert strangers(stations, VLAN, ()) == sorted((VOICE_MAC, address))
    beside = run(["bridge", "fdb", "show", "br", UPLINK], timeout_s=5).stdout
    assert address not in beside, "tagged frames reach the host's side of the service network"


def test_the_host_answers_from_its_bridge_and_from_no_leg(switched: Switched, nodes: Nodes) -> None:
    """The kernel hears what comes from a node, too, and would answer ARP from the leg, with its useless MAC address."""
    wait_for_lacp(switched, 0)
    inside = nodes.station("brina", NODE, 0)
    own = (switch_devices.DEVICES / UPLINK / "address").read_text().strip()
    for _ in range(5):
        ip("-n", inside, "neighbour", "flush", "all")
        wait_for_ping(HOST, inside=inside)
        seen = run(["ip", "-n", inside, "neighbour", "show", HOST], timeout_s=5).stdout.split()
        assert seen[seen.index("lladdr") + 1] == own


@pytest.mark.parametrize("vlan", [0, VLAN])
def test_much_data_gets_through_unharmed(switched: Switched, nodes: Nodes, vlan: int) -> None:
    """Segments that the sender leaves to the card, check sums that it leaves open: TCP shows what ping does not."""
    wait_for_lacp(switched, 0)
    server = PHONE if vlan else NODE
    space = nodes.station("brina", server, vlan)
    script = (
        "import socket, sys, hashlib\n"
        f"s = socket.create_server(('{server}', 7000)); print('ready', flush=True); c, _ = s.accept()\n"
        "c.sendall(bytes(range(256)) * 8192); c.shutdown(1)\n"
        "got = b''.join(iter(lambda: c.recv(65536), b'')); print(hashlib.sha256(got).hexdigest())\n"
    )
    process = subprocess.Popen(
        ["ip", "netns", "exec", space, sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        with closing(socket.create_connection((server, 7000), timeout=10)) as connection:
            data = b"".join(iter(lambda: connection.recv(65536), b""))
            assert data == bytes(range(256)) * 8192
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            assert process.stdout.readline().strip() == hashlib.sha256(data).hexdigest()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_made_once_and_nothing_is_left(switched: Switched) -> None:
    assert switched.ensure()
    ids = openvswitch.processes(switched.place)
    assert len(ids) == 2
    assert not switched.ensure()
    assert openvswitch.processes(switched.place) == ids
    assert openvswitch.stop(LAB, switched.place)
    assert openvswitch.processes(switched.place) == []
    assert devices() == [UPLINK]
    assert not switched.place.exists()
    assert not openvswitch.stop(LAB, switched.place)


@pytest.mark.parametrize("program", [openvswitch.SWITCH, openvswitch.DATABASE])
def test_a_killed_program_is_noticed_and_replaced(switched: Switched, nodes: Nodes, program: str) -> None:
    wait_for_lacp(switched, 0)
    for number in openvswitch.processes(switched.place):
        if Path(f"/proc/{number}/comm").read_text().strip() == program:
            os.kill(number, signal.SIGKILL)
    wait_until(lambda: len(openvswitch.processes(switched.place)) == 1, what="it to end", deadline=Deadline.after(5))
    assert switched.ensure()
    wait_for_lacp(switched, 0)
    nodes.station("brina", PHONE, VLAN)
    wait_for_ping(PHONE, source=CLIENT)


def test_another_plan_replaces_the_switch(switched: Switched) -> None:
    assert switched.ensure()
    single = Switched(switched.folder, replace(switched.plan, lacp=False))
    assert single.ensure()
    assert parse_lacp(openvswitch.ask(single.place, "lacp/show")) == {}


def test_found_after_the_run_that_made_it_was_killed(switched: Switched) -> None:
    argv = [sys.executable, "-c", START, str(switched.folder), LAB, CLIENT]
    maker = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert maker.stdout is not None and maker.stdin is not None
    with maker:
        assert maker.stdout.readline() == "made\n"
        maker.send_signal(signal.SIGKILL)
    assert len(openvswitch.processes(switched.place)) == 2
    assert not switched.ensure()
    for number in openvswitch.processes(switched.place):
        os.kill(number, signal.SIGKILL)
    assert len(devices()) > 1, "its devices outlive it"
    assert openvswitch.stop(LAB, switched.place)
    assert devices() == [UPLINK]


@pytest.mark.parametrize("folder_is_gone", [False, True])
def test_lab_down_finds_a_switch_by_looking(switched: Switched, folder_is_gone: bool) -> None:
    """Without any node, and also when somebody has removed the folder of the lab."""
    build = switched.folder / "build"
    place = switching.place(build / LAB)
    openvswitch.ensure(switched.plan, place, build / LAB / "logs")
    ids = openvswitch.processes(place)
    if folder_is_gone:
        shutil.rmtree(build / LAB)
    outcome = down(Options(topology=ROOT / "topologies/switch.yaml", name=LAB, build=build), keep=False)
    assert "Open vSwitch" in outcome.document["removed"]
    assert openvswitch.processes(place) == []
    assert not any(Path(f"/proc/{number}").exists() for number in ids)
    assert devices() == [UPLINK]


def test_two_labs_side_by_side(switched: Switched, tmp_path: Path) -> None:
    other = f"{LAB}b"
    ip("link", "add", f"{other}-ser", "type", "bridge")
    second = Switched(tmp_path / "second", replace(plan(other), host_ports=()))
    try:
        switched.ensure()
        second.folder.mkdir()
        second.ensure()
        assert not switch_devices.exists(openvswitch.COMMON_DEVICE)
        openvswitch.stop(LAB, switched.place)
        assert not second.ensure(), "the other one goes on"
    finally:
        openvswitch.stop(other, second.place)
        ip("link", "del", f"{other}-ser")


def test_a_switch_of_somebody_else_is_not_touched(
    switched: Switched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system's own would be, with a datapath in user space: it has the device that only one can have."""
    name = f"{LAB}x"
    place = tmp_path / "theirs"
    monkeypatch.setattr(openvswitch, "START_LIMIT_S", 1.0)
    openvswitch._start_programs(place, tmp_path)
    try:
        openvswitch._words(place, "add-br", f"{name}-sw", "--", "set", "bridge", f"{name}-sw", "datapath_type=netdev")
        with pytest.raises(LabError, match=openvswitch.COMMON_DEVICE):
            switched.ensure()
        openvswitch.stop(LAB, switched.place)
        assert switch_devices.holders(openvswitch.COMMON_DEVICE) <= set(openvswitch.processes(place))
        assert switch_devices.exists(openvswitch.COMMON_DEVICE)
    finally:
        openvswitch.stop(name, place)
    assert not switch_devices.exists(openvswitch.COMMON_DEVICE)


def test_a_missing_bridge_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError):
        openvswitch.ensure(plan(), tmp_path / "switch", tmp_path)
    openvswitch.stop(LAB, tmp_path / "switch")
    assert devices() == []
