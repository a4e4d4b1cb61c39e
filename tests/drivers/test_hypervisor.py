"""The libvirt driver: domains and networks in libvirt's own test driver, disks in the real one.

Everything is made under names of this process's own and removed again; no other lab of the machine is touched.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import pytest

from lab.core.errors import LabError
from lab.drivers import volume_stream
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import down
from tests.golden.example import at_subnets, example_lab, rendered

NAME = f"hvtest{os.getpid()}"
LAB = at_subnets(example_lab(), "hvtest")
TREE = rendered(LAB)
DOMAIN = "hvtest-brina"
NETWORK = "hvtest-service"


# Domains, networks and pools, in the test driver


@pytest.fixture
def pretended(tmp_path: Path) -> Iterator[Hypervisor]:
    """The test driver with a machine of its own, whose domains can do everything but run."""
    machine = tmp_path / "machine.xml"
    machine.write_text("<node></node>")
    hypervisor = Hypervisor(f"test://{machine}")
    yield hypervisor
    hypervisor.close()


def xml(path: str) -> str:
    return TREE[path].decode()


def test_logs_of_a_node_that_somebody_else_removed_go_with_the_lab(
    pretended: Hypervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vagrant destroy brina`, say; a machine of that name that is nobody's lab keeps its own."""
    monkeypatch.setattr(down, "LIBVIRT_LOGS", tmp_path)
    stranger = "<domain type='test'><name>hvtest-piova</name><memory>8192</memory><os><type>hvm</type></os></domain>"
    pretended.define_domain(stranger)
    for name in ("hvtest-brina", "hvtest-piova", "hvtest-brinas"):
        (tmp_path / f"{name}.log").write_text("started\n")
        (tmp_path / f"{name}-console.log").write_text("booted\n")
    assert down._remove_from_libvirt(LAB, pretended) == []
    assert {path.name.removesuffix(".log").removesuffix("-console") for path in tmp_path.glob("*.log")} == {
        "hvtest-piova",
        "hvtest-brinas",
    }


def test_a_domain_from_definition_to_removal(pretended: Hypervisor) -> None:
    assert pretended.state(DOMAIN) == "missing"
    assert pretended.definition(DOMAIN) == ""
    pretended.define_domain(xml("libvirt/domains/brina.xml"))
    assert pretended.state(DOMAIN) == "off"
    assert f"<name>{DOMAIN}</name>" in pretended.definition(DOMAIN)
    assert pretended.start(DOMAIN)
    assert pretended.state(DOMAIN) == "running"
    assert not pretended.start(DOMAIN)
    pretended.connection.lookupByName(DOMAIN).suspend()
    assert pretended.state(DOMAIN) == "paused"
    assert pretended.start(DOMAIN)
    assert pretended.state(DOMAIN) == "running"
    assert pretended.power_off(DOMAIN)
    assert not pretended.power_off(DOMAIN)
    assert pretended.state(DOMAIN) == "off"
    pretended.start(DOMAIN)
    pretended.shutdown(DOMAIN)
    assert pretended.state(DOMAIN) == "off"
    pretended.start(DOMAIN)
    assert pretended.remove_domain(DOMAIN)
    assert pretended.state(DOMAIN) == "missing"
    assert not pretended.remove_domain(DOMAIN)
    assert not pretended.power_off(DOMAIN)


def test_a_definition_is_updated_in_place(pretended: Hypervisor) -> None:
    text = xml("libvirt/domains/brina.xml")
    pretended.define_domain(text)
    assert text.count("<title>") == 1
    pretended.define_domain(text.replace("<title>", "<title>second ", 1))
    assert "<title>second " in pretended.definition(DOMAIN)
    assert [each.name for each in pretended.owned_domains()] == [DOMAIN]


