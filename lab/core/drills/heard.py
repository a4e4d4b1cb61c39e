"""Where guests were heard from: the table of addresses of the bridge that joins the nodes, beside their processes."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.core.drills.record import AuditResult
from lab.core.drills.residence import Residence, spans

#: struct __fdb_entry of Linux, include/uapi/linux/if_bridge.h: address, port, whether it is the bridge's own, age,
#: and the upper half of the port's number.
_ENTRY = struct.Struct("<6sBBIBBH")
HEARD_AUDIT = "every guest was heard from where it ran, and from nowhere else"


@dataclass(frozen=True)
class Sighting:
    """A frame of a guest came in from another node than the one before.

    Args:
        at_s: when it was noticed, seconds since 1970 by the host's clock.
        guest: name of the domain.
        node: name of the node.
    """

    at_s: float
    guest: str
    node: str


def addresses(table: bytes) -> dict[str, int]:
    """Port by MAC address, of the addresses that a bridge has learnt.

    Args:
        table: ``brforward`` of a bridge, as sysfs has it; an entry that is cut off is left out.
    """
    whole = len(table) - len(table) % _ENTRY.size
    return {
        raw.hex(":"): port | upper << 8
        for raw, port, own, _age, upper, _, _ in _ENTRY.iter_unpack(table[:whole])
        if not own
    }


def moved(
    before: Mapping[str, str], seen: Mapping[str, int], nodes_by_port: Mapping[int, str], guests: Mapping[str, str]
) -> dict[str, str]:
    """The guests that were heard from another node than before, and from which.

    Args:
        before: node by guest.
        seen: port by MAC address.
        nodes_by_port: node by port; ports of others are left out.
        guests: domain by MAC address.
    """
    now = {guest: nodes_by_port[port] for mac, guest in guests.items() if (port := seen.get(mac, -1)) in nodes_by_port}
    return {guest: node for guest, node in now.items() if before.get(guest) != node}


def audit_heard(
    sightings: Sequence[Sighting],
    found: Iterable[Residence],
    *,
    guests: Sequence[str],
    offsets_s: Mapping[str, float],
    power_lost_s: Mapping[str, Sequence[float]],
    tolerance_s: float,
) -> AuditResult:
    """A guest that answers from a node where it has no process, or from two in turn, is found here.

    Args:
        sightings: what the bridge learnt, in order; of each guest at least where it was in the beginning.
        found: the residences of all guests on all nodes.
        guests: the domains.
        offsets_s: per node, its clock minus the host's, seconds.
        power_lost_s: per node, when its processes ended without a word; host's clock, seconds since 1970.
        tolerance_s: how far two clocks may be apart after the correction.
    """
    lived = spans(found, offsets_s=offsets_s, power_lost_s=power_lost_s)
    wrong = [f"{guest} was not heard at all" for guest in guests if guest not in {one.guest for one in sightings}]
    strange = Counter(
        (one.guest, one.node)
        for one in sightings
        if not any(
            each.guest == one.guest and each.node == one.node and start - tolerance_s <= one.at_s <= end + tolerance_s
            for each, start, end in lived
        )
    )
    wrong += [
        f"{guest} was heard from {node}, where it had no process{f', {times} times' if times > 1 else ''}"
        for (guest, node), times in strange.items()
    ]
    changes = len(sightings) - len({one.guest for one in sightings})
    evidence = f"{len(guests)} guests heard, {changes} changes of node, each to where a process of the guest was"
    return AuditResult(HEARD_AUDIT, not wrong, tuple(wrong) or (evidence,))


__all__ = ["HEARD_AUDIT", "Sighting", "addresses", "audit_heard", "moved"]
