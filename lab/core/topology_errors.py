"""Faults of form of a topology document as sentences for people: place, what is wrong, what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lab.core.errors import Problem
from lab.core.topology_checks import nearest
from lab.core.topology_document import TopologyDocument
from lab.core.topology_section import Section
from lab.core.topology_understood import NAMED_SECTIONS
from lab.core.topology_values import OWN_ERROR
from lab.core.units import described, shortened
from lab.core.yaml_text import Path, Reading, dotted

_KEY = "[key]"

# Stand-ins for required values that were not understood, so that the rest of the document can still be checked.
_STAND_INS: Mapping[tuple[str, ...], object] = {
    ("lab",): {"name": "lab"},
    ("lab", "name"): "lab",
    ("nodes",): {},
    ("guests",): {},
    ("guests", "NAME", "service"): "dns",
    ("guests", "NAME", "home"): "unknown",
}


def understand(reading: Reading) -> tuple[TopologyDocument | None, list[Problem], frozenset[Path]]:
    """Validate the form of a document.

    Args:
        reading: the document's data and lines.

    Returns:
        The document with defaults and stand-ins where it was not understood (None when nothing is left of it), all
        problems of form, and the paths that were not understood.
    """
    try:
        return TopologyDocument.model_validate(reading.data), [], frozenset()
    except ValidationError as error:
        faults = error.errors(include_url=False)
    problems = [_problem(fault, reading) for fault in faults]
    broken = frozenset(path for fault in faults for path in _broken(fault))
    data = reading.data
    for fault in faults:
        data = _without(data, _path(fault), broken)
    try:
        return TopologyDocument.model_validate(data), problems, broken
    except ValidationError:
        return None, problems, broken


def _path(fault: ErrorDetails) -> Path:
    return tuple(part for part in fault["loc"] if part != _KEY)


def _broken(fault: ErrorDetails) -> list[Path]:
    path = _path(fault)
    if fault["type"] != "extra_forbidden":
        return [path]
    near = _near_key(path)
    return [(*path[:-1], near)] if near else []


def _without(data: object, path: Path, broken: frozenset[Path], depth: int = 1) -> object:
    """The data without the value at a path, or with a stand-in where it cannot be left out.

    Nothing is put below something that is itself broken and so has been taken out.
    """
    section = dict(data) if isinstance(data, dict) else {}
    if not path:
        return section
    key = cast("str", path[depth - 1])
    if depth < len(path):
        if path[:depth] not in broken:
            section[key] = _without(section.get(key), path, broken, depth + 1)
    else:
        section.pop(key, None)
        shape = tuple(
            "NAME" if level == 1 and path[0] in NAMED_SECTIONS else str(part) for level, part in enumerate(path)
        )
        if shape in _STAND_INS:
            section[key] = _STAND_INS[shape]
    return section


def _problem(fault: ErrorDetails, reading: Reading) -> Problem:
    path = _path(fault)
    message, remedy = _sentences(fault, path)
    return Problem(dotted(path), message, remedy, reading.line(path))


def _sentences(fault: ErrorDetails, path: Path) -> tuple[str, str]:
    context: Mapping[str, Any] = fault.get("ctx", {})
    value = fault["input"]
    kind = fault["type"]
    if kind == OWN_ERROR:
        return context["message"], context["remedy"]
    if kind == "missing":
        return "this key is missing", _missing_remedy(path)
    if kind == "extra_forbidden":
        return f"unknown key {shortened(str(path[-1]))}", _unknown_remedy(path)
    if kind == "literal_error":
        return _choice(value, context["expected"])
    return _plain_sentences(kind, context, value)


def _plain_sentences(kind: str, context: Mapping[str, Any], value: object) -> tuple[str, str]:
    sentences = (f"{described(value)} is not allowed here", "See the JSON Schema of the topology for what is")
    match kind:
        case "greater_than_equal":
            sentences = (f"{value} is too small", f"Write a number from {context['ge']:g} on")
        case "less_than_equal":
            sentences = (f"{value} is too large", f"Write a number up to {context['le']:g}")
        case "int_type":
            sentences = (
                f"expected a whole number, not {described(value)}",
                "Write it without quotes and without a unit",
            )
        case "float_type" | "finite_number":
            sentences = (f"expected a number, not {described(value)}", "Write a number such as 1.5")
        case "bool_type":
            sentences = (f"expected true or false, not {described(value)}", "Write true or false, without quotes")
        case "string_type":
            sentences = (f"expected text, not {described(value)}", "Put it in quotes if it looks like a number")
        case "dict_type" | "model_type" | "model_attributes_type":
            sentences = (f"expected a mapping, not {described(value)}", "Write 'key: value' lines under it, indented")
    return sentences


def _choice(value: object, expected: str) -> tuple[str, str]:
    words = re.findall(r"'([^']*)'", expected)
    hint = nearest(value, words) if isinstance(value, str) else ""
    choices = ", ".join(words) or expected.replace(" or ", ", ")
    return f"{described(value)} is not possible here", f"{hint}Possible here: {choices}"


def _missing_remedy(path: Path) -> str:
    description = _section_at(path[:-1]).model_fields[str(path[-1])].description or ""
    first = description.split(". ")[0].rstrip(".")
    return f"Add it: {first[:1].lower()}{first[1:]}"


def _unknown_remedy(path: Path) -> str:
    known = list(_section_at(path[:-1]).model_fields)
    near = _near_key(path)
    elsewhere = [place for place, key in _all_keys() if key == path[-1]]
    hint = ""
    if near:
        hint = f"Did you mean '{near}'? "
    elif elsewhere:
        hint = f"Did you mean '{elsewhere[0]}'? "
    return f"{hint}Keys known here: {', '.join(known)}"


def _near_key(path: Path) -> str:
    hint = nearest(str(path[-1]), list(_section_at(path[:-1]).model_fields))
    return hint.split("'")[1] if hint else ""


def _section_at(path: Path) -> type[Section]:
    """The section that a path leads to; names of nodes, guests and images are passed over."""
    section: type[Section] = TopologyDocument
    for part in path:
        if isinstance(part, str) and part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation) or section
    return section


def _section_in(annotation: object) -> type[Section] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _all_keys() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, info in TopologyDocument.model_fields.items():
        section = _section_in(info.annotation)
        member = ".NAME" if section and get_args(info.annotation) else ""
        found += [(f"{name}{member}.{key}", key) for key in (section.model_fields if section else ())]
    return found
