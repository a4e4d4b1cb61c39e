"""The files that cloud-init writes on a node, from the tree ``cloudinit/nodes`` that mirrors the node.

A template's path below ``cloudinit/nodes/`` minus ``.j2`` is the file's path in the node. ``{guest}`` in a name stands
for one file per guest. A name that ends with ``.b64.j2`` renders to base64: the file itself is binary.

Layers of other releases, ``cloudinit/<layer>/nodes``, come over it (:mod:`lab.core.software`): the same path in one of
them replaces the common file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from lab.core.render.engine import SUFFIX, Engine
from lab.core.render.facts import Values
from lab.core.render.modes import FileMode, parse_modes
from lab.core.software import Software

NODES = "cloudinit/nodes/"
TABLE = "modes.yaml"
PER_GUEST = "{guest}"
BINARY = ".b64"
#: What is in front of Pacemaker's agent for guests, where it is used.
GUEST_AGENT = (
    "usr/lib/ocf/resource.d/lab/VirtualDomain",
    "usr/lib/ocf/lib/lab/guest-state.sh",
    "usr/lib/ocf/lib/lab/bin/virsh",
)


@dataclass(frozen=True)
class NodeFile:
    """One file of a node.

    Args:
        path: in the node, without the leading slash.
        content: its bytes.
        mode: permissions and owner; secret files stay out of the readable tree.
        binary: carried as base64.
    """

    path: str
    content: bytes
    mode: FileMode
    binary: bool = False

    def entry(self) -> Values:
        """What the template of user-data needs to carry the file (cloud-init's module ``write_files``)."""
        values: Values = {
            "path": "/" + self.path,
            "mode": f"{self.mode.mode:04o}",
            "owner": "root:root" if (self.mode.uid, self.mode.gid) == (0, 0) else f"{self.mode.uid}:{self.mode.gid}",
            "encoded": base64.b64encode(self.content).decode("ascii") if self.binary else "",
            "text": "" if self.binary else self.content.decode(),
        }
        return values


def node_files(engine: Engine, values: Values) -> list[NodeFile]:
    """All files of a node, sorted by path.

    Args:
        engine: templates.
        values: as of :func:`lab.core.render.facts.lab_values`, with ``node`` and ``lab_facts``.
    """
    software: Software = values["software"]
    folders = [NODES, *(f"cloudinit/{layer}/nodes/" for layer in software.layers)]
    unused = set[str]() if values["cluster"]["deep_monitor_interval_s"] else set(GUEST_AGENT)
    modes: dict[str, FileMode] = {}
    files: dict[str, NodeFile] = {}
    for folder in folders:
        modes |= parse_modes(folder + TABLE, engine.templates.get(folder + TABLE, ""))
        for name in engine.below(folder):
            if not name.endswith(SUFFIX):
                continue
            for path, own_values in _targets(name.removeprefix(folder), values):
                binary = path.endswith(BINARY)
                target = path.removesuffix(BINARY)
                if target in unused or (folder == NODES and software.leaves_out(target)):
                    continue
                text = engine.text(name, own_values)
                content = base64.b64decode(text.strip()) if binary else text.encode()
                files[target] = NodeFile(target, content, modes.get(target, FileMode()), binary)
    return sorted(files.values(), key=lambda file: file.path)


def seed_templates(engine: Engine, software: Software) -> dict[str, str]:
    """Part of the NoCloud seed to its template: that of the last layer which has one of its own."""
    folders = ["cloudinit/", *(f"cloudinit/{layer}/" for layer in software.layers)]
    return {
        part: next(name for folder in reversed(folders) if (name := f"{folder}{part}{SUFFIX}") in engine.templates)
        for part in software.seed_parts
    }


def _targets(name: str, values: Values) -> Iterator[tuple[str, Values]]:
    path = name.removesuffix(SUFFIX)
    if PER_GUEST not in path:
        yield path, values
        return
    for guest in values["guests"]:
        yield path.replace(PER_GUEST, guest["domain"]), values | {"guest": guest}
