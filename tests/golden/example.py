"""The input of the golden trees: the default topology, fixed names of images, and fixed, fake secrets."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from ipaddress import IPv4Network
from pathlib import Path

from lab.core import addressing
from lab.core.model import Accelerator, Fencing, Lab, LabImages, Secrets
from lab.core.render import render_lab
from lab.core.topology import parse_topology, with_accelerator
from lab.doors.templates import load_templates
from lab.drivers.seed import make_iso

ROOT = Path(__file__).resolve().parent.parent.parent
TOPOLOGY = "topologies/two-node.yaml"
SWITCH_TOPOLOGY = "topologies/switch.yaml"
POOL = IPv4Network("10.64.0.0/10")


@cache
def example_lab() -> Lab:
    """The default lab, emulated."""
    return parse_topology((ROOT / TOPOLOGY).read_text(), source=TOPOLOGY)


@cache
def switch_lab() -> Lab:
    """The lab with Open vSwitch: LACP, and telephony in a VLAN."""
    return parse_topology((ROOT / SWITCH_TOPOLOGY).read_text(), source=SWITCH_TOPOLOGY)


def unlike_lab() -> Lab:
    """The same lab with every choice of rendering taken the other way."""
    lab = with_accelerator(example_lab(), "kvm")
    return replace(lab, fencing=Fencing(method="none"), network=replace(lab.network, bond_mode="802.3ad"))


@cache
def lab_of(topology: str, accelerator: Accelerator = "kvm") -> Lab:
    """Another topology of the repository; under KVM, where times are not stretched, unless said otherwise."""
    source = f"topologies/{topology}.yaml"
    return with_accelerator(parse_topology((ROOT / source).read_text(), source=source), accelerator)


def at_subnets(lab: Lab, name: str) -> Lab:
    """The lab under another name, with the subnets that follow from it."""
    service, management = addressing.slot(name, POOL)
    network = replace(lab.network, service_subnet=service, management_subnet=management)
    return replace(lab, name=name, network=network)


def example_secrets(lab: Lab) -> Secrets:
    """Secrets that are recognisable wherever they turn up."""
    holders = (*lab.node_names, "guests")
    return Secrets(
        login_private_key=_private_key("login"),
        login_public_key=_public_key("login"),
        cluster_private_key=_private_key("cluster"),
        cluster_public_key=_public_key("cluster"),
        host_private_keys={name: _private_key(name) for name in holders},
        host_public_keys={name: _public_key(name) for name in holders},
        corosync_authkey=bytes(range(256)),
        fence_key=bytes(reversed(range(256))) * 16,
        drbd_shared_secret="fake-drbd-shared-secret",
        radius_secret="fake-radius-secret",
        radius_password="fake-radius-password",
        database_password="fake-database-password",
        sip_passwords={"101": "fake-sip-password-101", "102": "fake-sip-password-102"},
        console_password="fake-console-password",
    )


def example_images(lab: Lab) -> LabImages:
    """Names as baking would give them."""
    baked = bool(lab.nodes[0].image.recipe)
    stem = "node-bookworm-0123456789abcdef" if baked else "image-0123456789abcdef"
    return LabImages(
        node_volume=dict.fromkeys(lab.node_names, f"{stem}.qcow2"),
        kernel_volume=dict.fromkeys(lab.node_names, f"{stem}-vmlinuz" if baked else ""),
        initrd_volume=dict.fromkeys(lab.node_names, f"{stem}-initrd" if baked else ""),
        guest_store_volume="guest-store-0123456789abcdef.tar",
    )


def rendered(lab: Lab) -> dict[str, bytes]:
    """The tree of a lab from the repository's templates."""
    return render_lab(lab, example_secrets(lab), example_images(lab), load_templates(ROOT), make_iso=make_iso)


def _private_key(name: str) -> str:
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\nfake+private+{name}\n-----END OPENSSH PRIVATE KEY-----\n"


def _public_key(name: str) -> str:
    return f"ssh-ed25519 AAAAfake{name} {name}@golden\n"
