"""What the workstation is looked at for, and what the looks mean: installed, joined, listening, left behind. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lab.core.proof.cases import Case

#: Each look is shell text whose output is a set of lines.
LOOKS: Mapping[str, str] = {
    "packages": "apt-mark showmanual",
    "groups": "id -nG $(id -un) | tr ' ' '\\n'",
    "failed units": "systemctl list-units --failed --plain --no-legend | awk '{ print $1 }'",
    "sockets": "sudo ss -Hltunp | awk '{ print $1, $5, $7 }' | sed 's/,.*//'",
}
#: What a lab must not leave on a machine that it was removed from.
TRACES: Mapping[str, str] = {
    "domains": "virsh -q -c qemu:///system list --all --name",
    "networks": "virsh -q -c qemu:///system net-list --all --name",
    "pools": "virsh -q -c qemu:///system pool-list --all --name",
    "devices": "ls /sys/class/net",
    "images": "sudo ls /var/lib/libvirt/images",
    "logs": "sudo ls /var/log/libvirt/qemu",
    "processes": "ps -eo user:20,args | grep -E '(qemu-system|fence_virtd|dnsmasq|ovs-)' | grep -v grep | cut -c 1-120",
    "mounts": "findmnt -rno TARGET | grep -v '^/run/user'",
}
#: What sudo was asked for since a moment (``{since}``, seconds since 1970), oldest first. It asks for something itself,
#: so that an empty journal is not taken for nobody's asking.
ROOT_LOOK = (
    "sudo true; sudo journalctl --sync; sudo journalctl -q -t sudo --since=@{since} -o cat | grep -o 'COMMAND=.*'"
)
_ROOT_LOOKS_OWN = re.compile(r"^COMMAND=\S*/(true|journalctl( .*)?)$")
#: What lab.down keeps and says so: the cache of images, and libvirt's own logs, which only root may remove.
KEPT = ("ha-lab-cache", ".log")

_INSTALLING = re.compile(r"^inv: installing with apt-get [^:]*: (?P<words>.*) \(log: .*\)$", re.MULTILINE)
_JOINING = re.compile(r"^inv: adding \S+ to the groups? (?P<words>.*?) with ", re.MULTILINE)
_OTHER_PROCESSOR = re.compile(
    r"^Error: the bundle of the lab \S+ does not fit this machine: "
    r"it was made on the processor '(?P<made>[^']+)', and this is '(?P<here>[^']+)'( \([^)]*\))?$",
    re.MULTILINE,
)
_LOOPBACK = re.compile(r"^(127\.|\[::1\]|\[::ffff:127\.)|%lo:")


def lines_of(text: str) -> frozenset[str]:
    """The lines of a look."""
    return frozenset(line.strip() for line in text.splitlines() if line.strip())


def set_up_cases(
    said: str, before: Mapping[str, frozenset[str]], after: Mapping[str, frozenset[str]]
) -> tuple[Case, ...]:
    """Whether the set-up did what it said and nothing else.

    Args:
        said: all that the command printed.
        before: the :data:`LOOKS` before it.
        after: and after it.
    """
    new = {name: after[name] - before[name] for name in LOOKS}
    packages = {word for match in _INSTALLING.finditer(said) for word in match["words"].split()}
    groups = {word for match in _JOINING.finditer(said) for word in re.split(r", | and |,? ", match["words"]) if word}
    open_ones = {line for line in new["sockets"] if not _LOOPBACK.search(line.split()[1])}
    return (
        _none("only packages that it named are marked as installed by hand", new["packages"] - packages),
        _none("only groups that it named are joined", new["groups"] - groups),
        _none("no unit has failed", after["failed units"] - before["failed units"]),
        _none("nothing new listens to other machines", open_ones),
    )


def root_case(name: str, seen: str) -> Case:
    """Whether nothing was done as root since a moment.

    Args:
        name: of the case.
        seen: what :data:`ROOT_LOOK` printed.
    """
    lines = [line.strip() for line in seen.splitlines() if line.strip()]
    if not any(_ROOT_LOOKS_OWN.match(line) for line in lines):
        return Case(name, "failed", "the journal does not show what sudo was asked for", tuple(lines))
    asked = sorted({line for line in lines if not _ROOT_LOOKS_OWN.match(line)})
    return Case(name, "failed", f"as root: {len(asked)}", tuple(asked)) if asked else Case(name, "passed")


def refused_processor(returncode: int, said: str, duration_s: float) -> Case:
    """Whether a bundle of another processor was refused as promised: exit code 2, this reason alone, and a remedy.

    Args:
        returncode: of ``lab.import``.
        said: all that it printed.
        duration_s: how long it took.
    """
    name = "a lab that was saved under KVM is refused on another processor"
    lines = tuple(said.strip().splitlines()[-6:])
    reason = _OTHER_PROCESSOR.search(said)
    if returncode != 2:  # what input that cannot be used ends with
        why = f"exit code {returncode}"
    elif reason is None:
        why = "the reason is missing, or there is another one"
    elif reason["made"] == reason["here"]:
        why = "both processors have the same name"
    elif "the same processor; or build the lab here" not in said:
        why = "the reason has no remedy"
    else:
        return Case(name, "passed", "", lines, duration_s)
    return Case(name, "failed", why, lines, duration_s)


def left_behind(name: str, before: Mapping[str, frozenset[str]], after: Mapping[str, frozenset[str]]) -> Case:
    """Whether a removed lab left nothing but what it says it keeps.

    Args:
        name: of the case.
        before: the :data:`TRACES` before the lab came.
        after: and after it went.
    """
    left = {f"{look}: {line}" for look in TRACES for line in after[look] - before[look] if not line.endswith(KEPT)}
    return _none(name, left)


def _none(name: str, found: Sequence[str] | set[str] | frozenset[str]) -> Case:
    listed = tuple(sorted(found))
    return Case(name, "failed", "; ".join(listed), listed) if listed else Case(name, "passed")
