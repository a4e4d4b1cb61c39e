"""What is rendered for libvirt, read by libvirt: its schemas, and its parsers in the driver ``test:///default``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from lab.doors.process import run
from tests.golden.example import example_lab, rendered, switch_lab, unlike_lab

TREES = {"two-node": rendered(example_lab()), "kvm-unfenced": rendered(unlike_lab()), "switch": rendered(switch_lab())}
DOCUMENTS = [
    pytest.param(tree, path, id=f"{name}:{path}")
    for name, tree in TREES.items()
    for path in tree
    if path.endswith(".xml") and "/files/etc/libvirt/qemu/" not in path
]


@pytest.fixture
def connection() -> Iterator[libvirt.virConnect]:
    opened = libvirt.open("test:///default")
    yield opened
    opened.close()


@pytest.mark.parametrize(("tree", "path"), DOCUMENTS)
def test_libvirts_schema_accepts_it(tree: dict[str, bytes], path: str, tmp_path: Path) -> None:
    document = tmp_path / "document.xml"
    document.write_bytes(tree[path])
    result = run(["virt-xml-validate", str(document)], timeout_s=30, check=False)
    assert result.ok, result.stdout + result.stderr


def test_the_schema_check_can_fail(tmp_path: Path) -> None:
    document = tmp_path / "document.xml"
    document.write_bytes(TREES["two-node"]["libvirt/domains/brina.xml"].replace(b"<on_crash>", b"<on_clash>", 1))
    assert not run(["virt-xml-validate", str(document)], timeout_s=30, check=False).ok


@pytest.mark.parametrize("name", TREES)
def test_domains_can_be_defined(connection: libvirt.virConnect, name: str) -> None:
    tree = TREES[name]
    paths = [path for path in tree if path.endswith("/domain.xml") or path.startswith("libvirt/domains/")]
    assert len(paths) == (4 if name == "switch" else 7)
    for path in paths:
        domain = connection.defineXMLFlags(tree[path].decode(), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        assert f"<name>{domain.name()}</name>".encode() in tree[path]
        assert domain.UUIDString().encode() in tree[path]


def test_networks_and_pool_can_be_defined(connection: libvirt.virConnect) -> None:
    tree = TREES["two-node"]
    for role in ("service", "management"):
        text = tree[f"libvirt/networks/{role}.xml"].decode()
        network = connection.networkDefineXMLFlags(text, libvirt.VIR_NETWORK_DEFINE_VALIDATE)
        assert network.name() == f"{example_lab().name}-{role}"
    pool = connection.storagePoolDefineXML(tree["libvirt/pool.xml"].decode(), 0)
    assert pool.name() == example_lab().name


def test_nothing_of_a_node_sits_behind_a_bridge() -> None:
    """The kernel numbers eth0 to eth2 by PCI address, so leg1, leg2 and management keep bus 0 and their order."""
    text = TREES["two-node"]["libvirt/domains/brina.xml"].decode()
    interfaces = text.split("<interface ")[1:]
    slots = [part.split("slot='")[1].split("'")[0] for part in interfaces]
    names = [part.split("ua-")[1].split("'")[0] for part in interfaces]
    assert names == ["leg1", "leg2", "management"]
    assert slots == sorted(slots)
    assert text.count("type='pci'") == text.count("bus='0x00'")
