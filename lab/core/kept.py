"""What is kept of a lab that is down: its saves, and everything that says whether a lab can start from them again.

The disks stay where they are. A lab may start from them when rendering with the kept secrets gives the very tree that
the saves were made with: topology, templates, code, names of images and secrets all go into that tree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.core.saves import Note, build_digest, machine_version, note_text, parse_note, save_name, snapshot_name

FORMAT = "ha-lab kept 1"


@dataclass(frozen=True)
class Kept:
    """A lab that is down, with its saves in its disks.

    Args:
        lab: name of the lab.
        save: name of the save that it starts from.
        notes: notes of all complete saves.
        processor: the CPU that the nodes saw; empty when it is an emulated one.
        topology: text of the topology document.
        tree: digest of each rendered file by its relative path.
        features: names of what that CPU can do beyond its model; empty where it is emulated, and in what an earlier
            version has kept.
    """

    lab: str
    save: str
    notes: tuple[Note, ...]
    processor: str
    topology: str
    tree: Mapping[str, str]
    features: tuple[str, ...] = ()

    @property
    def note(self) -> Note:
        """Note of the save that the lab starts from."""
        return next(note for note in self.notes if note.save == self.save)


@dataclass(frozen=True)
class Present:
    """The lab as it would be built here and now.

    Args:
        tree: digest of each rendered file by its relative path.
        accelerator: ``kvm`` or ``tcg``.
        qemu: version of QEMU.
        processor: the CPU that nodes would see; empty when it is an emulated one.
        features: names of what that CPU can do beyond its model; empty when it is an emulated one.
    """

    tree: Mapping[str, str]
    accelerator: str
    qemu: str
    processor: str
    features: tuple[str, ...] = ()


def as_document(kept: Kept) -> dict[str, Any]:
    """What is kept, as a JSON document."""
    return {
        "format": FORMAT,
        "lab": kept.lab,
        "save": kept.save,
        "notes": [note_text(note) for note in kept.notes],
        "processor": kept.processor,
        "features": list(kept.features),
        "topology": kept.topology,
        "tree": dict(kept.tree),
    }


def from_document(document: Any) -> Kept:
    """What a JSON document says is kept.

    Raises:
        ValueError: it is no such document; says why.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"it is not of the format {FORMAT!r}")
    texts = {name: document.get(name) for name in ("lab", "save", "processor", "topology")}
    if wrong := [name for name, value in texts.items() if not isinstance(value, str)]:
        raise ValueError(f"{', '.join(wrong)}: no text")
    tree = document.get("tree")
    notes = _texts(document, "notes")
    features = _texts({"features": [], **document}, "features")
    if not isinstance(tree, dict) or not all(isinstance(value, str) for value in tree.values()):
        raise ValueError("tree: no table of texts")
    parsed = [parse_note(text) for text in notes]
    good = tuple(
        note for note in parsed if note is not None and save_name(snapshot_name(note.save, note.token)) == note.save
    )
    if len(good) != len(parsed) or len({note.save for note in good}) != len(good):
        raise ValueError("notes: one of them is damaged, or two are of the same save")
    kept = Kept(**{name: str(value) for name, value in texts.items()}, notes=good, tree=tree, features=features)
    if kept.save not in {note.save for note in good}:
        raise ValueError(f"save: there is no note of {kept.save}")
    if {note.lab for note in good} != {kept.lab}:
        raise ValueError(f"notes: one of them is not of the lab {kept.lab}")
    if {note.build for note in good} != {build_digest(kept.tree)}:
        raise ValueError("notes: one of them is of another build")
    return kept


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{name}: no list of texts")
    return tuple(value)


def parse(text: str) -> Kept:
    """What a text in JSON says is kept.

    Raises:
        ValueError: it is damaged; says why.
    """
    return from_document(json.loads(text))


def obstacles(kept: Kept, present: Present) -> list[str]:
    """Why a lab cannot start from what is kept; empty when it can."""
    note = kept.note
    if note.accelerator != present.accelerator:
        return [f"it was made with the accelerator {note.accelerator}, not {present.accelerator}"]
    found = []
    if machine_version(note.qemu) != machine_version(present.qemu):
        found.append(f"it was made with QEMU {note.qemu}, and this is QEMU {present.qemu}")
    if kept.processor != present.processor:
        found.append(
            f"it was made on the processor {kept.processor!r}, and this is {present.processor!r}"
            f"{_difference(kept, present)}"
        )
    if kept.tree != present.tree:
        names = sorted(name for name in {*kept.tree, *present.tree} if kept.tree.get(name) != present.tree.get(name))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        found.append(f"topology, program or images are others now (different: {', '.join(names[:3])}{more})")
    return found


def _difference(kept: Kept, present: Present) -> str:
    """In brackets, what one CPU can do and another of the same model cannot; nothing where that is not known.

    Features are what a CPU has beyond libvirt's model of it, so those of two models say nothing beside each other.
    """
    made, here = {*kept.features}, {*present.features}
    models = {name.rpartition(" ")[0] for name in (kept.processor, present.processor)}
    if not made or not here or len(models) > 1:
        return ""
    parts = [
        f"{verb} {', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
        for verb, names in (("it lacks", sorted(made - here)), ("it adds", sorted(here - made)))
        if names
    ]
    return f" ({', '.join(parts)})" if parts else ""


__all__ = ["FORMAT", "Kept", "Present", "as_document", "from_document", "obstacles", "parse"]
