"""Whether the software of the nodes can do what a topology asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lab.core.errors import Problem
from lab.core.software import RELEASES, Software, release
from lab.core.topology_checks import image_name, images_of
from lab.core.topology_understood import Understood


def check_software(understood: Understood) -> list[Problem]:
    """Everything that the chosen images cannot do, or not together."""
    if not understood.sound("images") or not understood.sound("nodes", "image"):
        return []
    return [problem for rule in RULES for problem in rule(understood)]


def _of_nodes(has: Understood) -> dict[str, Software]:
    """What each node runs, of those whose image exists."""
    images = images_of(has.document)
    return {
        name: RELEASES[release(images[node.image].system, images[node.image].suite)]
        for name, node in has.document.nodes.items()
        if node.image in images
    }


def _systems(has: Understood) -> Iterator[Problem]:
    guests = {image_name(guest) for guest in has.document.guests.values()}
    for name, image in has.document.images.items():
        path = ("images", name, "system")
        if image.system == "debian":
            continue
        if image.recipe is not None:
            yield has.problem(
                path,
                f"recipes are made of Debian's packages, not of {image.system}",
                "Give file or url with sha256 instead of recipe, or remove system",
            )
        if name in guests:
            yield has.problem(
                path,
                f"a guest uses this image, and guests are not made of {image.system}",
                "Use system for the images of nodes",
            )


def _same_everywhere(has: Understood) -> Iterator[Problem]:
    found = _of_nodes(has)
    first = next(iter(found), "")
    for name, software in found.items():
        if software is not found[first]:
            yield has.problem(
                ("nodes", name, "image"),
                f"{software.title} here and {found[first].title} on '{first}' do not make one cluster in this lab",
                "Give both nodes images of the same release",
            )


def _able(has: Understood) -> Iterator[Problem]:
    found = _of_nodes(has)
    if not found:
        return
    software = next(iter(found.values()))
    cluster, fencing = has.document.cluster, has.document.fencing
    if has.sound("cluster", "transport") and cluster.transport not in software.transports:
        yield has.problem(
            ("cluster", "transport"),
            f"Corosync {software.corosync} of {software.title} has no transport {cluster.transport}",
            f"Use transport: {software.transports[0]}",
        )
    if has.sound("cluster", "drbd_set") and cluster.drbd_set not in software.sets:
        yield has.problem(
            ("cluster", "drbd_set"),
            f"Pacemaker of {software.title} does not take a set that is written as {cluster.drbd_set}",
            f"Use drbd_set: {software.sets[0]}",
        )
    if has.sound("fencing", "method") and fencing.method != "none" and not software.fencing:
        yield has.problem(
            ("fencing", "method"),
            f"fencing is not provided for nodes with {software.title}",
            "Use method: none, as the study had it, and no data that matters",
        )


RULES: tuple[Callable[[Understood], Iterator[Problem]], ...] = (_systems, _same_everywhere, _able)
