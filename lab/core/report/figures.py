"""All figures as JSON, and the JSON Schema that describes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from lab.core.drills.record import DrillRecord, as_document
from lab.core.report.tables import Table

FORMAT = 1
_TABLES: TypeAdapter[tuple[Table, ...]] = TypeAdapter(tuple[Table, ...])
_RECORD: TypeAdapter[DrillRecord] = TypeAdapter(DrillRecord)


def figures_document(lab: str, records: Sequence[DrillRecord], tables: Sequence[Table]) -> dict[str, Any]:
    """Everything that the report is drawn from, as JSON knows it.

    Args:
        lab: name of the lab.
        records: its drills, with their verdicts.
        tables: those of the study; cells are words.
    """
    return {
        "format": FORMAT,
        "lab": lab,
        "drills": [as_document(record) for record in records],
        "tables": _TABLES.dump_python(tuple(tables), mode="json"),
    }


def figures_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of :func:`figures_document`; keys that it does not name are not allowed."""
    record = _closed(_RECORD.json_schema(mode="serialization"))
    tables = _closed(_TABLES.json_schema(mode="serialization"))
    definitions = {**record.pop("$defs", {}), **tables.pop("$defs", {})}
    verdict = {"type": "boolean", "description": "No problem, every audit holds, every objective is met."}
    record["properties"]["ok"] = verdict
    record["required"] = [*record.get("required", []), "ok"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Figures of the drills of a lab",
        "type": "object",
        "additionalProperties": False,
        "required": ["format", "lab", "drills", "tables"],
        "properties": {
            "format": {"const": FORMAT},
            "lab": {"type": "string"},
            "drills": {"type": "array", "items": record},
            "tables": tables,
        },
        "$defs": definitions,
    }


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, with objects of named keys closed against others, and all their keys required."""
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["additionalProperties"] = False
            part["required"] = list(part["properties"])
    return schema
