"""Guests in the eyes of the nodes: definable on both, running once, on shared disks, ready to move.

Pacemaker's agent creates a guest from its file and takes care that libvirt forgets it when it leaves (VirtualDomain,
``verify_undefined``). So libvirt knows the guests that run, and those whose files it read when it started and that have
not been there since; what counts is the files.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from look import Look, libvirt

from lab.core import addressing
from lab.core.model import Guest, Lab, Node


def definition(seen: Look, guest: Guest) -> ElementTree.Element:
    """What Pacemaker creates the guest from."""
    documents = re.findall(r"<domain .*?</domain>", seen.text("definitions"), flags=re.DOTALL)
    (root,) = [root for each in documents if (root := ElementTree.fromstring(each)).findtext("name") == guest.domain]
    return root


def attribute(root: ElementTree.Element, path: str, name: str) -> str:
    found = root.find(path)
    assert found is not None, f"no <{path}>"
    return found.get(name, "")


def disks(root: ElementTree.Element) -> dict[str, tuple[str, str, str]]:
    return {
        attribute(disk, "target", "dev"): (
            attribute(disk, "source", "file"),
            attribute(disk, "driver", "type"),
            attribute(disk, "driver", "cache"),
        )
        for disk in root.iterfind("devices/disk")
    }


def expected_disks(lab: Lab, guest: Guest) -> dict[str, tuple[str, str, str]]:
    place = f"{lab.storage.mount_point}/{guest.domain}"
    return {
        "vda": (f"{place}.qcow2", "qcow2", "none"),
        "vdb": (f"{place}-seed.tar", "raw", "none"),
        "vdc": (addressing.heartbeat_path(lab, guest), "raw", "none"),
    }


def test_definitions_are_kept_where_a_loss_of_power_does_not_reach_them(lab: Lab, seen: Look) -> None:
    """The study's agent, where a topology asks for it, does not do so."""
    if lab.cluster.deep_monitor_interval_s:
        assert seen.text("kept definitions") == seen.text("definitions")
    else:
        assert seen.answers["kept definitions"].code


def test_pool_is_active_on_the_shared_mount(lab: Lab, seen: Look) -> None:
    found = dict(line.split(":", 1) for line in libvirt(seen, "pool").splitlines())
    assert found["State"].strip() == "running"
    pool = ElementTree.fromstring(libvirt(seen, "pool-definition"))
    assert (pool.get("type"), pool.findtext("target/path")) == ("dir", lab.storage.mount_point)


def test_libvirt_knows_no_guests_but_the_labs(lab: Lab, node: Node, seen: Look) -> None:
    known = set(libvirt(seen, "defined").split())
    assert {guest.domain for guest in lab.guests if guest.home == node.name} <= known
    assert known <= {guest.domain for guest in lab.guests}


def test_only_pacemaker_starts_guests(seen: Look) -> None:
    assert libvirt(seen, "autostarted") == ""


def test_guest_runs_exactly_once_and_at_home(guest: Guest, node_looks: dict[str, Look]) -> None:
    assert [name for name, look in node_looks.items() for one in look.lines("guests") if one == guest.domain] == [
        guest.home
    ]


def test_node_runs_nothing_else(lab: Lab, node: Node, seen: Look) -> None:
    at_home = sorted(guest.domain for guest in lab.guests if guest.home == node.name)
    assert sorted(seen.lines("guests")) == at_home
    assert len(seen.lines("emulators")) == len(at_home)


def test_guest_is_defined_as_the_topology_says(lab: Lab, guest: Guest, seen: Look) -> None:
    root = definition(seen, guest)
    assert root.get("type") == "kvm"
    assert root.findtext("uuid") == str(addressing.guest_uuid(lab.name, guest.domain))
    assert (root.findtext("memory"), attribute(root, "memory", "unit")) == (str(guest.memory_mib), "MiB")
    assert root.findtext("vcpu") == str(guest.vcpus)
    assert attribute(root, "devices/interface/mac", "address") == addressing.guest_mac(lab, guest)
    assert attribute(root, "devices/interface/source", "bridge") == addressing.guest_bridge(guest)
    assert disks(root) == expected_disks(lab, guest)


def test_guest_is_the_same_machine_on_all_nodes(guest: Guest, node_looks: dict[str, Look]) -> None:
    def machine(look: Look) -> dict[str, object]:
        root = definition(look, guest)
        return {
            "type": attribute(root, "os/type", "machine"),
            "boot": [root.findtext(f"os/{part}") for part in ("kernel", "initrd", "cmdline")],
            # libvirt adds features that the emulator turned on where the guest runs; what is forbidden counts.
            "model": root.findtext("cpu/model"),
            "forbidden": sorted(each.get("name", "") for each in root.iterfind("cpu/feature[@policy='disable']")),
            "disks": disks(root),
            "devices": sorted(each.tag for each in root.iterfind("devices/*")),
        }

    first, *others = [machine(look) for look in node_looks.values()]
    assert first["type"]
    assert others == [first] * len(others)


def test_guest_has_a_processor_that_every_node_offers(guest: Guest, seen: Look) -> None:
    root = definition(seen, guest)
    assert attribute(root, "cpu", "mode") == "custom"
    policies = {feature.get("name"): feature.get("policy") for feature in root.iterfind("cpu/feature")}
    assert (policies["svm"], policies["vmx"]) == ("disable", "disable")


def test_running_guest_is_a_kvm_guest_on_uncached_shared_disks(
    lab: Lab, guest: Guest, node_looks: dict[str, Look]
) -> None:
    look = node_looks[guest.home]
    root = ElementTree.fromstring(libvirt(look, f"live-{guest.domain}"))
    assert root.get("type") == "kvm"
    assert disks(root) == expected_disks(lab, guest)
    (line,) = [line for line in look.lines("emulators") if f"guest={guest.domain}," in line]
    assert "kvm" in line.split("-accel ", 1)[1].split()[0] or "accel=kvm" in line


def test_guests_disks_are_on_the_shared_file_system(lab: Lab, seen: Look) -> None:
    kind, *rows = seen.lines("guest files")
    assert kind == "ocfs2"
    found = {name: (mode, int(size)) for name, mode, _owner, size in (row.split() for row in rows)}
    needed = {f"{guest.domain}{ending}" for guest in lab.guests for ending in (".qcow2", "-seed.tar", "-heartbeat.raw")}
    needed |= {f"guest-{guest.image.suite}-{part}" for guest in lab.guests for part in ("vmlinuz", "initrd")}
    assert needed <= set(found)
    assert [name for name in needed if found[name][1] == 0] == []
    # They hold passwords and keys.
    assert {found[f"{guest.domain}-seed.tar"][0] for guest in lab.guests} <= {"600"}


def test_nodes_see_the_same_files(node_looks: dict[str, Look]) -> None:
    names = {tuple(row.split()[0] for row in look.lines("guest files")[1:]) for look in node_looks.values()}
    assert len(names) == 1


def test_programs_keep_their_addresses_on_an_emulated_node(lab: Lab, seen: Look) -> None:
    """QEMU translates a program again for each process in which it is at another address."""
    assert seen.text("random addresses") == ("0" if lab.accelerator == "tcg" else "2")


def test_guests_have_the_greater_part_of_a_short_processor(seen: Look) -> None:
    assert seen.text("weight of guests") == "400"


def test_root_reaches_the_peers_libvirt_by_ssh_without_a_question(lab: Lab, node: Node, seen: Look) -> None:
    # The way that a live migration takes.
    (peer,) = [name for name in lab.node_names if name != node.name]
    assert seen.text("libvirt of peer").strip() == peer
