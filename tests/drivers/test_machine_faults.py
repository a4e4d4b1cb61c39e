"""What libvirt does to a tiny domain in real QEMU: pause it, pull its cable for good, slow its disk down."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run
from lab.drivers import machine_faults, switch_devices
from lab.drivers.hypervisor import Hypervisor

NAME = f"faulttest{os.getpid()}"
DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>16</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='{name}' volume='disk'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/><alias name='ua-leg1'/></interface>
<interface type='user'><mac address='52:54:00:00:00:02'/><model type='virtio'/><alias name='ua-leg2'/></interface>
<interface type='ethernet'><mac address='52:54:00:00:00:04'/><target dev='{byvagrant}'/><model type='virtio'/>
<alias name='ua-net-0'/></interface>
{switched}
<interface type='network'><mac address='52:54:00:00:00:05'/><source network='{name}-a'/><target dev='{bridged}'/>
<model type='virtio'/><alias name='ua-bridged'/></interface>
<interface type='network'><mac address='52:54:00:00:00:06'/><source network='{name}-b'/><model type='virtio'/>
</interface>
<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"""
TAP = f"flt{os.getpid() % 100_000}-n1l1"
#: Vagrant numbers the aliases of cards, and lets only their other ends have names.
BY_VAGRANT = f"flt{os.getpid() % 100_000}-n1m"
BRIDGED = f"flt{os.getpid() % 100_000}-br"
BRIDGES = {letter: f"flb{os.getpid() % 100_000}{letter}" for letter in "ab"}
#: Of a guest that is somewhere behind a port.
GUEST_MAC = "52:54:00:00:aa:01"
SWITCHED = (
    f"<interface type='ethernet'><mac address='52:54:00:00:00:03'/><target dev='{TAP}' managed='no'/>"
    "<model type='virtio'/><alias name='ua-switched'/></interface>"
)


@pytest.fixture
def hypervisor() -> Iterator[Hypervisor]:
    # QEMU runs as another user and has to get to the disk.
    place = Path("/var/lib/libvirt/images") / NAME
    connected = Hypervisor("qemu:///system")
    try:
        connected.ensure_pool(f"<pool type='dir'><name>{NAME}</name><target><path>{place}</path></target></pool>")
        connected.upload_volume(NAME, "disk", bytes(1 << 20))
        switch_devices.make_leg(TAP)
        for letter, bridge in BRIDGES.items():
            connected.connection.networkCreateXML(
                f"<network><name>{NAME}-{letter}</name><bridge name='{bridge}' stp='off' delay='0'/></network>"
            )
        text = DOMAIN.format(name=NAME, uuid=uuid.uuid4(), switched=SWITCHED, byvagrant=BY_VAGRANT, bridged=BRIDGED)
        connected.define_domain(text)
        connected.start(NAME)
        yield connected
    finally:
        connected.remove_domain(NAME)
        for network in connected.connection.listAllNetworks():
            if network.name() in [f"{NAME}-{letter}" for letter in BRIDGES]:
                network.destroy()
        connected.remove_pool(NAME)
        switch_devices.delete(TAP)
        connected.close()


def test_a_domain_is_paused_and_goes_on(hypervisor: Hypervisor) -> None:
    machine_faults.suspend(hypervisor, NAME)
    assert hypervisor.state(NAME) == "paused"
    hypervisor.start(NAME)
    assert hypervisor.state(NAME) == "running"
    machine_faults.reset(hypervisor, NAME)
    assert hypervisor.state(NAME) == "running"


def test_a_pulled_cable_stays_pulled_when_the_domain_is_fenced(hypervisor: Hypervisor) -> None:
    assert machine_faults.links_down(hypervisor, NAME) == []
    machine_faults.set_link(hypervisor, NAME, "leg2", up=False)
    assert machine_faults.links_down(hypervisor, NAME) == ["leg2"]
    hypervisor.power_off(NAME)
    assert machine_faults.links_down(hypervisor, NAME) == ["leg2"]
    hypervisor.start(NAME)
    assert machine_faults.links_down(hypervisor, NAME) == ["leg2"]
    machine_faults.set_link(hypervisor, NAME, "leg2", up=True)
    assert machine_faults.links_down(hypervisor, NAME) == []


