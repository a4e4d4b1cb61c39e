"""Modes and owners of the files that a node or a guest gets: the tables ``cloudinit/*/modes.yaml``.

A table maps a path in the target, without its leading slash, to ``{mode: "0600", uid: 0, gid: 0, secret: true}``;
every key may be left out. A path that is not in the table is ``0644``, root's, and no secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from lab.core.errors import InputError, Problem

OCTAL = re.compile("[0-7]{3,4}")
KEYS = ("mode", "uid", "gid", "secret")


@dataclass(frozen=True)
class FileMode:
    """Mode and owner of one file.

    Args:
        mode: permission bits.
        uid, gid: numbers of the owner and group in the target.
        secret: nobody but the target's root may read it, so it is kept out of the readable part of a rendered tree.
    """

    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    secret: bool = False


def parse_modes(source: str, text: str) -> dict[str, FileMode]:
    """Read a table of modes.

    Args:
        source: name of the file, for messages.
        text: its text, YAML.

    Raises:
        InputError: everything that is wrong with the table.
    """
    document = yaml.safe_load(text) or {}
    if not isinstance(document, dict):
        raise InputError(source, [Problem("", "is not a mapping of paths", 'write `path: {mode: "0600"}`')])
    problems: list[Problem] = []
    modes: dict[str, FileMode] = {}
    for path, entry in document.items():
        problem = _problem(path, entry)
        if problem:
            problems.append(problem)
            continue
        modes[path] = FileMode(
            mode=int(str(entry.get("mode", "0644")), 8),
            uid=entry.get("uid", 0),
            gid=entry.get("gid", 0),
            secret=entry.get("secret", False),
        )
    if problems:
        raise InputError(source, problems)
    return modes


def _problem(path: object, entry: object) -> Problem | None:
    place = str(path)
    if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
        return Problem(place, "is not a path below the target's root", "write it without a leading slash")
    if not isinstance(entry, dict):
        return Problem(place, "is not a mapping", 'write `{mode: "0600"}`')
    unknown = [str(key) for key in entry if key not in KEYS]
    if unknown:
        return Problem(place, f"unknown key {unknown[0]}", f"known keys are {', '.join(KEYS)}")
    return _bad_value(place, entry)


def _bad_value(place: str, entry: dict[str, object]) -> Problem | None:
    mode = entry.get("mode", "0644")
    if not isinstance(mode, str) or not OCTAL.fullmatch(mode):
        return Problem(f"{place}.mode", f"{mode!r} is not octal digits in quotes", 'write it like "0640"')
    for key in ("uid", "gid"):
        value = entry.get(key, 0)
        if type(value) is not int or value < 0:
            return Problem(f"{place}.{key}", "is not a number", "write the number, names differ between images")
    if type(entry.get("secret", False)) is not bool:
        return Problem(f"{place}.secret", "is neither true nor false", "write true or false")
    return None
