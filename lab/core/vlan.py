"""A tagged VLAN (IEEE 802.1Q) of a lab."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network


@dataclass(frozen=True)
class Vlan:
    """A tagged VLAN beside the service network: its number, 1 to 4094, and its /24."""

    number: int
    subnet: IPv4Network
