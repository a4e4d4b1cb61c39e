"""Pre-flight: the host's facts against what a lab needs. Pure, so that every judgement is tested without the host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.core.acceleration import Choice, refusal
from lab.core.addressing import (
    bridge_name,
    domain_name,
    domain_uuid,
    network_name,
    network_uuid,
    pool_uuid,
    vlan_port_name,
)
from lab.core.host_facts import ECHO, ECHO_REMEDY, Finding, HostFacts
from lab.core.model import Lab
from lab.core.topology import GUEST_OVERLAY_MIB, NODE_PROCESS_MIB, SYSTEM_OVERLAY_MIB

#: What the host itself keeps.
HOST_RESERVE_MIB = 512
#: What baking all images takes, the tree that an image is made of included.
CACHE_DISK_MIB = 6144
#: The oldest versions that the lab was seen to work with.
OLDEST = {"qemu-system-x86_64": (7, 2), "libvirt": (9, 0)}
#: Tools that only some labs need: a telephony guest, fencing, and Open vSwitch.
TELEPHONY_TOOLS = ("sipp",)
FENCING_TOOLS = ("fence_virtd",)
SWITCH_TOOLS = ("ovs-vswitchd", "ovsdb-server")
#: At every address of the host, as the kernel's tables name it.
ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 (compared, not bound)
PACKAGES_REMEDY = "Run any task through ./inv, which installs what is missing (the list is packages.txt)"


def judge(lab: Lab, facts: HostFacts, choice: Choice, *, insisted: bool = False) -> list[Finding]:
    """Every finding about this host and this lab, in the order a person wants to read them.

    Args:
        lab: the lab that is to come up.
        facts: the host.
        choice: the accelerator and why.
        insisted: whether KVM was asked for, so that TCG is a failure.
    """
    return [
        _accelerator(choice, insisted),
        _cpu(facts),
        *_node_cpus(lab, choice),
        _memory(lab, facts, choice),
        *_disk(lab, facts),
        *_libvirt(facts),
        *_tools(lab, facts),
        *_routes(lab, facts),
        *_name_server(lab, facts),
        *_echo(lab, facts),
        *_names(lab, facts),
        *_bridges(lab, facts),
        *_switch(lab, facts),
    ]


def _accelerator(choice: Choice, insisted: bool) -> Finding:
    if insisted and choice.accelerator != "kvm":
        return Finding("accelerator", "failure", *refusal(choice))
    return Finding("accelerator", "ok", choice.reason, choice.remedy)


def _cpu(facts: HostFacts) -> Finding:
    if facts.architecture != "x86_64":
        return Finding(
            "cpu", "failure", f"this machine is {facts.architecture}, the lab is x86_64", "Use another machine"
        )
    count = f"{facts.cpu_count} CPU{'s' if facts.cpu_count != 1 else ''}"
    if facts.cpu_count < 2:
        return Finding(
            "cpu", "warning", f"{count}: nodes take turns, time-outs may strike", "Give the machine two CPUs"
        )
    return Finding("cpu", "ok", count)


def _node_cpus(lab: Lab, choice: Choice) -> Iterator[Finding]:
    """Emulated nodes with more than one CPU: QEMU can lose a change of code there, see ARCHITECTURE.md."""
    several = [node.name for node in lab.nodes if node.vcpus > 1]
    if several and choice.accelerator == "tcg":
        yield Finding(
            "node CPUs",
            "warning",
            f"{_listed(several)} with more than one emulated CPU: QEMU can hang while the kernel changes its code",
            "Give the nodes one CPU each where their processors are emulated: nodes.<name>.vcpus: 1",
        )


def _memory(lab: Lab, facts: HostFacts, choice: Choice) -> Finding:
    waiting = [node for node in lab.nodes if not _running(facts, domain_name(lab.name, node.name))]
    if not waiting:
        return Finding("memory", "ok", "every node is running already")
    need_mib = sum(node.memory_mib + NODE_PROCESS_MIB for node in waiting) + HOST_RESERVE_MIB
    message = (
        f"{facts.memory_available_mib} MiB available, {need_mib} MiB needed for {_listed(n.name for n in waiting)}"
    )
    if facts.memory_available_mib < need_mib:
        return Finding(
            "memory", "failure", message, "Give the nodes less memory in the topology, or end other programs"
        )
    caches_mib = sum(node.translation_cache_mib for node in waiting) if choice.accelerator == "tcg" else 0
    if facts.memory_available_mib < need_mib + caches_mib:
        return Finding(
            "memory",
            "warning",
            f"{message}, and up to {caches_mib} MiB for their translated code, which fill up within minutes",
            "Give it less: nodes.<name>.translation_cache in the topology, 512 MiB for example",
        )
    return Finding("memory", "ok", message)


def _disk(lab: Lab, facts: HostFacts) -> Iterator[Finding]:
    guests_mib = sum(min(guest.disk_mib, GUEST_OVERLAY_MIB) for guest in lab.guests)
    lab_mib = len(lab.nodes) * (SYSTEM_OVERLAY_MIB + guests_mib)  # volumes are thin: what is written counts
    needs = [
        ("disk for volumes", facts.pool_space, 0 if lab.name in facts.pools else lab_mib),
        ("disk for images", facts.cache_space, 0 if facts.images_baked else CACHE_DISK_MIB),
    ]
    for name, space, need_mib in needs:
        shared_mib = sum(mib for _, other, mib in needs if other.device == space.device)
        together = ", together with the rest" if shared_mib > need_mib else ""
        message = f"{space.free_mib} MiB free at {space.path}, {shared_mib} MiB needed{together}"
        if not need_mib:
            yield Finding(name, "ok", f"{space.free_mib} MiB free at {space.path}, what is needed is there already")
        elif space.free_mib < shared_mib:
            yield Finding(name, "failure", message, "Free some disk space; ./inv lab.prune empties the image cache")
        else:
            yield Finding(name, "ok", message)


def _libvirt(facts: HostFacts) -> Iterator[Finding]:
    if not facts.libvirt_version:
        remedy = "Start it (any task through ./inv does so), or join the group libvirt and log in again"
        yield Finding("libvirt", "failure", f"libvirt cannot be reached: {facts.libvirt_error}", remedy)
    else:
        yield _aged("libvirt", facts.libvirt_version, f"libvirt {facts.libvirt_version} answers")


def _tools(lab: Lab, facts: HostFacts) -> Iterator[Finding]:
    needed = [
        tool
        for tool in facts.tools
        if (tool not in TELEPHONY_TOOLS or any(guest.service == "telephony" for guest in lab.guests))
        and (tool not in FENCING_TOOLS or lab.fencing.method == "fence_virt")
        and (tool not in SWITCH_TOOLS or lab.network.switch == "openvswitch")
    ]
    for tool in needed:
        version = facts.tools[tool]
        if not version:
            yield Finding(tool, "failure", f"{tool} is not installed", PACKAGES_REMEDY)
        else:
            yield _aged(tool, version, f"{tool} {version}" if version != "?" else f"{tool} is there")


def _aged(name: str, version: str, message: str) -> Finding:
    oldest = OLDEST.get(name)
    found = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if oldest and found and found < oldest:
        wanted = ".".join(str(number) for number in oldest)
        return Finding(name, "warning", f"{message}, older than the {wanted} it was tried with", "Use a newer release")
    return Finding(name, "ok", message)


def _routes(lab: Lab, facts: HostFacts) -> Iterator[Finding]:
    subnets = [("service", lab.network.service_subnet), ("management", lab.network.management_subnet)]
    bridges = {bridge_name(lab.name, role) for role, _ in subnets}
    bridges |= {vlan_port_name(lab.name, vlan.number) for vlan in lab.network.vlans}
    subnets += [(f"VLAN {vlan.number}", vlan.subnet) for vlan in lab.network.vlans]
    remedy = "Choose other subnets in the topology, or another --name (subnets follow from it)"
    for role, subnet in subnets:
        name = f"{role} subnet"
        clashes = [r for r in facts.routes if r.device not in bridges and r.destination.overlaps(subnet)]
        inside = [route for route in clashes if route.destination.prefixlen >= subnet.prefixlen]
        if inside:
            taken = _listed(f"{route.destination} to {route.device or 'nowhere'}" for route in inside)
            yield Finding(name, "failure", f"{subnet} is taken on this host by the route {taken}", remedy)
        elif clashes:
            taken = _listed(f"{route.destination} to {route.device or 'nowhere'}" for route in clashes)
            yield Finding(name, "warning", f"{subnet} hides a part of the route {taken} while the lab runs", remedy)
        else:
            yield Finding(name, "ok", f"{subnet} is free on this host")


def _name_server(lab: Lab, facts: HostFacts) -> Iterator[Finding]:
    """Libvirt's dnsmasq has to listen at the gateway; who listens at every address is in its way."""
    network = facts.networks.get(network_name(lab.name, "service"))
    if network and network.active:
        return
    everywhere = sorted(facts.dns_listeners & ANY_ADDRESS)
    if everywhere:
        message = f"a program of this host listens at {everywhere[0]} on port 53, where the lab's name server has to"
        remedy = "`ss -lntup sport = :53` (as root) names it; let it listen at 127.0.0.1 only, or end it"
        yield Finding("port 53", "failure", message, remedy)
    else:
        yield Finding("port 53", "ok", "no program listens at every address on port 53")


