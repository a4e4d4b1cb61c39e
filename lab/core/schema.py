"""The JSON Schema of the topology document, for editors that complete and check YAML."""

from __future__ import annotations

import json

from lab.core.topology_document import TopologyDocument


def json_schema() -> str:
    """The schema (draft 2020-12) as text that is the same every time; keys stand in the order of the documentation."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TopologyDocument.model_json_schema(),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
