"""Corosync 3: ``corosync-quorumtool -s`` and ``corosync-cfgtool -s`` (see their man pages, section 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core.errors import LabError

_FIELD = re.compile(r"([A-Z][A-Za-z ]+):\s+(.*)")
_MEMBER = re.compile(r"\s*(\d+)\s+(\d+)\s+(?:\S+\s+)?([^\s(]\S*)(\s+\(local\))?\s*")
_LINK = re.compile(r"LINK ID (\d+)(?:\s+(\S+))?\s*")
_LINK_NODE = re.compile(r"\s*nodeid:\s*(\d+):\s*(.+?)\s*")
_LOCAL = re.compile(r"Local node ID (\d+)(?:, transport (\S+))?\s*")


@dataclass(frozen=True)
class QuorumMember:
    """A node that is in the membership now.

    Args:
        node_id, votes, name: as configured.
        local: whether the tool ran on it.
    """

    node_id: int
    votes: int
    name: str
    local: bool


@dataclass(frozen=True)
class QuorumStatus:
    """Votes and membership as one node sees them.

    Args:
        node_id: of the node that was asked.
        ring_id: the membership's name; changes with each change of members.
        quorate: whether this part may act.
        expected_votes, total_votes, quorum: votes configured, present, needed.
        blocked: whether activity is blocked for want of votes, or until all have been seen once (WaitForAll).
        flags: such as ``2Node``, ``Quorate``, ``WaitForAll``.
        members: who is there.
    """

    node_id: int
    ring_id: str
    quorate: bool
    expected_votes: int
    total_votes: int
    quorum: int
    blocked: bool
    flags: tuple[str, ...]
    members: tuple[QuorumMember, ...]

    @property
    def member_names(self) -> tuple[str, ...]:
        """Names of the members, by node id."""
        return tuple(member.name for member in sorted(self.members, key=lambda member: member.node_id))


@dataclass(frozen=True)
class Link:
    """One ring and whom it reaches.

    Args:
        number: of the link, from 0.
        states: per node id, ``localhost``, ``connected`` or ``disconnected``.
    """

    number: int
    states: dict[int, str]

    @property
    def connected(self) -> bool:
        """Whether every other node is reached."""
        return all(state in {"localhost", "connected"} for state in self.states.values())


@dataclass(frozen=True)
class LinkStatus:
    """The links of one node.

    Args:
        node_id: of the node that was asked.
        transport: such as ``udpu`` or ``knet``.
        links: by number.
    """

    node_id: int
    transport: str
    links: tuple[Link, ...]


def parse_quorum(text: str) -> QuorumStatus:
    """Read the output of ``corosync-quorumtool -s``; its exit code is 2, not 0, where there is no quorum.

    Raises:
        LabError: a field is missing (as when Corosync does not run), or has another form.
    """
    head, _, membership = text.partition("Membership information")
    fields = {match[1]: match[2].strip() for line in head.splitlines() if (match := _FIELD.fullmatch(line.rstrip()))}

    def field(name: str) -> str:
        if name not in fields:
            raise _unreadable("corosync-quorumtool", f"no field {name!r} in {text.strip()[:80]!r}")
        return fields[name]

    def number(name: str) -> int:
        digits = re.match(r"\d+", field(name), re.ASCII)
        if digits is None:
            raise _unreadable("corosync-quorumtool", f"{name} is {field(name)!r}")
        return int(digits[0])

    if field("Quorate") not in {"Yes", "No"}:
        raise _unreadable("corosync-quorumtool", f"Quorate is {field('Quorate')!r}")
    return QuorumStatus(
        node_id=number("Node ID"),
        ring_id=field("Ring ID"),
        quorate=field("Quorate") == "Yes",
        expected_votes=number("Expected votes"),
        total_votes=number("Total votes"),
        quorum=number("Quorum"),
        blocked="Activity blocked" in field("Quorum"),
        flags=tuple(field("Flags").split()),
        members=_members(membership),
    )


def parse_links(text: str) -> LinkStatus:
    """Read the output of ``corosync-cfgtool -s``.

    The address it prints for a link is left out: with transport udpu it is the peer's in 3.1.7, not the node's own.

    Raises:
        LabError: the first line, a link or a node's state is missing or has another form.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Printing")]
    local = _LOCAL.fullmatch(lines[0]) if lines else None
    if local is None:
        raise _unreadable("corosync-cfgtool", f"no local node in {text.strip()[:80]!r}")
    links: list[Link] = []
    for line in lines[1:]:
        link, node = _LINK.fullmatch(line), _LINK_NODE.fullmatch(line)
        if link:
            links.append(Link(int(link[1]), {}))
        elif node and links:
            links[-1].states[int(node[1])] = node[2]
    if not links or not all(link.states for link in links):
        raise _unreadable("corosync-cfgtool", "no link with the state of its nodes")
    return LinkStatus(int(local[1]), local[2] or "", tuple(links))


def _unreadable(tool: str, why: str) -> LabError:
    return LabError(f"the output of {tool} cannot be read: {why}", remedy="See whether Corosync runs on that node")


def _members(text: str) -> tuple[QuorumMember, ...]:
    lines = [line for line in text.splitlines() if re.match(r"\s*\d", line)]
    matches = [(line, _MEMBER.fullmatch(line)) for line in lines]
    members = []
    for line, match in matches:
        if match is None:
            raise _unreadable("corosync-quorumtool", f"{line!r} is no member")
        members.append(QuorumMember(int(match[1]), int(match[2]), match[3], match[4] is not None))
    return tuple(members)
