"""The guests' own heartbeats on the shared storage (``/etc/lab/services/85-heartbeat``), read on the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.core.drills.record import AuditResult

#: A lab that an earlier version has built has guests without a heartbeat.
NEVER = "was never written (lab.down and lab.up make a lab whose guests have one)"
HEARTBEAT_AUDIT = "no guest found another one at its heartbeat"


@dataclass(frozen=True)
class Heartbeat:
    """What a guest wrote last.

    Args:
        instance: whose record it is, another name at each start.
        sequence: how often this instance has written.
        strangers: how often a record of another writer was found, since the disk was made.
        stranger: instance and sequence of the last of those.
    """

    instance: str
    sequence: int
    strangers: int
    stranger: str


def parse_heartbeat(line: str) -> Heartbeat | None:
    """The record in a line; None for a disk to which no guest has written, and for anything else.

    Args:
        line: ``heartbeat INSTANCE SEQUENCE UPTIME STRANGERS STRANGER``.
    """
    words = line.split()
    if len(words) != 6 or words[0] != "heartbeat" or not (_is_number(words[2]) and _is_number(words[4])):
        return None
    return Heartbeat(words[1], int(words[2]), int(words[4]), words[5])


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 19


#: What was read: by node and guest.
Readings = Mapping[str, Mapping[str, Heartbeat | None]]


def standing_still(before: Readings, after: Readings, guests: Sequence[str]) -> list[str]:
    """The guests whose heartbeat did not go on between two readings, on a node that was read, and where.

    Args:
        before: a reading.
        after: a later one.
        guests: names of all.
    """
    return [
        f"{guest}'s heartbeat, read on {node}, {'stood still' if now.get(guest) else NEVER}"
        for node, now in after.items()
        for guest in guests
        if now.get(guest) is None or now.get(guest) == before.get(node, {}).get(guest)
    ]


def audit_heartbeats(before: Readings, after: Readings, guests: Sequence[str]) -> AuditResult:
    """No guest found another writer at its heartbeat during the drill; every heartbeat went on, as each node has it.

    Args:
        before: the reading at the beginning.
        after: the one at the end.
        guests: names of all.
    """
    wrong = standing_still(before, after, guests) or ([] if after else ["no node could be read"])
    for guest in guests:
        counted = [_found(before, guest), _found(after, guest)]
        if (times := counted[1] - counted[0]) > 0:
            last = next(one.stranger for one in _of(after, guest) if one.strangers == counted[1])
            wrong.append(
                f"{guest} found another writer at its heartbeat{f', {times} times' if times > 1 else ''}: {last}"
            )
    evidence = f"{len(guests)} heartbeats went on, read on {' and '.join(after)}"
    return AuditResult(HEARTBEAT_AUDIT, not wrong, tuple(wrong) or (evidence,))


def _of(readings: Readings, guest: str) -> list[Heartbeat]:
    return [found for of_node in readings.values() if (found := of_node.get(guest)) is not None]


def _found(readings: Readings, guest: str) -> int:
    return max((one.strangers for one in _of(readings, guest)), default=0)


__all__ = ["HEARTBEAT_AUDIT", "Heartbeat", "Readings", "audit_heartbeats", "parse_heartbeat", "standing_still"]
