"""A bond as the kernel's driver tells of it in ``/proc/net/bonding`` (Documentation/networking/bonding.rst)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core.errors import LabError

_MODES = {
    "fault-tolerance (active-backup)": "active-backup",
    "IEEE 802.3ad Dynamic link aggregation": "802.3ad",
}
_PAIR = re.compile(r"\s*([^:]+?):\s*(.*?)\s*")


@dataclass(frozen=True)
class Leg:
    """One interface of a bond.

    Args:
        name: of the interface.
        up: whether its link is up in the eyes of the bond.
        mac: its permanent hardware address.
        failures: how often its link was lost.
        aggregator: number of the aggregate that it belongs to (802.3ad only); 0 for none.
    """

    name: str
    up: bool
    mac: str
    failures: int
    aggregator: int = 0


@dataclass(frozen=True)
class Bond:
    """A bond.

    Args:
        mode: as a topology writes it, such as ``active-backup``; the driver's own words for any other mode.
        up: whether the bond has a link.
        miimon_ms: how often links are looked at.
        active: the leg in use; empty where all are.
        partner_mac: of the switch that speaks LACP (802.3ad only); zeros where none does.
        legs: in the kernel's order.
        aggregator: number of the aggregate in use (802.3ad only); 0 for none.
        fast: whether LACP asks for a word every second (802.3ad only).
    """

    mode: str
    up: bool
    miimon_ms: int
    active: str
    partner_mac: str
    legs: tuple[Leg, ...]
    aggregator: int = 0
    fast: bool = False

    @property
    def carrying(self) -> tuple[str, ...]:
        """Names of the legs that frames go through: those with a link, in 802.3ad those of the aggregate in use."""
        if self.mode == "802.3ad":
            return tuple(leg.name for leg in self.legs if leg.up and leg.aggregator == self.aggregator)
        return (self.active,) if self.active else ()


def parse_bond(text: str) -> Bond:
    """Read a file of ``/proc/net/bonding``.

    Raises:
        LabError: a field is missing or has another form.
    """
    head, *legs = re.split(r"^(?=Slave Interface:)", text, flags=re.MULTILINE)
    fields = _fields(head)
    mode = _field(fields, "Bonding Mode")
    return Bond(
        mode=_MODES.get(mode, mode),
        up=_field(fields, "MII Status") == "up",
        miimon_ms=_number(fields, "MII Polling Interval (ms)"),
        active=fields.get("Currently Active Slave", "").replace("None", ""),
        partner_mac=fields.get("Partner Mac Address", ""),
        legs=tuple(_leg(_fields(leg)) for leg in legs),
        aggregator=_optional(fields, "Aggregator ID"),
        fast=fields.get("LACP rate", "") == "fast",
    )


def _leg(fields: dict[str, str]) -> Leg:
    return Leg(
        name=_field(fields, "Slave Interface"),
        up=_field(fields, "MII Status") == "up",
        mac=_field(fields, "Permanent HW addr"),
        failures=_number(fields, "Link Failure Count"),
        aggregator=_optional(fields, "Aggregator ID"),
    )


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        pair = _PAIR.fullmatch(line)
        if pair:
            found.setdefault(pair[1], pair[2])
    return found


def _field(fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise LabError(f"/proc/net/bonding cannot be read: no field {name!r}", remedy="See whether the bond is up")
    return fields[name]


def _optional(fields: dict[str, str], name: str) -> int:
    """A number that some modes and states do not have (``N/A``)."""
    value = fields.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else 0


def _number(fields: dict[str, str], name: str) -> int:
    value = _field(fields, name)
    if not (value.isascii() and value.isdigit()):
        raise LabError(f"/proc/net/bonding cannot be read: {name} is {value!r}")
    return int(value)
