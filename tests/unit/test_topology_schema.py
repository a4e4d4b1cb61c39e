"""The JSON Schema for editors: the same every time, explained throughout, and in agreement with the parser."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lab.core.errors import InputError
from lab.core.schema import json_schema
from lab.core.topology import parse_topology
from lab.core.yaml_text import read_yaml

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
BAD = Path(__file__).parent / "bad_topologies"
TWO_NODE = (TOPOLOGIES / "two-node.yaml").read_text()
SCHEMA: dict[str, Any] = json.loads(json_schema())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

#: Bad documents that are right in form; only the parts together are wrong, which a schema cannot say.
RIGHT_IN_FORM = {
    "bond-without-lacp",
    "consensus-too-short",
    "deep-monitor",
    "disk-too-small",
    "disks-differ",
    "duplicate-guest",
    "duplicate-key",
    "guest-case",
    "guest-is-node",
    "guest-unknown-node",
    "image-sources",
    "image-unknown",
    "memory-too-small",
    "nodes-three",
    "retransmits",
    "software-cannot",
    "software-differs",
    "subnets-overlap",
    "switch",
    "too-many-guests",
}


def keys(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every key that is described: section, key, its schema."""
    for section, definition in [("", schema), *schema.get("$defs", {}).items()]:
        for key, form in definition.get("properties", {}).items():
            referred = schema["$defs"][form["$ref"].rsplit("/", 1)[1]] if "$ref" in form else {}
            yield section, key, {**referred, **form}


def test_it_is_a_schema_and_always_the_same() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json_schema() == json_schema()
    assert json_schema().endswith("}\n")


@pytest.mark.parametrize("path", sorted(TOPOLOGIES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path) -> None:
    VALIDATOR.validate(read_yaml(path.read_text()).data)


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_bad_form_is_seen_by_the_schema_too(path: Path) -> None:
    reading = read_yaml(path.read_text())
    if not reading.readable:
        with pytest.raises(InputError):
            parse_topology(path.read_text(), source=path.name)
        return
    assert VALIDATOR.is_valid(reading.data) is (path.stem in RIGHT_IN_FORM)


def test_every_key_has_a_title_and_a_description() -> None:
    described = list(keys(SCHEMA))
    assert len(described) > 70
    for section, key, form in described:
        assert form.get("description"), f"{section}.{key}"
        assert form.get("title"), f"{section}.{key}"


def test_every_key_stands_in_the_default_file() -> None:
    for section, key, _ in keys(SCHEMA):
        assert re.search(rf"^ *#? *{key}:", TWO_NODE, re.MULTILINE) or f'"{key}: ' in TWO_NODE, f"{section}.{key}"


def test_every_default_is_written_as_the_document_writes_it() -> None:
    """Removing a key, or writing the default that the schema shows for it, is the same."""
    data: dict[str, Any] = read_yaml(TWO_NODE).data  # type: ignore[assignment]
    sections = {"ClusterDocument": "cluster", "StorageDocument": "storage", "NetworkDocument": "network"}
    sections |= {"FencingDocument": "fencing", "TimingDocument": "timing", "ProbesDocument": "probes"}
    shown = 0
    for section, key, form in keys(SCHEMA):
        if section not in sections or form.get("default") is None:
            continue
        shown += 1
        written, left_out = copy.deepcopy(data), copy.deepcopy(data)
        written[sections[section]][key] = form["default"]
        del left_out[sections[section]][key]
        labs = [parse_topology(json.dumps(document), source="x") for document in (written, left_out)]
        assert labs[0] == labs[1] == parse_topology(TWO_NODE, source="x"), f"{section}.{key}"
    assert shown > 35
