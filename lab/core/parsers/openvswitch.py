"""What ovs-appctl tells of a switch: ``lacp/show``, ``bond/show`` and ``fdb/show`` (ovs-vswitchd(8))."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core.errors import LabError

NO_PARTNER = "00:00:00:00:00:00"
_HEAD = re.compile(r"^---- (.+) ----$", re.MULTILINE)
_FDB_HEAD = ["port", "VLAN", "MAC", "Age"]


@dataclass(frozen=True)
class LacpMember:
    """A leg in the eyes of LACP.

    Args:
        name: of the switch's port.
        state: ``current`` while the partner's words come, ``expired`` when they stay away, then ``defaulted``.
        attached: whether it belongs to the aggregate.
        enabled: whether it may carry frames.
        partner: hardware address that stands for the partner; zeros when there is none.
    """

    name: str
    state: str
    attached: bool
    enabled: bool
    partner: str

    @property
    def carries(self) -> bool:
        """Whether a partner is there that speaks LACP, and frames go both ways."""
        return self.state == "current" and self.attached and self.enabled and self.partner != NO_PARTNER


@dataclass(frozen=True)
class LacpBond:
    """A bond in the eyes of LACP; ``negotiated`` also stays true for a while after the partner has gone."""

    name: str
    negotiated: bool
    fast: bool
    members: tuple[LacpMember, ...]


@dataclass(frozen=True)
class SwitchBond:
    """A bond of the switch: mode, and per leg whether it is enabled."""

    name: str
    mode: str
    members: dict[str, bool]


@dataclass(frozen=True)
class Learned:
    """A station that the switch has seen: port (a number or ``LOCAL``), VLAN (0 for untagged), and MAC address."""

    port: str
    vlan: int
    mac: str


def parse_lacp(text: str) -> dict[str, LacpBond]:
    """The output of ``ovs-appctl lacp/show``, by bond; empty without any.

    Raises:
        LabError: a field is missing.
    """
    found = {}
    for name, body in _blocks(text):
        head, *members = re.split(r"^member: ", body, flags=re.MULTILINE)
        fields = _fields(head)
        found[name] = LacpBond(
            name=name,
            negotiated="negotiated" in _field(fields, "status").split(),
            fast=_field(fields, "lacp_time") == "fast",
            members=tuple(_lacp_member(member) for member in members),
        )
    return found


def _lacp_member(text: str) -> LacpMember:
    title, _, rest = text.partition("\n")
    match = re.fullmatch(r"(\S+): (\w+) (\w+)", title.strip())
    if not match:
        raise _unreadable(f"a member {title!r}")
    fields = _fields(rest)
    return LacpMember(
        name=match[1],
        state=match[2],
        attached=match[3] == "attached",
        enabled=_field(fields, "may_enable") == "true",
        partner=_field(fields, "partner sys_id"),
    )


def parse_bonds(text: str) -> dict[str, SwitchBond]:
    """The output of ``ovs-appctl bond/show``, by bond; empty without any.

    Raises:
        LabError: a field is missing.
    """
    found = {}
    for name, body in _blocks(text):
        members = dict(re.findall(r"^member (\S+): (\w+)$", body, re.MULTILINE))
        mode = _field(_fields(body), "bond_mode")
        found[name] = SwitchBond(name, mode, {member: state == "enabled" for member, state in members.items()})
    return found


def parse_stations(text: str) -> tuple[Learned, ...]:
    """The output of ``ovs-appctl fdb/show BRIDGE``.

    Raises:
        LabError: it is not such a table.
    """
    head, *rows = [line.split() for line in text.splitlines() if line.strip()] or [[]]
    if head != _FDB_HEAD or any(len(row) != len(head) or not row[1].isdecimal() for row in rows):
        raise _unreadable("the table of stations")
    return tuple(Learned(port, int(vlan), mac) for port, vlan, mac, _age in rows)


def _blocks(text: str) -> list[tuple[str, str]]:
    parts = _HEAD.split(text)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _fields(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _field(fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise _unreadable(f"no field {name!r}")
    return fields[name]


def _unreadable(what: str) -> LabError:
    return LabError(f"Open vSwitch said something unexpected: {what}", remedy="See the log ovs-vswitchd.log of the lab")
