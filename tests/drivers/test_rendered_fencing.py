"""The rendered fence_virt.conf, read by a real fence_virtd: who may switch off what, and who may not.

The lab's management network is laid onto 127.0.0.0/24 here, so the daemon listens on 127.0.0.1 and the nodes are
127.0.0.11 and 127.0.0.12. The client cannot choose its own address; a relay speaks to the daemon from the one wanted.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path

import libvirt
import pytest

from lab.core import addressing
from lab.core.model import Fencing, Lab
from lab.core.render import render_lab
from lab.doors.process import Result, run
from lab.doors.templates import load_templates
from lab.drivers import fencing
from lab.drivers.seed import make_iso
from tests.golden.example import ROOT, example_images, example_lab, example_secrets

NAME = "rfence"
OTHER = "rfence-bystander"
OTHER_UUID = "0a1b2c3d-0000-4000-8000-00000000f00d"
TINY = """<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>"""


@dataclass(frozen=True)
class Setting:
    """A running fence_virtd and the domains around it."""

    lab: Lab
    connection: libvirt.virConnect
    key: Path
    port: int

    def ask(self, source: str, operation: str, target: str = "", key: Path | None = None) -> Result:
        with relay(source, "127.0.0.1", self.port) as port:
            argv = [
                "fence_virt",
                "-T",
                "127.0.0.1",
                "-p",
                str(port),
                "-k",
                str(key or self.key),
                "-o",
                operation,
                "-t",
                "8",
            ]
            return run([*argv, *(["-n", target] if target else [])], timeout_s=60, check=False)

    def running(self, name: str) -> bool:
        return bool(self.connection.lookupByName(name).isActive())


@contextlib.contextmanager
def relay(source: str, address: str, port: int) -> Iterator[int]:
    """A port on 127.0.0.1 that leads to the daemon, arriving there from ``source``."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near, _ = server.accept()
                    far = socket.create_connection((address, port), timeout=30, source_address=(source, 0))
                    for one, other in ((near, far), (far, near)):
                        threading.Thread(target=pump, args=(one, other), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def domains() -> Iterator[libvirt.virConnect]:
    connection = libvirt.open("qemu:///system")
    wanted = {f"{NAME}-{node}": str(addressing.domain_uuid(NAME, node)) for node in example_lab().node_names}
    wanted[OTHER] = OTHER_UUID
    made = []
    try:
        for name, uuid in wanted.items():
            domain = connection.defineXML(TINY.format(name=name, uuid=uuid))
            made.append(domain)
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        yield connection
    finally:
        for domain in made:
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        connection.close()


@pytest.fixture(scope="module")
def setting(domains: libvirt.virConnect, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder = tmp_path_factory.mktemp("fencing")
    port = free_port()
    lab = replace(example_lab(), name=NAME, fencing=Fencing(port=port))
    lab = replace(lab, network=replace(lab.network, management_subnet=IPv4Network("127.0.0.0/24")))
    secrets = example_secrets(lab)
    tree = render_lab(lab, secrets, example_images(lab), load_templates(ROOT), make_iso=make_iso, directory=str(folder))
    (folder / "secrets").mkdir()
    key = folder / "secrets" / "fence_xvm.key"
    key.write_bytes(secrets.fence_key)
    configuration = folder / "fence_virt.conf"
    configuration.write_bytes(tree["fence_virt.conf"])
    try:
        fencing.start(configuration, address="127.0.0.1", port=port, working_folder=folder, log=folder / "log")
        yield Setting(lab, domains, key, port)
    finally:
        fencing.stop(configuration)


BRINA, PIOVA, FOREIGN = "127.0.0.11", "127.0.0.12", "127.0.0.13"


def uuid_of(node: str) -> str:
    return str(addressing.domain_uuid(NAME, node))


def test_a_node_sees_the_labs_own_domains_only(setting: Setting) -> None:
    answer = setting.ask(BRINA, "list")
    assert answer.ok, answer.stderr
    assert uuid_of("brina") in answer.stdout
    assert uuid_of("piova") in answer.stdout
    assert OTHER_UUID not in answer.stdout
    assert OTHER not in answer.stdout


def test_a_foreign_address_sees_nothing(setting: Setting) -> None:
    answer = setting.ask(FOREIGN, "list")
    assert uuid_of("brina") not in answer.stdout
    assert OTHER_UUID not in answer.stdout


@pytest.mark.parametrize("operation", ["off", "reboot"])
def test_a_foreign_address_fences_nobody(setting: Setting, operation: str) -> None:
    before = setting.connection.lookupByName(f"{NAME}-piova").ID()
    assert not setting.ask(FOREIGN, operation, uuid_of("piova")).ok
    assert setting.connection.lookupByName(f"{NAME}-piova").ID() == before


@pytest.mark.parametrize("target", [OTHER_UUID, OTHER])
def test_a_node_cannot_fence_a_stranger(setting: Setting, target: str) -> None:
    assert not setting.ask(BRINA, "off", target).ok
    assert setting.running(OTHER)


def test_without_the_key_nothing_happens(setting: Setting, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.key"
    wrong.write_bytes(b"x" * 4096)
    assert not setting.ask(BRINA, "off", uuid_of("piova"), key=wrong).ok
    assert setting.running(f"{NAME}-piova")


def test_reboot_starts_the_domain_again(setting: Setting) -> None:
    before = setting.connection.lookupByName(f"{NAME}-piova").ID()
    answer = setting.ask(BRINA, "reboot", uuid_of("piova"))
    assert answer.ok, answer.stderr
    assert setting.running(f"{NAME}-piova")
    assert setting.connection.lookupByName(f"{NAME}-piova").ID() != before


def test_off_then_fencing_it_once_more_then_on(setting: Setting) -> None:
    """A node that a crash has already switched off counts as fenced."""
    name = f"{NAME}-brina"
    assert setting.ask(PIOVA, "status", uuid_of("brina")).returncode == 0
    assert setting.ask(PIOVA, "off", uuid_of("brina")).ok
    assert not setting.running(name)
    assert setting.ask(PIOVA, "status", uuid_of("brina")).returncode == 2
    assert setting.ask(PIOVA, "off", uuid_of("brina")).ok
    assert setting.ask(PIOVA, "reboot", uuid_of("brina")).ok
    assert not setting.running(name)
    assert setting.ask(PIOVA, "on", uuid_of("brina")).ok
    assert setting.running(name)