def _echo(lab: Lab, facts: HostFacts) -> Iterator[Finding]:
    if not lab.probes.icmp_per_s:
        return
    if facts.echo_refusal:
        message = f"drills ask by ICMP echo, too, and you may send none: {facts.echo_refusal}"
        yield Finding(ECHO, "warning", message, ECHO_REMEDY)
    else:
        yield Finding(ECHO, "ok", "you may send one")


def _names(lab: Lab, facts: HostFacts) -> Iterator[Finding]:
    roles = ("service", "management")
    expected = {
        "domain": {domain_name(lab.name, n.name): str(domain_uuid(lab.name, n.name)) for n in lab.nodes},
        "network": {network_name(lab.name, role): str(network_uuid(lab.name, role)) for role in roles},
        "pool": {lab.name: str(pool_uuid(lab.name, "host"))},
    }
    found = {"domain": facts.domains, "network": facts.networks, "pool": facts.pools}
    strangers = [
        f"{kind} {name}"
        for kind, names in expected.items()
        for name, uuid in names.items()
        if name in found[kind] and found[kind][name].uuid != uuid
    ]
    if strangers:
        message = f"names of the lab are used in libvirt by something else: {_listed(strangers)}"
        yield Finding("names", "failure", message, "Choose another --name, or remove them with virsh")
    else:
        ours = sum(name in found[kind] for kind, names in expected.items() for name in names)
        yield Finding("names", "ok", f"{ours} objects of this lab exist" if ours else "no name of the lab is in use")


def _bridges(lab: Lab, facts: HostFacts) -> Iterator[Finding]:
    for role in ("service", "management"):
        bridge = bridge_name(lab.name, role)
        network = facts.networks.get(network_name(lab.name, role))
        if bridge in facts.links and not (network and network.active):
            message = (
                f"a network device {bridge} exists that is not of libvirt's network {network_name(lab.name, role)}"
            )
            yield Finding("bridges", "failure", message, f"Remove it (ip link del {bridge}), or choose another --name")


def _switch(lab: Lab, facts: HostFacts) -> Iterator[Finding]:
    if lab.network.switch == "openvswitch" and not facts.is_root:
        message = "network.switch openvswitch makes network devices, which only root may do"
        yield Finding("switch", "failure", message, "Run the command as root, or use switch: bridge")


def _running(facts: HostFacts, domain: str) -> bool:
    return domain in facts.domains and facts.domains[domain].active


def _listed(words: Iterator[str] | list[str]) -> str:
    return ", ".join(words)


__all__ = ["judge"]
