"""user-data and network-config, read by cloud-init itself (see cloud_init_trees.py for where it comes from)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from cloud_init_trees import FIRST_WITH_NETWORK_SCHEMA, CloudInit, unpacked

from tests.golden.example import example_lab, lab_of, rendered, switch_lab, unlike_lab

TREES = {"two-node": rendered(example_lab()), "kvm-unfenced": rendered(unlike_lab()), "switch": rendered(switch_lab())}
SEEDS = [pytest.param(tree, node, id=f"{name}:{node}") for name, tree in TREES.items() for node in ("brina", "piova")]
#: cloud-init leaves out settings that are zero; /etc/network/interfaces, which takes over, has them.
LEFT_OUT = {("bridge_fd", "0"), ("bridge_maxwait", "0")}

Interfaces = dict[str, set[tuple[str, str]]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[CloudInit, CloudInit]:
    own, newer = unpacked(tmp_path_factory.mktemp("cloud-init"))
    assert newer.version() >= FIRST_WITH_NETWORK_SCHEMA
    return own, newer


def write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


@pytest.mark.parametrize(("tree", "node"), SEEDS)
def test_user_data_fits_the_schema(
    both: tuple[CloudInit, CloudInit], tree: dict[str, bytes], node: str, tmp_path: Path
) -> None:
    document = write(tmp_path, "user-data", tree[f"nodes/{node}/user-data"])
    for cloud_init in both:
        result = cloud_init.run("schema", "--config-file", document, check=False)
        assert result.ok, result.stdout + result.stderr


@pytest.mark.parametrize(("tree", "node"), SEEDS)
def test_network_config_fits_the_schema(
    both: tuple[CloudInit, CloudInit], tree: dict[str, bytes], node: str, tmp_path: Path
) -> None:
    document = write(tmp_path, "network-config", tree[f"nodes/{node}/network-config"])
    result = both[1].run("schema", "--schema-type", "network-config", "--config-file", document, check=False)
    assert result.ok, result.stdout + result.stderr


def test_user_data_of_ubuntu_14_04_is_read_by_what_came_after(
    both: tuple[CloudInit, CloudInit], tmp_path: Path
) -> None:
    """Its words are those of cloud-init 0.7.5, which could not be had; later versions still know all of them."""
    content = rendered(lab_of("ubuntu-14.04"))["nodes/brina/user-data"]
    document = write(tmp_path, "user-data", content)
    for cloud_init in both:
        result = cloud_init.run("schema", "--config-file", document, check=False)
        assert result.ok, result.stdout + result.stderr


def test_the_schema_checks_can_fail(both: tuple[CloudInit, CloudInit], tmp_path: Path) -> None:
    user_data = TREES["two-node"]["nodes/brina/user-data"].replace(b"preserve_hostname: false", b"preserve_hostname: 7")
    network = TREES["two-node"]["nodes/brina/network-config"].replace(b"bridge_fd: 0", b"bridge_fd: none")
    for cloud_init in both:
        document = write(tmp_path, "user-data", user_data)
        assert not cloud_init.run("schema", "--config-file", document, check=False).ok
    document = write(tmp_path, "network-config", network)
    assert not both[1].run("schema", "-t", "network-config", "-c", document, check=False).ok


@pytest.mark.parametrize(("tree", "node"), SEEDS)
def test_first_boot_has_the_network_of_the_study(
    both: tuple[CloudInit, CloudInit], tree: dict[str, bytes], node: str, tmp_path: Path
) -> None:
    """What cloud-init makes of network-config for ifupdown is what /etc/network/interfaces says."""
    document = write(tmp_path, "network-config", tree[f"nodes/{node}/network-config"])
    study = interfaces(tree[f"nodes/{node}/files/etc/network/interfaces"].decode())
    for number, cloud_init in enumerate(both):
        out = tmp_path / str(number)
        argv = ("devel", "net-convert", "-p", document, "-k", "yaml", "-d", str(out), "-D", "debian", "-O", "eni")
        cloud_init.run(*argv)
        first_boot = interfaces((out / "etc/network/interfaces.d/50-cloud-init").read_text())
        vlan = {"bond0.42", "br42"} if tree is TREES["switch"] else set()
        assert set(first_boot) == set(study) == {"lo", "eth0", "eth1", "eth2", "bond0", "br0"} | vlan
        for name, settings in study.items():
            assert settings - LEFT_OUT <= first_boot[name], name
        assert first_boot["br0"] <= study["br0"]
        assert first_boot["bond0"] <= study["bond0"]


def interfaces(text: str) -> Interfaces:
    """Settings by interface of a file for ifupdown; hyphens and underscores are the same to it (interfaces(5))."""
    found: Interfaces = {}
    automatic: set[str] = set()
    current: set[tuple[str, str]] = set()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "auto":
            automatic.update(words[1:])
        elif words[0] == "iface":
            current = found.setdefault(words[1], {("method", words[3])})
        else:
            current.add((words[0].replace("-", "_"), " ".join(words[1:])))
    assert automatic == set(found)
    return found


@pytest.mark.parametrize(("tree", "node"), SEEDS)
def test_meta_data_names_the_instance_and_the_node(tree: dict[str, bytes], node: str) -> None:
    document = yaml.safe_load(tree[f"nodes/{node}/meta-data"])
    assert document["local-hostname"] == node
    assert set(document) == {"instance-id", "local-hostname"}
    other = yaml.safe_load(tree["nodes/piova/meta-data" if node == "brina" else "nodes/brina/meta-data"])
    assert document["instance-id"] != other["instance-id"]
