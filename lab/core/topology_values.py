"""The kinds of values of a topology document: names, quantities, subnets; each knows its form and its remedy.

Every name of the document ends up in paths, shell words, XML or configuration files on the nodes, so each kind allows
only characters that mean nothing to any of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from lab.core import units

#: Type of the errors raised here, whose message and remedy are ready for people.
OWN_ERROR = "lab"

PRIVATE_NETWORKS = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def refuse(message: str, remedy: str) -> PydanticCustomError:
    """An error with a message and a remedy that reach the person as they are."""
    return PydanticCustomError(OWN_ERROR, "{message}", {"message": message, "remedy": remedy})


class _Kind:
    """A kind of value: ``parse`` gives the value or raises, ``json_form`` is its JSON Schema."""

    def parse(self, value: object) -> object:
        raise NotImplementedError

    def json_form(self) -> dict[str, Any]:
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=core_schema.to_string_ser_schema()
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.json_form()


@dataclass(frozen=True)
class Text(_Kind):
    """A text of a fixed form.

    Args:
        what: what it is, as in "is not a {what}".
        pattern: regular expression of the whole text.
        remedy: what it has to look like.
        reserved: texts of the right form that cannot be used, each with the reason.
    """

    what: str
    pattern: str
    remedy: str
    reserved: Mapping[str, str] = field(default_factory=dict, hash=False)

    def parse(self, value: object) -> str:
        """The text itself."""
        if not isinstance(value, str):
            raise refuse(f"expected {self.what}, not {units.described(value)}", self.remedy)
        if re.fullmatch(self.pattern, value, re.ASCII) is None:
            raise refuse(f"{units.shortened(value)} is not {self.what}", self.remedy)
        if value in self.reserved:
            raise refuse(f"'{value}' cannot be used as {self.what}: {self.reserved[value]}", "Choose another name")
        return value

    def json_form(self) -> dict[str, Any]:
        """A string with the pattern."""
        form: dict[str, Any] = {"type": "string", "pattern": f"^(?:{self.pattern})$"}
        if self.reserved:
            form["not"] = {"enum": sorted(self.reserved)}
        return form


@dataclass(frozen=True)
class Quantity(_Kind):
    """A number with a unit.

    Args:
        read: text to a whole number of ``unit``.
        unit: unit of the result and of the bounds.
        known_units: units that may be written.
        smallest, largest: bounds in ``unit``.
    """

    read: Callable[[object], int]
    unit: str
    known_units: Mapping[str, int] = field(hash=False)
    smallest: int
    largest: int

    def parse(self, value: object) -> int:
        """The quantity in its unit."""
        try:
            amount = self.read(value)
        except units.MissingUnitError as error:
            meant = units.MissingUnitError(error.number, self._likely_unit(error), error.units)
            raise refuse(meant.message, meant.remedy) from None
        except units.UnitError as error:
            raise refuse(error.message, error.remedy) from None
        if not self.smallest <= amount <= self.largest:
            small = amount < self.smallest
            bound = f"at least {self.smallest}" if small else f"at most {self.largest}"
            raise refuse(
                f"{units.shortened(str(value))} is too {'small' if small else 'large'}", f"Write {bound} {self.unit}"
            )
        return amount

    def _likely_unit(self, error: units.MissingUnitError) -> str:
        """The first unit with which the number is within the bounds, the usual one before the others."""
        for unit in (error.likely, *error.units):
            try:
                amount = self.read(f"{error.number} {unit}")
            except units.UnitError:
                continue
            if self.smallest <= amount <= self.largest:
                return unit
        return error.likely

    def json_form(self) -> dict[str, Any]:
        """A string of a number and a unit."""
        return {"type": "string", "pattern": units.quantity_pattern(self.known_units)}


@dataclass(frozen=True)
class Rate(_Kind):
    """A rate of a resynchronisation, kept in the notation of drbd.conf(5)."""

    largest_kib: int = 4 * 1024**2

    def parse(self, value: object) -> str:
        """The rate, such as ``50M``."""
        try:
            rate = units.drbd_rate(value)
        except units.UnitError as error:
            raise refuse(error.message, error.remedy) from None
        if not 1 <= units.drbd_rate_kib(rate) <= self.largest_kib:
            raise refuse(
                f"{units.shortened(str(value))} is out of bounds", "Write at least 1 KiB/s and at most 4 GiB/s"
            )
        return rate

    def json_form(self) -> dict[str, Any]:
        """A string of a number and a unit."""
        return {"type": "string", "pattern": units.quantity_pattern(units.RATE_UNITS)}


@dataclass(frozen=True)
class RequestRate(_Kind):
    """A rate of requests, kept in whole requests per hour; 0 for none at all.

    Args:
        largest_per_s: most that may be written, requests per second.
    """

    largest_per_s: int

    def parse(self, value: object) -> int:
        """Requests per hour."""
        try:
            per_hour = units.requests_per_hour(value)
        except units.UnitError as error:
            raise refuse(error.message, error.remedy) from None
        if per_hour > self.largest_per_s * 3600:
            raise refuse(f"{units.shortened(str(value))} is too large", f"Write at most {self.largest_per_s}/s")
        return per_hour

    def json_form(self) -> dict[str, Any]:
        """A string of a number and a unit."""
        return {"type": "string", "pattern": units.quantity_pattern(units.REQUEST_RATE_UNITS)}


@dataclass(frozen=True)
class Subnet(_Kind):
    """A private IPv4 network (RFC 1918).

    Args:
        longest_prefix: longest prefix that is allowed.
        only_prefix: the one prefix that is allowed, 0 for any.
    """

    longest_prefix: int = 24
    only_prefix: int = 0

    def parse(self, value: object) -> IPv4Network:
        """The network."""
        example = "10.80.0.0/24" if self.only_prefix else "10.64.0.0/10"
        if not isinstance(value, str):
            raise refuse(f"expected a subnet, not {units.described(value)}", f"Write it as '{example}'")
        address, _, prefix = value.partition("/")
        try:
            network = IPv4Network(value, strict=False)
        except ValueError:
            raise refuse(f"{units.shortened(value)} is not an IPv4 subnet", f"Write it as '{example}'") from None
        if not prefix.isdecimal() or not prefix.isascii():
            raise refuse(f"{units.shortened(value)} has no prefix length", f"Write it as '{example}'")
        if self.only_prefix and network.prefixlen != self.only_prefix:
            raise refuse(f"'{value}' is not a /{self.only_prefix}", f"Write it as '{example}'")
        if network.prefixlen > self.longest_prefix:
            raise refuse(f"'{value}' is too small for two /24 subnets", f"Use a /{self.longest_prefix} or larger")
        if str(network.network_address) != address:
            raise refuse(f"'{value}' has host bits set", f"Did you mean '{network}'? Write the network's own address")
        if not any(network.subnet_of(private) for private in PRIVATE_NETWORKS):
            private = ", ".join(str(private) for private in PRIVATE_NETWORKS)
            raise refuse(f"'{value}' is not a private network", f"Take one inside {private}")
        return network

    def json_form(self) -> dict[str, Any]:
        """A string in CIDR notation; that the rest of the address is zero is left to the parser for a pool."""
        private = r"^(10\.[0-9]{1,3}|172\.(1[6-9]|2[0-9]|3[01])|192\.168)\.[0-9]{1,3}\."
        rest = r"0/24$" if self.only_prefix == 24 else r"[0-9]{1,3}/([0-9]|1[0-9]|2[0-3])$"
        return {"type": "string", "pattern": private + rest}


def size(smallest_mib: int, largest_mib: int) -> Quantity:
    """A size in MiB between two bounds."""
    return Quantity(units.mebibytes, "MiB", units.SIZE_UNITS, smallest_mib, largest_mib)


def milliseconds(smallest_ms: int, largest_ms: int) -> Quantity:
    """A duration in whole milliseconds between two bounds."""
    return Quantity(units.milliseconds, "ms", units.DURATION_UNITS, smallest_ms, largest_ms)


def seconds(smallest_s: int, largest_s: int) -> Quantity:
    """A duration in whole seconds between two bounds."""
    return Quantity(units.seconds, "s", units.DURATION_UNITS, smallest_s, largest_s)


LAB_NAME = Text(
    "a name for a lab",
    r"[a-z][a-z0-9]{0,9}",
    "Use a lower-case letter and up to nine lower-case letters or digits after it",
    {"default": "libvirt's own pool and network bear it"},
)
NODE_NAME = Text(
    "a host name",
    r"(?!\d+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
    "Use lower-case letters, digits and inner hyphens, at most 63, and not digits only (RFC 1123)",
    {
        "localhost": "every machine calls itself so",
        "guests": "the guests' host keys are filed under it",
    },
)
GUEST_NAME = Text(
    "a name for a guest",
    r"[A-Za-z][A-Za-z0-9]{0,62}",
    "Use a letter and then letters or digits, at most 63",
    {"localhost": "every machine calls itself so", "Localhost": "every machine calls itself so"},
)
IMAGE_NAME = Text(
    "a name for an image or a recipe",
    r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*",
    "Use lower-case letters and digits, in words joined by single hyphens",
)
STORAGE_NAME = Text(
    "a name for a volume, resource or pool",
    r"[a-z][a-z0-9_]{0,30}",
    "Use a lower-case letter and up to thirty lower-case letters, digits or underscores after it",
)
OCFS2_NAME = Text(
    "a name for an OCFS2 cluster",
    r"[a-z][a-z0-9]{0,15}",
    "Use a lower-case letter and up to fifteen lower-case letters or digits after it",
)
CLUSTER_NAME = Text(
    "a name for a cluster",
    r"[A-Za-z][A-Za-z0-9]{0,30}",
    "Use a letter and up to thirty letters or digits after it",
)
PROTOCOL = Text("a protocol for dual-primary storage", "C", "Write C; with A or B two primaries would lose data")
DIRECTORY = Text(
    "a directory for the shared storage",
    r"/(?:var/lib/libvirt/images|srv|mnt)(?:/[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}){1,4}",
    "Use a directory below /var/lib/libvirt/images, /srv or /mnt, of letters, digits, '_', '.', '-'",
)
FILE_PATH = Text(
    "the absolute path of a file",
    r"(?:/[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,120}){1,16}",
    "Write a path from / on, of letters, digits, '_', '.', '+', '-', without '..'",
)
URL = Text(
    "an address to fetch from",
    r"https?://[A-Za-z0-9.-]{1,200}(?::[0-9]{1,5})?/[A-Za-z0-9_.~/%+=-]{1,500}",
    "Write an http or https address of plain characters",
)
SHA256 = Text("a SHA-256", r"[0-9a-f]{64}", "Write the 64 lower-case hexadecimal digits that sha256sum prints")
ZONE = Text(
    "a DNS zone",
    r"(?=.{4,120}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+",
    "Write at least two lower-case labels joined by dots, without a dot at the end, such as 'provider.example'",
)
