"""Pacemaker's configuration, the CIB, as ``cibadmin --query`` prints it (Pacemaker 2.1, schema pacemaker-3.9).

What is running is another matter: :mod:`lab.core.parsers.pacemaker` reads that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# The text comes from the lab's own nodes; expat in Python 3.11 and later limits the expansion of entities by itself.
from xml.etree import ElementTree

from lab.core.cluster_status import INFINITY
from lab.core.errors import LabError

#: Pacemaker 2.1 knows both pairs of words; tools still write the older ones.
_ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}
_DURATION = re.compile(r"(\d+)\s*([a-z]*)")
_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "ms": 0.001, "msec": 0.001}
_SCORES = {"infinity": INFINITY, "+infinity": INFINITY, "-infinity": -INFINITY}


@dataclass(frozen=True)
class Operation:
    """One operation of a resource.

    Args:
        name: ``start``, ``monitor`` and so on.
        interval_s: seconds between two runs; 0 for one that is not repeated.
        timeout_s: seconds that it may take; 0 when the configuration leaves it to the default.
        role: the role that it is for, empty for any.
    """

    name: str
    interval_s: float
    timeout_s: float
    role: str = ""


@dataclass(frozen=True)
class Primitive:
    """One resource.

    Args:
        name: its name.
        agent: such as ``ocf:heartbeat:VirtualDomain`` or ``stonith:fence_virt``.
        parameters: what the agent is given.
        meta: what Pacemaker is told about it.
        operations: in the order of the configuration.
    """

    name: str
    agent: str
    parameters: dict[str, str]
    meta: dict[str, str]
    operations: tuple[Operation, ...]

    def operation(self, name: str, role: str = "") -> Operation | None:
        """The operation of this name and role; None when the configuration has none."""
        return next((one for one in self.operations if (one.name, one.role) == (name, role)), None)


@dataclass(frozen=True)
class Clone:
    """A resource that runs on several nodes.

    Args:
        name: of the clone.
        resource: name of the primitive in it.
        meta: what Pacemaker is told about the clone.
    """

    name: str
    resource: str
    meta: dict[str, str]


@dataclass(frozen=True)
class Location:
    """How much a resource likes a node; ``node`` is empty and ``by_rule`` true where a rule decides."""

    name: str
    resource: str
    node: str
    score: int
    by_rule: bool = False


@dataclass(frozen=True)
class Colocation:
    """A resource has to be (or must not be) where another one is, in the role given."""

    name: str
    resource: str
    with_resource: str
    score: int
    with_role: str = ""


@dataclass(frozen=True)
class Order:
    """An action of one resource comes before an action of another; ``start`` where nothing is said."""

    name: str
    first: str
    then: str
    first_action: str = "start"
    then_action: str = "start"
    kind: str = "Mandatory"


@dataclass(frozen=True)
class Cib:
    """The configuration of a cluster.

    Args:
        properties: options of the cluster, such as ``stonith-enabled``.
        resource_defaults: meta attributes of resources that say nothing else.
        primitives, clones: by name.
        locations, colocations, orders: the constraints, by name.
    """

    properties: dict[str, str]
    resource_defaults: dict[str, str]
    primitives: dict[str, Primitive]
    clones: dict[str, Clone]
    locations: dict[str, Location]
    colocations: dict[str, Colocation]
    orders: dict[str, Order]

    @property
    def constraint_names(self) -> frozenset[str]:
        """Names of all constraints, those that agents and tools have added included."""
        return frozenset({*self.locations, *self.colocations, *self.orders})


def parse_cib(text: str) -> Cib:
    """Read the output of ``cibadmin --query``.

    Args:
        text: the whole output.

    Raises:
        LabError: it is not XML, not a CIB, or lacks an element or attribute.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise _unreadable(f"not XML ({error}): {text.strip()[:80]!r}") from error
    configuration = root.find("configuration")
    if root.tag != "cib" or configuration is None:
        raise _unreadable(f"the document is a <{root.tag}> without a configuration")
    constraints = list(configuration.findall("constraints/*"))
    return Cib(
        properties=_pairs(configuration.find("crm_config"), "cluster_property_set"),
        resource_defaults=_pairs(configuration.find("rsc_defaults"), "meta_attributes"),
        primitives={one.name: one for one in map(_primitive, configuration.iterfind("resources//primitive"))},
        # crmsh makes "master" of "ms", which Pacemaker before 3.0 still takes.
        clones={
            one.name: one
            for kind in ("clone", "master")
            for one in map(_clone, configuration.iterfind(f"resources//{kind}"))
        },
        locations={one.name: one for one in map(_location, _of(constraints, "rsc_location"))},
        colocations={one.name: one for one in map(_colocation, _of(constraints, "rsc_colocation"))},
        orders={one.name: one for one in map(_order, _of(constraints, "rsc_order"))},
    )


