"""Saves of a lab as pure data: what is noted with each node's snapshot, and which snapshots make a usable save.

A save is one snapshot of every node, made while all of them stood still. The snapshots of one save carry one token; a
save counts when each node of the lab has a snapshot with that token.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from lab.core.errors import LabError

#: What `lab.reset` loads, and what `lab.up` leaves.
READY = "ready"
#: Begins the name of a save's snapshots in libvirt, so that a person's own snapshots are told apart.
PREFIX = "lab-save."
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_KIND = "ha-lab save 1"


@dataclass(frozen=True)
class Note:
    """What is noted in the description of each snapshot.

    Args:
        lab: name of the lab.
        save: name of the save.
        token: random text, the same for all nodes of one save.
        created_s: when it was made, seconds since 1970 in UTC.
        build: digest of the rendered tree that the lab was built from.
        accelerator: ``kvm`` or ``tcg``.
        qemu: version of QEMU.
    """

    lab: str
    save: str
    token: str
    created_s: int
    build: str
    accelerator: str
    qemu: str


@dataclass(frozen=True)
class Part:
    """One node's snapshot.

    Args:
        node: name of the node.
        save: name of the save, from the snapshot's name.
        note: what its description says; None when it cannot be read.
        size_bytes: size of the saved memory and device state; None when not known.
    """

    node: str
    save: str
    note: Note | None
    size_bytes: int | None = None


@dataclass(frozen=True)
class Save:
    """All snapshots of one name.

    Args:
        name: name of the save.
        note: the note that all nodes share; None when the save is incomplete.
        parts: the snapshots, by node.
        fault: why it cannot be loaded; empty for a complete save.
    """

    name: str
    note: Note | None
    parts: tuple[Part, ...]
    fault: str = ""

    @property
    def size_bytes(self) -> int | None:
        """Size of the memory of all nodes; None when one of them is not known."""
        sizes = [part.size_bytes for part in self.parts]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None


def require_name(name: str) -> str:
    """The name of a save, if it is one.

    Raises:
        LabError: it is not (exit code 2).
    """
    if not NAME.fullmatch(name):
        raise LabError(
            f"{name!r} cannot be the name of a save",
            remedy="Use up to 40 small letters, digits and hyphens, no hyphen at either end",
            exit_code=2,
        )
    return name


def snapshot_name(save: str) -> str:
    """Name of a save's snapshots in libvirt."""
    return PREFIX + save


def save_name(snapshot: str) -> str | None:
    """Name of the save that a snapshot's name in libvirt means; None for a snapshot of somebody else."""
    name = snapshot.removeprefix(PREFIX)
    return name if snapshot.startswith(PREFIX) and NAME.fullmatch(name) else None


def note_text(note: Note) -> str:
    """A note as the text of a snapshot's description."""
    return json.dumps({"kind": _KIND, **asdict(note)}, sort_keys=True)


def parse_note(text: str) -> Note | None:
    """The note in a snapshot's description; None when there is none, or one of another version."""
    try:
        values = json.loads(text)
    except ValueError:
        return None
    if not isinstance(values, dict) or values.pop("kind", None) != _KIND:
        return None
    if values.keys() != {field.name for field in fields(Note)}:
        return None
    number = values["created_s"]
    if isinstance(number, bool) or not isinstance(number, int):
        return None
    if not all(isinstance(value, str) for name, value in values.items() if name != "created_s"):
        return None
    return Note(**values) if values["token"] else None


def build_digest(tree: Mapping[str, str]) -> str:
    """One digest of a rendered tree.

    Args:
        tree: digest by relative path, as ``state.json`` keeps it.
    """
    return hashlib.sha256(json.dumps(dict(tree), sort_keys=True).encode()).hexdigest()


def judge(lab: str, nodes: Sequence[str], parts: Iterable[Part]) -> list[Save]:
    """The saves that some snapshots make, by name; incomplete ones say why.

    Args:
        lab: name of the lab.
        nodes: names of its nodes.
        parts: the snapshots that were found.
    """
    by_name: dict[str, list[Part]] = {}
    for part in parts:
        by_name.setdefault(part.save, []).append(part)
    return [_judged(lab, nodes, name, found) for name, found in sorted(by_name.items())]


def _judged(lab: str, nodes: Sequence[str], name: str, found: Sequence[Part]) -> Save:
    parts = tuple(sorted(found, key=lambda part: part.node))
    missing = [node for node in nodes if node not in {part.node for part in parts}]
    notes = [part.note for part in parts]
    fault = ""
    if missing:
        fault = f"{', '.join(missing)} {'has' if len(missing) == 1 else 'have'} no snapshot of it"
    elif any(note is None or note.lab != lab or note.save != name for note in notes):
        fault = "a snapshot does not say that it belongs to this save"
    elif len(parts) != len(nodes):
        fault = "there are snapshots of other nodes"
    elif len(set(notes)) != 1:
        fault = "the snapshots of the nodes are not of the same moment"
    return Save(name, None if fault else notes[0], parts, fault)


def obstacles(note: Note, *, build: str, accelerator: str, qemu: str) -> list[str]:
    """Why a complete save cannot be loaded into the lab as it is now; empty when it can.

    Args:
        note: what was noted when it was made.
        build: digest of the rendered tree that the lab is built from now.
        accelerator: accelerator of the lab now.
        qemu: version of QEMU now.
    """
    pairs = (
        ("another build of the lab", note.build, build),
        (f"the accelerator {note.accelerator}, not {accelerator}", note.accelerator, accelerator),
        (f"QEMU {note.qemu}, not {qemu}", note.qemu, qemu),
    )
    return [f"it belongs to {what}" for what, then, now in pairs if then != now]


def age_text(seconds: float) -> str:
    """How long ago, in the largest sensible unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
