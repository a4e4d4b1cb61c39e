"""What the documents say about the code, held against the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.core.faults.catalogue import FAULTS
from lab.core.schema import json_schema
from tasks import namespace

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
TOPOLOGIES = (ROOT / "docs/topologies.md").read_text(encoding="utf-8")
FAULT_PAGE = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
#: Defaults that the schema leaves open because they follow from something else.
WORDED = {"none", "required", "empty", "from the pool", "the five built in", "guest-SERVICE"}


def rows(document: str, heading: str) -> list[list[str]]:
    """The cells of the table that begins with this heading."""
    lines = document[document.index(heading) :].splitlines()[2:]
    table = lines[: next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def leaves(schema: dict[str, Any], part: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Every key of a part of the schema, in dotted form, with its default."""
    for option in (part, *part.get("anyOf", [])):
        if "$ref" in option:
            yield from leaves(schema, schema["$defs"][option["$ref"].rpartition("/")[2]], path)
        for name, inner in option.get("properties", {}).items():
            yield from leaf_or_section(schema, inner, f"{path}.{name}" if path else name)
        for inner in (option.get("additionalProperties"), *option.get("patternProperties", {}).values()):
            if isinstance(inner, dict):
                yield from leaves(schema, inner, f"{path}.NAME")


def leaf_or_section(schema: dict[str, Any], part: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    below = list(leaves(schema, part, path))
    yield from below or [(path, part.get("default"))]


def test_the_table_of_topology_keys_is_that_of_the_schema() -> None:
    schema = json.loads(json_schema())
    known = dict(leaves(schema, schema, ""))
    table = {row[0].strip("`"): row[1].strip("`") for row in rows(TOPOLOGIES, "| key | default | meaning |")}
    sections = {key for key in table if any(one.startswith(f"{key}.") for one in known)}
    assert known.keys() == table.keys() - sections
    wrong = {
        key: (table[key], default)
        for key, default in known.items()
        if default is not None and table[key] not in WORDED and table[key] != str(default)
    }
    assert wrong == {}


def test_the_table_of_tasks_is_that_of_the_tasks() -> None:
    text = "\n".join(" ".join(row) for row in rows(README, "| task | what it does |"))
    named = set(re.findall(r"`((?:lab|test)(?:\.[a-z]+)?|lint)`", text))
    there = {name.removesuffix(".all") for name in namespace.task_names}
    assert named == there


@pytest.mark.parametrize(
    ("heading", "file", "column"),
    [
        ("| package | why |\n|---|---|\n| invoke", "requirements.in", 0),
        ("| package | why |\n|---|---|\n| invoke", "requirements-dev.in", 0),
        ("| package | why |\n|---|---|\n| python3-venv", "packages.txt", 1),
    ],
)
def test_every_package_has_its_reason(heading: str, file: str, column: int) -> None:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    wanted = {line.split()[column] for line in lines if line and not line.startswith("#")}
    explained = {name.strip() for row in rows(ARCHITECTURE, heading) for name in row[0].split(",")}
    assert wanted <= explained


def anchors(path: Path) -> set[str]:
    """The anchors that the headings of a document make, as on GitHub; what stands in a block of code is no heading."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    targets = [one for one in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")) if "://" not in one]
    for file, _, anchor in (one.partition("#") for one in targets):
        there = path.parent / file if file else path
        assert there.exists(), file
        assert not anchor or anchor in anchors(there), f"{file}#{anchor}"


def test_every_page_is_in_the_table_of_pages() -> None:
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages == {re.findall(r"\]\((.*)\)", row[0])[0] for row in rows(README, "| page | what is on it |")}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_modules_and_folders_that_documents_name_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:lab|tests|cloudinit|topologies|benchmarks)/[\w./{}-]*)`", text)
    assert [one for one in named if not (ROOT / one).exists()] == []


def test_the_table_of_faults_is_that_of_the_catalogue() -> None:
    table = [(row[0].strip("`"), *row[1:]) for row in rows(FAULT_PAGE, "| fault | done to | what is done |")]
    assert table == [(fault.name, fault.target, fault.summary, fault.expected) for fault in FAULTS]