def _unreadable(why: str) -> LabError:
    return LabError(f"the output of cibadmin cannot be read: {why}", remedy="See whether Pacemaker runs on that node")


def _of(elements: list[ElementTree.Element], tag: str) -> Iterator[ElementTree.Element]:
    return (element for element in elements if element.tag == tag)


def _text(element: ElementTree.Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise _unreadable(f"no attribute {name} in <{element.tag}>")
    return value


def _pairs(parent: ElementTree.Element | None, tag: str) -> dict[str, str]:
    if parent is None:
        return {}
    return {_text(pair, "name"): pair.get("value", "") for pair in parent.iterfind(f"{tag}/nvpair")}


def _role(text: str) -> str:
    return _ROLES.get(text, text)


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or match[2] not in _SECONDS:
        raise _unreadable(f"{text!r} is no duration")
    return int(match[1]) * _SECONDS[match[2]]


def _score(element: ElementTree.Element, default: str = "0") -> int:
    text = element.get("score", default)
    try:
        return _SCORES[text.lower()] if text.lower() in _SCORES else int(text)
    except ValueError:
        raise _unreadable(f"{text!r} is no score") from None


def _primitive(element: ElementTree.Element) -> Primitive:
    words = [element.get("class", ""), element.get("provider", ""), _text(element, "type")]
    return Primitive(
        name=_text(element, "id"),
        agent=":".join(word for word in words if word),
        parameters=_pairs(element, "instance_attributes"),
        meta=_pairs(element, "meta_attributes"),
        operations=tuple(
            Operation(
                name=_text(operation, "name"),
                interval_s=_seconds(operation.get("interval", "0")),
                timeout_s=_seconds(operation.get("timeout", "0")),
                role=_role(operation.get("role", "")),
            )
            for operation in element.iterfind("operations/op")
        ),
    )


def _clone(element: ElementTree.Element) -> Clone:
    inner = element.find("primitive")
    if inner is None:
        raise _unreadable(f"the clone {_text(element, 'id')} is not of a primitive")
    return Clone(_text(element, "id"), _text(inner, "id"), _pairs(element, "meta_attributes"))


def _location(element: ElementTree.Element) -> Location:
    by_rule = element.find("rule") is not None
    return Location(
        name=_text(element, "id"),
        resource=element.get("rsc", ""),
        node=element.get("node", "") if by_rule else _text(element, "node"),
        score=_score(element),
        by_rule=by_rule,
    )


def _colocation(element: ElementTree.Element) -> Colocation:
    return Colocation(
        name=_text(element, "id"),
        resource=_text(element, "rsc"),
        with_resource=_text(element, "with-rsc"),
        score=_score(element, default="INFINITY"),
        with_role=_role(element.get("with-rsc-role", "")),
    )


def _order(element: ElementTree.Element) -> Order:
    first_action = element.get("first-action", "start")
    return Order(
        name=_text(element, "id"),
        first=_text(element, "first"),
        then=_text(element, "then"),
        first_action=first_action,
        # Pacemaker Explained, "Ordering": without a word of its own, "then" does what "first" does.
        then_action=element.get("then-action", first_action),
        kind=element.get("kind", "Mandatory"),
    )


__all__ = ["INFINITY", "Cib", "Clone", "Colocation", "Location", "Operation", "Order", "Primitive", "parse_cib"]