def test_a_card_that_vagrant_has_attached_is_known_by_its_other_end(hypervisor: Hypervisor) -> None:
    machine_faults.set_link(hypervisor, NAME, "management", up=False)
    assert machine_faults.links_down(hypervisor, NAME) == ["management"]
    hypervisor.power_off(NAME)
    assert machine_faults.links_down(hypervisor, NAME) == ["management"]
    hypervisor.start(NAME)
    machine_faults.set_link(hypervisor, NAME, "management", up=True)
    assert machine_faults.links_down(hypervisor, NAME) == []


def test_a_pulled_cable_of_the_switch_has_two_ends(hypervisor: Hypervisor) -> None:
    """libvirt leaves the switch's end alone: what it does to its own does not show there, and starting it neither."""

    def carrier() -> bool:
        return (switch_devices.DEVICES / TAP / "operstate").read_text().strip() == "up"

    wait_until(carrier, what="the tap to have a carrier", deadline=Deadline.after(5))
    machine_faults.set_link(hypervisor, NAME, "switched", up=False)
    assert switch_devices.is_pulled(TAP)
    assert not carrier()
    hypervisor.power_off(NAME)
    hypervisor.start(NAME)
    assert switch_devices.is_pulled(TAP)
    assert machine_faults.links_down(hypervisor, NAME) == ["switched"]
    machine_faults.set_link(hypervisor, NAME, "switched", up=True)
    wait_until(carrier, what="the tap to have a carrier", deadline=Deadline.after(5))
    assert machine_faults.links_down(hypervisor, NAME) == []
    # One end alone, as a killed run leaves it, is a pulled cable, too.
    switch_devices.set_cable(TAP, plugged=False)
    assert machine_faults.links_down(hypervisor, NAME) == ["switched"]


def learnt(port: str) -> list[str]:
    """Addresses that a bridge has learnt at a port."""
    text = run(["bridge", "fdb", "show", "dynamic", "brport", port], timeout_s=10).stdout
    return [line.split()[0] for line in text.splitlines()]


def bridge_of(port: str) -> str:
    return (switch_devices.DEVICES / port / "master").resolve().name


def test_a_bridge_forgets_who_was_behind_a_pulled_cable(hypervisor: Hypervisor) -> None:
    run(["bridge", "fdb", "replace", GUEST_MAC, "dev", BRIDGED, "master", "dynamic"], timeout_s=10)
    assert learnt(BRIDGED) == [GUEST_MAC]
    machine_faults.set_link(hypervisor, NAME, "bridged", up=False)
    assert learnt(BRIDGED) == []
    assert bridge_of(BRIDGED) == BRIDGES["a"]
    assert machine_faults.links_down(hypervisor, NAME) == ["bridged"]
    machine_faults.set_link(hypervisor, NAME, "bridged", up=True)
    assert machine_faults.links_down(hypervisor, NAME) == []
    assert bridge_of(BRIDGED) == BRIDGES["a"]


def test_a_cable_that_a_killed_run_left_out_of_its_bridge_is_plugged_in_there(hypervisor: Hypervisor) -> None:
    domain = hypervisor.connection.lookupByName(NAME)
    lost = (
        f"<interface type='network'><mac address='52:54:00:00:00:05'/><source network='{NAME}-b'/>"
        f"<target dev='{BRIDGED}'/><model type='virtio'/><link state='down'/><alias name='ua-bridged'/></interface>"
    )
    domain.updateDeviceFlags(lost, machine_faults.LIVE)
    assert bridge_of(BRIDGED) == BRIDGES["b"]
    assert machine_faults.links_down(hypervisor, NAME) == ["bridged"]
    machine_faults.set_link(hypervisor, NAME, "bridged", up=True)
    assert bridge_of(BRIDGED) == BRIDGES["a"]


def test_a_disk_is_throttled_and_let_go(hypervisor: Hypervisor) -> None:
    assert machine_faults.throttles(hypervisor, NAME) == {}
    machine_faults.throttle(hypervisor, NAME, "vda", 40)
    assert machine_faults.throttles(hypervisor, NAME) == {"vda": 40}
    hypervisor.power_off(NAME)
    assert machine_faults.throttles(hypervisor, NAME) == {"vda": 40}
    machine_faults.throttle(hypervisor, NAME, "vda", 0)
    assert machine_faults.throttles(hypervisor, NAME) == {}


def test_what_is_not_there_is_told(hypervisor: Hypervisor) -> None:
    with pytest.raises(LabError, match="no interface leg3"):
        machine_faults.set_link(hypervisor, NAME, "leg3", up=False)
    hypervisor.power_off(NAME)
    with pytest.raises(LabError, match="cannot be paused"):
        machine_faults.suspend(hypervisor, NAME)
