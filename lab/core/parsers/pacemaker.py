"""Pacemaker's own account of the cluster: ``crm_mon --output-as=xml -r -f`` (Pacemaker 2.1; schema crm_mon-2.25.rng).

Two traps of that account are taken care of here. Resources of a node that vanished are still listed as running there
until the node is fenced (``cached="false"``): such a place is not counted as known. And a reason for a failure is
escaped twice.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from typing import TypeVar

# The text comes from the lab's own nodes; expat in Python 3.11 and later limits the expansion of entities by itself.
from xml.etree import ElementTree

from lab.core.cluster_status import (
    INFINITY,
    ClusterNode,
    ClusterStatus,
    FailCount,
    FailedAction,
    FencingEvent,
    ResourceInstance,
)
from lab.core.errors import LabError

Value = TypeVar("Value")

#: Pacemaker 2.1 writes Promoted and Unpromoted; 2.0 wrote Master and Slave.
_ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}
_CONTAINERS = ("clone", "group", "bundle")


def parse_cluster_status(text: str) -> ClusterStatus:
    """Read the output of ``crm_mon --output-as=xml -r -f``.

    Args:
        text: the whole output.

    Raises:
        LabError: it is not XML, not of ``crm_mon``, lacks an element or an attribute, or says that ``crm_mon`` failed
            (Pacemaker does not run on that node).
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise _unreadable(f"not XML ({error}): {text.strip()[:80]!r}") from error
    if root.tag != "pacemaker-result":
        raise _unreadable(f"the document is a <{root.tag}> and no <pacemaker-result>")
    _require_success(root)
    coordinator = _child(root, "summary/current_dc")
    options = _child(root, "summary/cluster_options")
    resources = root.find("resources")
    return ClusterStatus(
        version=coordinator.get("version", ""),
        coordinator=coordinator.get("name", ""),
        quorum=coordinator.get("with_quorum") == "true",
        fencing_enabled=_flag(options, "stonith-enabled"),
        maintenance_mode=_flag(options, "maintenance-mode"),
        nodes=tuple(_node(node) for node in root.findall("nodes/node")),
        resources=tuple(_instances(resources, ())) if resources is not None else (),
        failed_actions=tuple(_failure(failure) for failure in root.findall("failures/failure")),
        fail_counts=tuple(_fail_counts(root)),
        fencing=tuple(_fencing(event) for event in root.findall("fence_history/fence_event")),
    )


def _require_success(root: ElementTree.Element) -> None:
    """Refuse an output that tells of a failure; crm_mon without a configuration to read still gives status 0."""
    outcome = root.find("status")
    errors = [error.text or "" for error in root.iter("error")]
    if outcome is None or outcome.get("code") != "0" or (errors and root.find("summary") is None):
        said = ["no status"] if outcome is None else [outcome.get("message", "")]
        raise LabError(
            f"crm_mon failed: {'; '.join(filter(None, said + errors))}", remedy="Start Pacemaker on that node"
        )


def _unreadable(why: str) -> LabError:
    return LabError(f"the output of crm_mon cannot be read: {why}")


def _child(parent: ElementTree.Element, path: str) -> ElementTree.Element:
    child = parent.find(path)
    if child is None:
        raise _unreadable(f"no element {path} in <{parent.tag}>")
    return child


def _text(element: ElementTree.Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise _unreadable(f"no attribute {name} in <{element.tag}>")
    return value


def _flag(element: ElementTree.Element, name: str) -> bool:
    return _one_of(element, name, {"true": True, "false": False}.get)


def _number(element: ElementTree.Element, name: str) -> int:
    return _one_of(element, name, lambda value: int(value) if value.isascii() and value.isdigit() else None)


def _one_of(element: ElementTree.Element, name: str, read: Callable[[str], Value | None]) -> Value:
    value = _text(element, name)
    found = read(value)
    if found is None:
        raise _unreadable(f"{name}={value!r} in <{element.tag}>")
    return found


def _node(element: ElementTree.Element) -> ClusterNode:
    return ClusterNode(
        name=_text(element, "name"),
        online=_flag(element, "online"),
        standby=_flag(element, "standby"),
        maintenance=_flag(element, "maintenance"),
        pending=_flag(element, "pending"),
        unclean=_flag(element, "unclean"),
        shutting_down=_flag(element, "shutdown"),
        coordinator=_flag(element, "is_dc"),
        running=_number(element, "resources_running"),
    )


def _instances(parent: ElementTree.Element, parents: tuple[str, ...]) -> Iterator[ResourceInstance]:
    for element in parent:
        if element.tag == "resource":
            yield _instance(element, parents)
        elif element.tag in _CONTAINERS:
            yield from _instances(element, (*parents, _text(element, "id")))
        elif element.tag == "replica":
            yield from _instances(element, parents)


def _instance(element: ElementTree.Element, parents: tuple[str, ...]) -> ResourceInstance:
    role = _text(element, "role")
    places = [(_text(node, "name"), _flag(node, "cached")) for node in element.findall("node")]
    return ResourceInstance(
        # Instances of anonymous clones have the plain name, those of unique ones a number behind it.
        resource=_text(element, "id").partition(":")[0],
        parents=parents,
        agent=_text(element, "resource_agent"),
        role=_ROLES.get(role, role),
        target_role=element.get("target_role", ""),
        nodes=tuple(name for name, known in places if known),
        doubtful_nodes=tuple(name for name, known in places if not known),
        managed=_flag(element, "managed"),
        failed=_flag(element, "failed"),
        blocked=element.get("blocked") == "true",
        orphaned=_flag(element, "orphaned"),
        pending=element.get("pending", ""),
    )


def _failure(element: ElementTree.Element) -> FailedAction:
    return FailedAction(
        operation=element.get("op_key") or _text(element, "id"),
        node=_text(element, "node"),
        status=_text(element, "status"),
        exit_status=_text(element, "exitstatus"),
        exit_code=_number(element, "exitcode"),
        reason=html.unescape(element.get("exitreason", "")),
        when=element.get("last-rc-change", ""),
    )


def _fail_counts(root: ElementTree.Element) -> Iterator[FailCount]:
    for node in root.findall("node_history/node"):
        for history in node.findall("resource_history"):
            if history.get("fail-count", "0") == "0":
                continue
            count = INFINITY if history.get("fail-count") == "INFINITY" else _number(history, "fail-count")
            threshold = _number(history, "migration-threshold")
            yield FailCount(_text(history, "id"), _text(node, "name"), count, threshold)


def _fencing(element: ElementTree.Element) -> FencingEvent:
    return FencingEvent(
        target=_text(element, "target"),
        action=_text(element, "action"),
        status=_text(element, "status"),
        delegate=element.get("delegate", ""),
        client=element.get("client", ""),
        completed=element.get("completed", ""),
        reason=html.unescape(element.get("exit-reason", "")),
    )


__all__ = [
    "INFINITY",
    "ClusterNode",
    "ClusterStatus",
    "FailCount",
    "FailedAction",
    "FencingEvent",
    "ResourceInstance",
    "parse_cluster_status",
]