def test_domains_are_known_by_their_marks_and_not_by_their_names(pretended: Hypervisor) -> None:
    other = rendered(at_subnets(replace(example_lab(), name="hvother"), "hvother"))
    for node in ("piova", "brina"):
        pretended.define_domain(xml(f"libvirt/domains/{node}.xml"))
    pretended.define_domain(other["libvirt/domains/brina.xml"].decode())
    # What a person made, under a name like those of the lab.
    pretended.define_domain(
        "<domain type='test'><name>hvtest-passata</name><memory>8192</memory><os><type>hvm</type></os></domain>"
    )
    pretended.start("hvtest-piova")
    found = pretended.owned_domains("hvtest")
    assert [(each.name, each.lab, each.node, each.state) for each in found] == [
        ("hvtest-brina", "hvtest", "brina", "off"),
        ("hvtest-piova", "hvtest", "piova", "running"),
    ]
    assert [each.name for each in pretended.owned_domains()] == ["hvother-brina", "hvtest-brina", "hvtest-piova"]
    assert pretended.owned_domains("hvtes") == []


def test_a_domain_without_a_mark_is_known_by_a_uuid_that_follows_from_its_name(pretended: Hypervisor) -> None:
    """Vagrant defines domains without a mark."""
    text = xml("libvirt/domains/brina.xml")
    bare = text[: text.index("<metadata>")] + text[text.index("</metadata>") + len("</metadata>") :]
    pretended.define_domain(bare)
    (found,) = pretended.owned_domains("hvtest")
    assert (found.name, found.lab, found.node, found.driver) == ("hvtest-brina", "hvtest", "brina", "vagrant")
    pretended.remove_domain(DOMAIN)
    pretended.define_domain(bare.replace("hvtest-brina", "hvtest-piova"))
    assert pretended.owned_domains() == []
    pretended.remove_domain("hvtest-piova")
    pretended.define_domain(text)
    assert [each.driver for each in pretended.owned_domains()] == ["libvirt"]


def test_networks_are_made_once_and_removed(pretended: Hypervisor) -> None:
    assert not pretended.has_network(NETWORK)
    assert pretended.ensure_network(xml("libvirt/networks/service.xml"))
    assert not pretended.ensure_network(xml("libvirt/networks/service.xml"))
    assert pretended.has_network(NETWORK)
    pretended.connection.networkLookupByName(NETWORK).destroy()
    assert pretended.ensure_network(xml("libvirt/networks/service.xml"))
    assert pretended.remove_network(NETWORK)
    assert not pretended.remove_network(NETWORK)
    assert not pretended.has_network(NETWORK)


@pytest.mark.parametrize(
    "change",
    [("<on_crash>", "<on_clash>"), ("<devices>", "<devices><gadget/>"), ("<name>", "<nickname>x</nickname><name>")],
)
def test_unknown_elements_are_refused(pretended: Hypervisor, change: tuple[str, str]) -> None:
    text = xml("libvirt/domains/brina.xml").replace(*change, 1).replace("</on_crash>", f"</{change[1][1:9]}>", 1)
    text = text if change[0] == "<on_crash>" else xml("libvirt/domains/brina.xml").replace(*change, 1)
    with pytest.raises(LabError, match=f"domain {DOMAIN} cannot be defined"):
        pretended.define_domain(text)
    assert pretended.state(DOMAIN) == "missing"


def test_what_is_not_there_is_told_by_name(pretended: Hypervisor) -> None:
    with pytest.raises(LabError, match="domain nobody cannot be started: ") as caught:
        pretended.start("nobody")
    assert "/var/log/libvirt/qemu/nobody.log" in caught.value.remedy
    with pytest.raises(LabError, match="domain nobody cannot be shut down: "):
        pretended.shutdown("nobody")
    with pytest.raises(LabError, match=r"volume brina-storage.qcow2 cannot be created: "):
        pretended.create_volume("nowhere", xml("libvirt/volumes/brina-storage.xml"))
    with pytest.raises(LabError, match="volume some cannot be filled: "):
        pretended.upload_volume("nowhere", "some", b"content")
    with pytest.raises(LabError, match=r"volume some cannot be filled: .*no-such-file"):
        pretended.upload_volume("nowhere", "some", Path("no-such-file"))
    pretended.delete_volume("nowhere", "some")


def test_a_network_that_is_wrong_is_told(pretended: Hypervisor) -> None:
    with pytest.raises(LabError, match=f"network {NETWORK} cannot be started: ") as caught:
        pretended.ensure_network(xml("libvirt/networks/service.xml").replace("<ip address='", "<ip address='x", 1))
    assert "lab.doctor" in caught.value.remedy


