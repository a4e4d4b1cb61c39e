"""The study's values, each at its place in the files that its topology renders to; times unstretched.

The values are written down here and come from the published study; what a release no longer takes is tested as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml

from tests.golden.example import lab_of, rendered

TREES = {topology: rendered(lab_of(topology)) for topology in ("study", "ubuntu-14.04")}
BOTH = pytest.mark.parametrize("topology", TREES)
NODES = ("brina", "piova")


def text(topology: str, path: str, node: str = "brina") -> str:
    """A rendered file of a node without its comments."""
    lines = TREES[topology][f"nodes/{node}/files{path}"].decode().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def sections(document: str) -> Iterator[tuple[str, str, str]]:
    """Section path, key and value of every setting of a file with braces; ``key: value`` or ``key value;``."""
    path: list[str] = []
    for raw in document.splitlines():
        line = raw.strip().removesuffix(";")
        if line.endswith("{"):
            path.append(line.removesuffix("{").strip())
        elif line == "}":
            path.pop()
        elif line:
            key, _, value = line.replace(":", " ", 1).partition(" ") if ": " in line else line.partition(" ")
            yield ".".join(path), key, value.strip()
    assert path == []


def settings(topology: str, path: str) -> set[tuple[str, str, str]]:
    return set(sections(text(topology, path)))


# Corosync


@BOTH
def test_totem(topology: str) -> None:
    found = settings(topology, "/etc/corosync/corosync.conf")
    assert {
        ("totem", "version", "2"),
        ("totem", "transport", "udpu"),
        ("totem", "token", "3000"),
        ("totem", "token_retransmits_before_loss_const", "10"),
        ("totem", "join", "60"),
        ("totem", "consensus", "3600"),
        ("totem", "max_messages", "20"),
        ("totem", "clear_node_high_bit", "yes"),
        ("quorum", "provider", "corosync_votequorum"),
        ("quorum", "expected_votes", "2"),
        ("quorum", "two_node", "1"),
        ("logging", "to_syslog", "yes"),
        ("logging", "debug", "off"),
    } <= found
    assert len([section for section, key, _ in found if key in ("linknumber", "ringnumber")]) == 1


@BOTH
def test_both_members_are_listed(topology: str) -> None:
    document = text(topology, "/etc/corosync/corosync.conf")
    lab = lab_of(topology)
    base = lab.network.service_subnet.network_address
    assert re.findall(r"ring0_addr: (\S+)", document) == [str(base + 11), str(base + 12)]
    assert re.findall(r"name: (\w+)\n\s+nodeid: (\d)", document) == [("brina", "1"), ("piova", "2")]


def test_corosync_2_has_the_studys_words() -> None:
    found = settings("ubuntu-14.04", "/etc/corosync/corosync.conf")
    assert {
        ("totem", "secauth", "on"),
        ("totem", "rrp_mode", "none"),
        ("totem.interface", "ringnumber", "0"),
        ("service", "name", "pacemaker"),
        ("service", "ver", "0"),
    } <= found
    assert text("ubuntu-14.04", "/etc/default/corosync") == "START=yes"


def test_corosync_3_says_what_stands_instead() -> None:
    """corosync 3.1.7 ends with "crypto_cipher & crypto_hash are only valid for the Knet transport" otherwise."""
    found = settings("study", "/etc/corosync/corosync.conf")
    assert {("totem", "crypto_cipher", "none"), ("totem", "crypto_hash", "none")} <= found
    assert not {key for _, key, _ in found} & {"secauth", "rrp_mode", "ver"}
    whole = TREES["study"]["nodes/brina/files/etc/corosync/corosync.conf"].decode()
    comments = " ".join(line.strip(" #") for line in whole.splitlines() if line.lstrip().startswith("#"))
    for replaced in ("NOT ENCRYPTED, NOT AUTHENTICATED", '"secauth: on"', '"rrp_mode: none"', "ver: 0", "clear_node"):
        assert replaced in comments or replaced in whole


@BOTH
def test_the_key_of_corosync_is_on_both_nodes_and_the_same(topology: str) -> None:
    keys = []
    for node in NODES:
        document = yaml.safe_load(TREES[topology][f"nodes/{node}/user-data"])
        (entry,) = [one for one in document["write_files"] if one["path"] == "/etc/corosync/authkey"]
        assert entry["permissions"] == "0400"
        keys.append(entry["content"])
    assert keys[0] == keys[1]


# Storage


@BOTH
def test_drbd(topology: str) -> None:
    assert ("global", "minor-count", "16") in settings(topology, "/etc/drbd.d/global_common.conf")
    # The study said yes; a lab is no installation to be counted.
    assert ("global", "usage-count", "no") in settings(topology, "/etc/drbd.d/global_common.conf")
    found = settings(topology, "/etc/drbd.d/vms.res")
    assert {
        ("resource vms", "device", "/dev/drbd0"),
        ("resource vms", "disk", "/dev/vg0/lvdrbd"),
        ("resource vms", "meta-disk", "internal"),
        ("resource vms.startup", "become-primary-on", "both"),
        ("resource vms.disk", "fencing", "resource-only"),
        ("resource vms.disk", "resync-rate", "50M"),
        ("resource vms.net", "protocol", "C"),
        ("resource vms.net", "allow-two-primaries", "yes"),
    } <= found
    handlers = {key: value.strip('"').split()[0] for section, key, value in found if section == "resource vms.handlers"}
    assert handlers == {
        "fence-peer": "/usr/lib/drbd/crm-fence-peer.sh",
        "after-resync-target": "/usr/lib/drbd/crm-unfence-peer.sh",
    }
    ports = {section: value.rpartition(":")[2] for section, key, value in found if key == "address"}
    assert ports == {"resource vms.on brina": "7791", "resource vms.on piova": "7791"}
    assert "options drbd minor_count=16" in text(topology, "/etc/modprobe.d/drbd.conf")


@BOTH
def test_ocfs2(topology: str) -> None:
    document = text(topology, "/etc/ocfs2/cluster.conf")
    assert re.search(r"node_count = 2\n\tname = clusterocfs", document)
    assert re.findall(r"ip_port = (\d+)", document) == ["7777", "7777"]
    assert re.findall(r"number = (\d)\n\tname = (\w+)\n\tcluster = clusterocfs", document) == [
        ("0", "brina"),
        ("1", "piova"),
    ]
    values = dict(line.split("=", 1) for line in text(topology, "/etc/default/o2cb").splitlines())
    assert (values["O2CB_ENABLED"], values["O2CB_BOOTCLUSTER"]) == ("true", "clusterocfs")
    # o2cb's own default, because the study names none.
    assert values["O2CB_HEARTBEAT_THRESHOLD"] == "31"


@BOTH
def test_the_pool_of_libvirt(topology: str) -> None:
    assert "<name>ocfs</name>" in text(topology, "/etc/libvirt/storage/ocfs.xml")
    assert "<path>/var/lib/libvirt/images/ocfs</path>" in text(topology, "/etc/libvirt/storage/ocfs.xml")


# Network


@BOTH
@pytest.mark.parametrize("node", NODES)
def test_bond_and_bridge(topology: str, node: str) -> None:
    document = text(topology, "/etc/network/interfaces", node)
    for line in (
        *("bond-miimon 100", "bond-xmit-hash-policy layer3+4", "bridge_ports bond0", "bridge_stp off"),
        *("bridge_maxwait 0", "bond-mode 802.3ad", "bond-lacp-rate 1"),
    ):
        assert f"    {line}\n" in document
    assert document.count("bond-master bond0") == 2
    assert re.search(
        r"iface br0 inet static\n    address \S+/24\n    gateway \S+\n    dns-nameservers \S+ \S+\n", document
    )
    # A tagged VLAN for some guests: a bridge of its own on the tagged bond.
    assert "auto bond0.42\n" in document and "    bridge_ports bond0.42\n" in document


# Pacemaker


def crm(topology: str) -> list[str]:
    """The statements of the crm file, each on one line."""
    document = TREES[topology]["cluster/cib.crm"].decode().replace("\\\n", " ")
    return [" ".join(line.split()) for line in document.splitlines() if line.strip()]


def statement(topology: str, start: str) -> str:
    (found,) = [line for line in crm(topology) if line.startswith(start + " ")]
    return found


@BOTH
def test_the_set_of_drbd(topology: str) -> None:
    primitive = statement(topology, "primitive DRBD")
    for words in (
        *("ocf:linbit:drbd", "drbd_resource=vms"),
        *("op monitor interval=20 role=Master timeout=240", "op monitor interval=30 role=Slave timeout=240"),
    ):
        assert words in primitive
    the_set = statement(topology, "ms MS_DRBD DRBD")
    for words in ("master-max=2", "clone-max=2", "notify=true", "interleave=true"):
        assert words in the_set


@BOTH
def test_the_mount(topology: str) -> None:
    mount = "ocf:heartbeat:Filesystem params device=/dev/drbd/by-res/vms directory=/var/lib/libvirt/images/ocfs"
    assert f"{mount} fstype=ocfs2" in statement(topology, "primitive OCFS_MOUNT")
    assert "interleave=true ordered=true" in statement(topology, "clone OCFS_MOUNT_CLONE OCFS_MOUNT")
    assert "colocation OCFS_WITH_DRBD inf: OCFS_MOUNT_CLONE MS_DRBD:Master" in crm(topology)
    order = "inf" if topology == "ubuntu-14.04" else "Mandatory"
    assert f"order OCFS_AFTER_DRBD {order}: MS_DRBD:promote OCFS_MOUNT_CLONE:start" in crm(topology)


#: Name and home at rest; software, vCPUs, MiB of memory and disk, and availability in 2015.
GUESTS = (
    ("Passata", "piova", "BIND 9.9.5", 2, 3072, 20480, 99.913),
    ("Speedauth", "brina", "FreeRADIUS 2.1.12 with SQL over TCP", 2, 1536, 8192, 99.755),
    ("Masterauth", "piova", "FreeRADIUS 2.1.12", 1, 1536, 8192, 99.475),
    ("Soldi", "brina", "Apache 2.4.7, PHP 5.5.9, MySQL 5.5.49", 4, 4096, 40960, 99.989),
    ("SimplesIP", "piova", "Asterisk 1.8.32 on CentOS 6.6", 2, 3072, 81920, 99.997),
)


@BOTH
@pytest.mark.parametrize(("number", "name", "home"), [(n, row[0], row[1]) for n, row in enumerate(GUESTS, start=1)])
def test_guests(topology: str, number: int, name: str, home: str) -> None:
    guest = statement(topology, f"primitive VM_{number}")
    for words in (
        f"ocf:heartbeat:VirtualDomain params config=/etc/libvirt/qemu/{name.lower()}.xml",
        'hypervisor="qemu:///system" migration_transport=ssh force_stop=0',
        "op monitor interval=10 timeout=30",
        "op start interval=0 timeout=90",
        "op stop interval=0 timeout=90",
        "op migrate_from interval=0 timeout=240",
        "op migrate_to interval=0 timeout=240",
        "allow-migrate=true migration-threshold=5",
    ):
        assert words in guest
    statements = crm(topology)
    for node in NODES:
        score = "inf" if node == home else "100"
        assert f"location VM_{number}_ON_{node.upper()} VM_{number} {score}: {node}" in statements
    assert f"colocation VM_{number}_WITH_OCFS inf: VM_{number} OCFS_MOUNT_CLONE" in statements
    assert any(re.fullmatch(rf"order \w+ \w+: OCFS_MOUNT_CLONE VM_{number}", one) for one in statements)


@BOTH
def test_no_fencing(topology: str) -> None:
    assert "stonith-enabled=false" in TREES[topology]["cluster/cib.crm"].decode()
    assert not [line for line in crm(topology) if "stonith:" in line]


@BOTH
def test_figures_of_the_guests_are_recorded(topology: str) -> None:
    figures = [
        (guest.name, guest.home, guest.study.software, guest.study.vcpus, guest.study.memory_mib, guest.study.disk_mib)
        for guest in lab_of(topology).guests
    ]
    assert figures == [row[:-1] for row in GUESTS]
    assert [guest.study.availability_percent for guest in lab_of(topology).guests] == [row[-1] for row in GUESTS]


# Ubuntu 14.04


def test_packages_of_the_study() -> None:
    script = text("ubuntu-14.04", "/usr/local/sbin/lab-packages")
    wanted = set(re.search(r'wanted="([^"]*)"', script)[1].split())  # type: ignore[index]
    assert {"drbd8-utils", "drbdlinks", "ocfs2-tools", "corosync", "pacemaker", "qemu-kvm", "libvirt-bin"} <= wanted
    assert {"bridge-utils", "ifenslave", "vlan"} <= wanted


def test_nothing_of_systemd_reaches_nodes_without_it() -> None:
    paths = [path for path in TREES["ubuntu-14.04"] if path.startswith("nodes/")]
    assert not [path for path in paths if "systemd" in path or "chrony" in path or "sshd_config.d" in path]
    for node in NODES:
        commands = str(yaml.safe_load(TREES["ubuntu-14.04"][f"nodes/{node}/user-data"])["runcmd"])
        assert "systemctl" not in commands
        assert "lab-mend-filesystem-agent" in commands


@pytest.mark.parametrize("node", NODES)
def test_the_first_boot_of_ubuntu_14_04_has_its_network(node: str) -> None:
    """cloud-init 0.7.5 takes it from the meta-data (NoCloud, ``network-interfaces``)."""
    tree = TREES["ubuntu-14.04"]
    given = yaml.safe_load(tree[f"nodes/{node}/meta-data"])["network-interfaces"]
    assert given.strip() == tree[f"nodes/{node}/files/etc/network/interfaces"].decode().strip()
    assert f"nodes/{node}/network-config" not in tree
