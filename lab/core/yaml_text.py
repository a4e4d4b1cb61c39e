"""YAML text to plain data together with the line of every key, and with every fault of the text at once.

Reading is safe by construction: only mappings, sequences and plain scalars of YAML 1.2 are built. Anchors and aliases
are refused, because a few lines of them can stand for more data than memory holds, and because a value that is
written out is easier to read than a reference to another one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, DocumentStartEvent, Event
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lab.core.errors import Problem
from lab.core.units import shortened

#: Keys and positions that lead to a value.
Path = tuple[str | int, ...]

LONGEST_TEXT = 256 * 1024
DEEPEST_NESTING = 12
_TAG = "tag:yaml.org,2002:"
# Time stamps and the like are taken as the text they are.
_KNOWN_TAGS = ("map", "seq", "str", "null", "bool", "int", "float", "timestamp", "merge", "value")
# Conversion of decimal text to int is quadratic; no setting has more digits than this.
_LONGEST_NUMBER = 18


@dataclass
class Reading:
    """What a YAML text holds.

    Args:
        data: plain data (dict, list, str, int, float, bool, None); None when the text cannot be read.
        lines: line, counted from 1, of each path's key (or item).
        problems: everything wrong with the text itself.
        readable: whether ``data`` is meaningful.
    """

    data: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    readable: bool = True

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest thing above it that is in the text."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def dotted(path: Path) -> str:
    """A path as ``guests.Passata.memory``; keys that are not plain words are quoted."""
    words = [str(part) for part in path]
    return ".".join(word if re.fullmatch(r"[\w-]+", word, re.ASCII) else json.dumps(word[:60]) for word in words)


def read_yaml(text: str) -> Reading:
    """Read one YAML document.

    Args:
        text: the document; its source is named by the caller.

    Returns:
        Data, lines and problems; never raises for what the text holds.
    """
    reading = Reading()
    if len(text) > LONGEST_TEXT:
        _unreadable(reading, "the document is longer than 256 KiB", "Keep a topology to its settings", 0)
        return reading
    try:
        _refuse_structure(reading, list(YAML(typ="safe", pure=True).parse(text)))
        if reading.readable:
            root = YAML(typ="safe", pure=True).compose(text)
            reading.data = {} if root is None else _value(root, (), reading)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(str(error.problem or error.context).split())
        line = mark.line + 1 if mark else 0
        _unreadable(reading, f"this is not YAML: {reason}", "Correct the text at or just above this line", line)
    except (YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        _unreadable(reading, f"this is not YAML: {reason}", "Correct the text; it has to be plain UTF-8", 0)
    return reading


def _unreadable(reading: Reading, message: str, remedy: str, line: int) -> None:
    reading.problems.append(Problem("", message, remedy, line))
    reading.readable = False


def _refuse_structure(reading: Reading, events: list[Event]) -> None:
    depth = documents = 0
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            alias = shortened(f"*{event.anchor}")
            _unreadable(reading, f"{alias} is an alias, which is not supported", "Write the value out", line)
        elif isinstance(event, DocumentStartEvent):
            documents += 1
            if documents == 2:
                _unreadable(reading, "a second document starts here", "Keep one document in a file", line)
        elif isinstance(event, CollectionStartEvent):
            depth += 1
            if depth == DEEPEST_NESTING + 1:
                _unreadable(reading, f"nested deeper than {DEEPEST_NESTING} levels", "Remove the inner levels", line)
        elif isinstance(event, CollectionEndEvent):
            depth -= 1


def _value(node: Node, path: Path, reading: Reading) -> object:
    line = node.start_mark.line + 1
    reading.lines.setdefault(path, line)
    if str(node.tag).removeprefix(_TAG) not in _KNOWN_TAGS:
        message = f"the tag {shortened(str(node.tag).replace(_TAG, '!!'))} is not supported"
        reading.problems.append(Problem(dotted(path), message, "Write the value without a tag", line))
    if isinstance(node, MappingNode):
        return _mapping(node, path, reading)
    if isinstance(node, SequenceNode):
        return [_value(item, (*path, number), reading) for number, item in enumerate(node.value)]
    return _scalar(node)


def _mapping(node: MappingNode, path: Path, reading: Reading) -> dict[str, object]:
    result: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            place = dotted(path)
            reading.problems.append(Problem(place, "a key has to be a word", "Write 'key: value' here", line))
            continue
        key = str(key_node.value)
        inner = (*path, key)
        if key in result:
            first = reading.lines[inner]
            message = f"the key {shortened(key)} stands here a second time (first on line {first})"
            reading.problems.append(Problem(dotted(inner), message, "Keep one of the two", line))
            continue
        reading.lines[inner] = line
        result[key] = _value(value_node, inner, reading)
    return result


def _scalar(node: Node) -> object:
    text = str(node.value)
    tag = str(node.tag).removeprefix(_TAG)
    if tag == "null":
        return None
    if tag == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if tag in ("int", "float") and len(text) <= _LONGEST_NUMBER:
        return _number(text)
    return text


def _number(text: str) -> int | float | str:
    plain = text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan")
    for convert in (int, _prefixed_integer, float):
        try:
            return convert(plain)
        except ValueError:
            continue
    return text


def _prefixed_integer(text: str) -> int:
    return int(text, 0)
