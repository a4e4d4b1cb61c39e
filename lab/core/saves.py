"""Saves of a lab as pure data: what is noted with each node's snapshot, and which snapshots make a usable save.

A save is one snapshot of every node, made while all of them stood still. The snapshots of one save carry one token; a
save counts when each node of the lab has a snapshot with that token. The token is also in the snapshots' names, so that
a save can be made anew while the older one of the same name is still there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

from lab.core.errors import LabError

#: What `lab.reset` loads, and what `lab.up` leaves.
READY = "ready"
#: Begins the name of a save's snapshots in libvirt, so that a person's own snapshots are told apart.
PREFIX = "lab-save."
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
#: How many characters of the token are in the names of the snapshots.
_MARK_LENGTH = 12
_MARK = re.compile(rf"[0-9a-f]{{1,{_MARK_LENGTH}}}")
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
        snapshot: name of the snapshot in libvirt.
    """

    node: str
    save: str
    note: Note | None
    size_bytes: int | None = None
    snapshot: str = ""


@dataclass(frozen=True)
class Save:
    """The newest complete snapshots of one name, or the newest there are.

    Args:
        name: name of the save.
        note: the note that all nodes share; None when the save is incomplete.
        parts: the snapshots, by node.
        fault: why it cannot be loaded; empty for a complete save.
        leftovers: names of older or incomplete snapshots of the same save, which an interrupted run left.
    """

    name: str
    note: Note | None
    parts: tuple[Part, ...]
    fault: str = ""
    leftovers: tuple[str, ...] = ()

    @property
    def snapshot(self) -> str:
        """Name of a complete save's snapshots in libvirt."""
        return self.parts[0].snapshot

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


def snapshot_name(save: str, token: str = "") -> str:
    """Name of a save's snapshots in libvirt.

    Args:
        save: name of the save.
        token: the token of its note, hexadecimal.
    """
    return f"{PREFIX}{save}.{token[:_MARK_LENGTH]}" if token else PREFIX + save


def save_name(snapshot: str) -> str | None:
    """Name of the save that a snapshot's name in libvirt means; None for a snapshot of somebody else."""
    name, dot, mark = snapshot.removeprefix(PREFIX).partition(".")
    if not snapshot.startswith(PREFIX) or not NAME.fullmatch(name) or (dot and not _MARK.fullmatch(mark)):
        return None
    return name


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
    by_name: dict[str, dict[str, list[Part]]] = {}
    for part in parts:
        by_name.setdefault(part.save, {}).setdefault(part.snapshot, []).append(part)
    return [_best(lab, nodes, name, found) for name, found in sorted(by_name.items())]


def _best(lab: str, nodes: Sequence[str], name: str, found: Mapping[str, Sequence[Part]]) -> Save:
    judged = {snapshot: _judged(lab, nodes, name, parts) for snapshot, parts in found.items()}

    def rank(snapshot: str) -> tuple[bool, int, str]:
        created_s = max((part.note.created_s for part in found[snapshot] if part.note), default=0)
        return not judged[snapshot].fault, created_s, snapshot

    best, *others = sorted(judged, key=rank, reverse=True)
    return replace(judged[best], leftovers=tuple(sorted(others)))


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
        qemu: version of QEMU now; its first two numbers decide, because they make the machine type.
    """
    pairs = (
        ("another build of the lab", note.build, build),
        (f"the accelerator {note.accelerator}, not {accelerator}", note.accelerator, accelerator),
        (f"QEMU {note.qemu}, not {qemu}", machine_version(note.qemu), machine_version(qemu)),
    )
    return [f"it belongs to {what}" for what, then, now in pairs if then != now]


def machine_version(qemu: str) -> str:
    """The part of QEMU's version that names its machine types, such as ``7.2`` of ``7.2.17``."""
    return ".".join(qemu.split(".")[:2])


def age_text(seconds: float) -> str:
    """How long ago, in the largest sensible unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
