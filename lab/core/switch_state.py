"""Judging a lab's switch by what it says: whether every leg carries, and who lives in which VLAN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lab.core.parsers.openvswitch import LacpBond, Learned
from lab.core.switch_plan import SwitchPlan


def lacp_problems(plan: SwitchPlan, bonds: Mapping[str, LacpBond]) -> list[str]:
    """What is wrong between the switch and the nodes' bonds, each as one sentence; empty when all legs carry.

    Args:
        plan: what the switch is to be.
        bonds: what LACP says of each bond, by the node's name.
    """
    if not plan.lacp:
        return []
    return [problem for trunk in plan.trunks for problem in _trunk_problems(trunk.name, trunk.legs, trunk.macs, bonds)]


def _trunk_problems(
    name: str, legs: Sequence[str], macs: Sequence[str], bonds: Mapping[str, LacpBond]
) -> Iterator[str]:
    bond = bonds.get(name)
    if bond is None:
        yield f"the switch has no bond to {name}"
        return
    members = {member.name: member for member in bond.members}
    for leg in legs:
        member = members.get(leg)
        if member is None:
            yield f"the switch's bond to {name} has no leg {leg}"
        elif not member.carries:
            how = f"{member.state}, {'attached' if member.attached else 'detached'}"
            yield f"LACP with {name} does not carry on {leg} ({how})"
        elif member.partner not in macs:
            yield f"LACP on {leg} speaks with {member.partner}, which is not {name}"


def carrying_text(plan: SwitchPlan, bonds: Mapping[str, LacpBond]) -> str:
    """How many legs of each node carry, for a person: ``brina 2 of 2 legs, piova 1 of 2 legs``."""
    parts = []
    for trunk in plan.trunks:
        bond = bonds.get(trunk.name)
        carrying = sum(member.carries for member in bond.members) if bond else 0
        parts.append(f"{trunk.name} {carrying} of {len(trunk.legs)} legs")
    return ", ".join(parts)


def strangers(stations: Sequence[Learned], vlan: int, members: Sequence[str]) -> list[str]:
    """MAC addresses that the switch has seen in a VLAN and that do not live there, sorted."""
    return sorted({station.mac for station in stations if station.vlan == vlan} - set(members))
