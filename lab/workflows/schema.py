"""Write the JSON Schema of topology documents, for editors."""

from __future__ import annotations

from pathlib import Path

from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.core.schema import json_schema
from lab.workflows.options import Options, shown_path


def schema(_options: Options, output: str = "") -> Outcome:
    """The schema as text, or in a file.

    Args:
        _options: the common options; none of them matters here.
        output: the file to write; empty gives the schema itself.

    Raises:
        LabError: the file cannot be written.
    """
    text = json_schema()
    if not output:
        return Outcome(text.rstrip("\n"))
    path = Path(output).expanduser()
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LabError(
            f"cannot write {path}: {error.strerror}", remedy="Give a file in a directory that exists"
        ) from error
    return Outcome(f"The schema is in {shown_path(path)}.")


__all__ = ["schema"]