def test_a_libvirt_that_is_not_there_is_told() -> None:
    with pytest.raises(
        LabError, match=r"libvirt at qemu\+unix:///system\?socket=/no/such cannot be reached: "
    ) as caught:
        Hypervisor("qemu+unix:///system?socket=/no/such")
    assert "group libvirt" in caught.value.remedy


def test_the_uri_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "test:///default")
    hypervisor = Hypervisor()
    assert hypervisor.uri == "test:///default"
    hypervisor.close()


def test_the_end_of_a_console_is_shown_without_its_colours(pretended: Hypervisor, tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    text = xml("libvirt/domains/brina.xml")
    start = text.index("<log file=")
    pretended.define_domain(text[:start] + f"<log file='{log}' append='on'/>" + text[text.index("/>", start) + 2 :])
    assert pretended.console_tail(DOMAIN) == []
    log.write_bytes(b"".join(b"\x1b[0;32mline %d\x1b[0m\r\n\r\n" % number for number in range(40)) + b"\xff end")
    assert pretended.console_tail(DOMAIN, 3) == ["line 38", "line 39", "\N{REPLACEMENT CHARACTER} end"]
    assert pretended.console_tail("nobody") == []


# Disks, in the real driver


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[Hypervisor]:
    connected = Hypervisor("qemu:///system")
    yield connected
    connected.close()


@pytest.fixture
def pool(hypervisor: Hypervisor, tmp_path: Path) -> Iterator[Path]:
    """A pool of this process, in a folder of the test."""
    place = tmp_path / "pool"
    try:
        hypervisor.ensure_pool(
            f"<pool type='dir'><name>{NAME}</name><uuid>{uuid.uuid4()}</uuid>"
            f"<target><path>{place}</path></target></pool>"
        )
        yield place
    finally:
        hypervisor.remove_pool(NAME)
    assert not hypervisor.has_pool(NAME)
    assert not place.exists()


def allocated_kib(path: Path) -> int:
    return path.stat().st_blocks // 2


def test_a_pool_is_made_once(hypervisor: Hypervisor, pool: Path) -> None:
    made = hypervisor.connection.storagePoolLookupByName(NAME).UUIDString()
    again = hypervisor.ensure_pool(
        f"<pool type='dir'><name>{NAME}</name><target><path>{pool}-other</path></target></pool>"
    )
    assert again.UUIDString() == made
    again.destroy()
    assert hypervisor.volume_names(NAME) == set()
    assert hypervisor.ensure_pool(again.XMLDesc(0)).isActive()


@pytest.mark.parametrize("size", [0, 1, 511, 4096, 1_000_000, 2_500_001])
def test_bytes_arrive_whole(hypervisor: Hypervisor, pool: Path, size: int) -> None:
    content = os.urandom(size)
    hypervisor.upload_volume(NAME, "bytes", content)
    assert (pool / "bytes").read_bytes() == content
    assert (pool / "bytes").stat().st_mode & 0o777 == 0o600
    assert hypervisor.volume_names(NAME) == {"bytes"}


def test_a_volume_of_the_same_name_is_replaced(hypervisor: Hypervisor, pool: Path) -> None:
    hypervisor.upload_volume(NAME, "seed.iso", b"a" * 5000)
    hypervisor.upload_volume(NAME, "seed.iso", b"b" * 10)
    assert (pool / "seed.iso").read_bytes() == b"b" * 10


MIB = 2**20
LAYOUTS = {
    "empty": (0, {}),
    "dense": (3 * MIB, {0: 3 * MIB}),
    "one hole": (16 * MIB, {}),
    "hole first": (16 * MIB, {12 * MIB: MIB}),
    "hole last": (16 * MIB, {0: MIB}),
    "holes between": (32 * MIB, {0: 4096, 8 * MIB: 3 * MIB, 20 * MIB: 8192, 31 * MIB: MIB}),
    "odd size": (8 * MIB + 777, {4 * MIB: 5000}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_arrive_whole_and_their_holes_stay_holes(
    hypervisor: Hypervisor, pool: Path, tmp_path: Path, layout: str
) -> None:
    size, parts = LAYOUTS[layout]
    source = tmp_path / "source"
    with source.open("wb") as file:
        for start, length in parts.items():
            file.seek(start)
            file.write(os.urandom(length))
        file.truncate(size)
    hypervisor.upload_volume(NAME, "image", source)
    copy = pool / "image"
    assert copy.stat().st_size == size
    assert copy.read_bytes() == source.read_bytes()
    assert allocated_kib(copy) <= allocated_kib(source) + 256
    if sum(parts.values()) < size // 2:
        assert allocated_kib(copy) * 1024 < size // 2


def test_an_overlay_is_made_on_another_volume(hypervisor: Hypervisor, pool: Path) -> None:
    hypervisor.upload_volume(NAME, "base", b"\0" * MIB)
    hypervisor.create_volume(
        NAME,
        "<volume><name>over.qcow2</name><capacity unit='MiB'>8</capacity><target><format type='qcow2'/></target>"
        f"<backingStore><path>{pool}/base</path><format type='raw'/></backingStore></volume>",
    )
    assert hypervisor.volume_names(NAME) == {"base", "over.qcow2"}
    assert (pool / "over.qcow2").read_bytes()[:4] == b"QFI\xfb"
    with pytest.raises(LabError, match=r"volume over.qcow2 cannot be created: .*exists"):
        hypervisor.create_volume(
            NAME,
            "<volume><name>over.qcow2</name><capacity unit='MiB'>8</capacity>"
            "<target><format type='qcow2'/></target></volume>",
        )
    hypervisor.delete_volume(NAME, "over.qcow2")
    hypervisor.delete_volume(NAME, "over.qcow2")
    assert hypervisor.volume_names(NAME) == {"base"}


@pytest.mark.parametrize("kind", ["bytes", "file"])
def test_half_a_volume_is_not_left_behind(
    hypervisor: Hypervisor, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The source breaks in the middle, as a disk that cannot be read or a person at the keyboard."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 * MIB))

    def broken(stream: Any, _content: Any) -> None:
        stream.send(b"x" * 1000)
        raise KeyboardInterrupt

    monkeypatch.setattr(volume_stream, "_send_bytes" if kind == "bytes" else "_send_file", broken)
    with pytest.raises(KeyboardInterrupt):
        hypervisor.upload_volume(NAME, "half", source.read_bytes() if kind == "bytes" else source)
    assert hypervisor.volume_names(NAME) == set()
    assert list(pool.iterdir()) == []
    monkeypatch.undo()
    # The connection is as good as before.
    hypervisor.upload_volume(NAME, "half", source)
    assert (pool / "half").read_bytes() == source.read_bytes()


def test_a_file_that_shrinks_while_it_is_read_is_told(
    hypervisor: Hypervisor, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(MIB))

    def unreadable(_descriptor: int, _count: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", unreadable)
    with pytest.raises(LabError, match="volume image cannot be filled"):
        hypervisor.upload_volume(NAME, "image", source)
    monkeypatch.undo()
    assert list(pool.iterdir()) == []


def test_a_pool_is_removed_with_all_that_is_in_it_also_when_it_is_off(hypervisor: Hypervisor, pool: Path) -> None:
    hypervisor.upload_volume(NAME, "one", b"1")
    (pool / "made by someone else").write_bytes(b"2")
    hypervisor.connection.storagePoolLookupByName(NAME).destroy()
    assert hypervisor.volume_names(NAME) == set()
    assert hypervisor.has_pool(NAME)
    assert hypervisor.remove_pool(NAME)
    assert not pool.exists()
    assert not hypervisor.remove_pool(NAME)


def test_a_domain_is_defined_and_forgotten_by_the_real_driver(hypervisor: Hypervisor) -> None:
    """Defined only: a start would need the networks and images of a lab."""
    name = f"{NAME}-brina"
    text = xml("libvirt/domains/brina.xml").replace(f"<name>{DOMAIN}</name>", f"<name>{name}</name>")
    start = text.index("<uuid>")
    text = text[:start] + f"<uuid>{uuid.uuid4()}</uuid>" + text[text.index("</uuid>") + 7 :]
    text = text.replace('name="hvtest" node=', f'name="{NAME}" node=')
    try:
        hypervisor.define_domain(text)
        assert [each.name for each in hypervisor.owned_domains(NAME)] == [name]
        assert hypervisor.state(name) == "off"
    finally:
        assert hypervisor.remove_domain(name)
    with pytest.raises(libvirt.libvirtError):
        hypervisor.connection.lookupByName(name)
