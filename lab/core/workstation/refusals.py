"""Hosts that are not ready, made on purpose on the workstation: what the doctor has to say about each. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.core.addressing import network_name
from lab.core.host_facts import ECHO
from lab.core.model import Lab
from lab.core.proof.cases import Case
from lab.core.workstation.plan import USER


@dataclass(frozen=True)
class Refusal:
    """One bad host.

    Args:
        name: of the case.
        make: shell text that makes it, run by the user.
        undo: shell text that takes it back.
        finding: name of the finding that has to be a failure.
        message: pattern that its message has to match.
    """

    name: str
    make: str
    undo: str
    finding: str
    message: str


_MEMORY = "/dev/shm"  # noqa: S108 (of the workstation)
_MOST_KIB = "$(awk '/MemAvailable/ { print $2 - 2000000 }' /proc/meminfo)"
_MODULE = "sudo modprobe -r kvm_amd && sudo modprobe kvm_amd"
_LISTEN = "sudo systemd-run --quiet --unit=port53 --collect systemd-socket-activate --datagram --listen=0.0.0.0:53 cat"
_RAISED = "sudo ip link set taken0 up"


def refusals(lab: Lab) -> tuple[Refusal, ...]:
    """The bad hosts, each alone.

    Args:
        lab: the lab that is asked for; its addresses and names are taken by others.
    """
    gateway = lab.network.service_subnet.network_address + 1
    network = network_name(lab.name, "service")
    xml = f"<network><name>{network}</name><ip address='192.0.2.1' prefix='24'/></network>"
    return (
        Refusal(
            "KVM's modules are not loaded",
            "sudo modprobe -r kvm_amd kvm && ! lsmod | grep -q ^kvm",
            "sudo modprobe kvm_amd && sudo udevadm settle",
            "accelerator",
            r"kvm_amd is not loaded",
        ),
        Refusal("nested=0", f"{_MODULE} nested=0", _MODULE, "accelerator", r"nesting is off \(kvm_amd nested=0\)"),
        Refusal(
            "the user is not in the group libvirt",
            f"sudo gpasswd -d {USER} libvirt",
            f"sudo gpasswd -a {USER} libvirt",
            "libvirt",
            r"cannot be reached|denied|authenticat",
        ),
        Refusal(
            "memory is short",
            f"sudo mount -o remount,size=100% {_MEMORY} && sudo fallocate -l {_MOST_KIB}KiB {_MEMORY}/hog",
            f"sudo rm -f {_MEMORY}/hog && sudo mount -o remount,size=50% {_MEMORY}",
            "memory",
            r"\d+ MiB available, \d+ MiB needed",
        ),
        Refusal(
            "the subnet is taken",
            f"sudo ip link add taken0 type dummy && sudo ip addr add {gateway}/24 dev taken0 && {_RAISED}",
            "sudo ip link del taken0",
            "service subnet",
            r"is taken on this host by the route .* to taken0",
        ),
        Refusal(
            "port 53 is taken",
            f"{_LISTEN} && for n in $(seq 20); do ss -Hlun 'sport = :53' | grep -q . && break; sleep 0.5; done",
            "sudo systemctl stop port53.service",
            "port 53",
            r"0\.0\.0\.0.*port 53|port 53.*0\.0\.0\.0",
        ),
        Refusal(
            "a network of libvirt's has the name of the lab's",
            f'echo "{xml}" > /tmp/stranger.xml && virsh -q -c qemu:///system net-define /tmp/stranger.xml',
            f"virsh -q -c qemu:///system net-undefine {network}",
            "names",
            rf"used in libvirt by something else: network {network}",
        ),
    )


def judged(refusal: Refusal, returncode: int, document: Mapping[str, Any] | None, duration_s: float) -> Case:
    """Whether the doctor refused as it has to: exit code 1, the finding, its reason, and a remedy.

    Args:
        refusal: the bad host.
        returncode: of ``lab.doctor --json``.
        document: what it printed; None when that was no JSON.
        duration_s: how long it took.
    """
    name = f"refused: {refusal.name}"
    if document is None:
        return Case(name, "failed", f"exit code {returncode}, and no table of findings", duration_s=duration_s)
    findings: Sequence[Mapping[str, Any]] = document.get("findings", ())
    found = [one for one in findings if one["name"] == refusal.finding]
    said = [f"{one['name']}: {one['message']} -> {one['remedy']}" for one in findings if one["severity"] == "failure"]
    fitting = [one for one in found if one["severity"] == "failure" and re.search(refusal.message, one["message"])]
    if returncode != 1 or document.get("ok"):
        why = f"not refused: exit code {returncode}"
    elif not fitting:
        why = f"the reason is missing: no failure of {refusal.finding} matches {refusal.message!r}"
    elif not fitting[0]["remedy"]:
        why = "the reason has no remedy"
    else:
        return Case(name, "passed", "", tuple(said), duration_s)
    return Case(name, "failed", why, tuple(said), duration_s)


def ready(returncode: int, document: Mapping[str, Any] | None, duration_s: float) -> Case:
    """Whether the doctor found the good host ready, with KVM proven."""
    name = "ready: KVM and nesting are proven"
    accelerator = (document or {}).get("accelerator", {})
    said = (str(accelerator.get("reason", "")), *map(str, accelerator.get("evidence", ())))
    failed = [f"{one['name']}: {one['message']}" for one in (document or {}).get("findings", ()) if not one["ok"]]
    if returncode == 0 and accelerator.get("accelerator") == "kvm":
        return Case(name, "passed", "", said, duration_s)
    return Case(
        name, "failed", f"exit code {returncode}; {'; '.join(failed) or 'KVM was not chosen'}", said, duration_s
    )


def warned_of_echoes(document: Mapping[str, Any] | None) -> bool:
    """Whether the doctor has said that the user may send no echo, as on a small Debian 13."""
    findings = (document or {}).get("findings", ())
    return any(one["name"] == ECHO and one["severity"] == "warning" and one["remedy"] for one in findings)


def echoes_allowed(document: Mapping[str, Any] | None) -> Case:
    """Whether the doctor says now that the user may send an echo."""
    said = [one for one in (document or {}).get("findings", ()) if one["name"] == ECHO]
    lines = tuple(f"{one['name']}: {one['message']}" for one in said)
    if [one["severity"] for one in said] == ["ok"]:
        return Case("an ICMP echo may be sent", "passed", "", lines)
    return Case("an ICMP echo may be sent", "failed", "; ".join(lines) or "the doctor says nothing of it", lines)
