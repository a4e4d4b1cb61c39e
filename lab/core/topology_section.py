"""What every section of the topology document is, and how its keys are declared."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lab.core.topology_values import Text


def _allow_empty(schema: dict[str, Any]) -> None:
    if not schema.get("required"):
        schema["type"] = ["object", "null"]


class Section(BaseModel):
    """A mapping of settings; unknown keys are refused, and an empty one stands for all defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=_allow_empty)

    @model_validator(mode="before")
    @classmethod
    def _empty_means_defaults(cls, value: object) -> object:
        return {} if value is None else value


def setting(
    description: str,
    default: object = ...,
    unit: str = "",
    written: str = "",
    names: Text | None = None,
    **bounds: float,
) -> Any:
    """A key of a section.

    Args:
        description: what it means, for editors.
        default: its default; none means that the key is required.
        unit: unit of a numeric default that the document writes as text, such as ``ms``.
        written: the default as the document writes it, where a unit does not say it.
        names: for a section of named members, what their names have to be.
        bounds: ``ge`` and ``le`` of plain numbers.
    """
    arguments: dict[str, Any] = {"description": description, **bounds}
    if default is not ...:
        arguments["default"] = default
    if unit or written:
        arguments["json_schema_extra"] = {"default": written or f"{default} {unit}"}
    elif isinstance(default, Section):
        arguments["json_schema_extra"] = {"default": {}}
    elif names is not None:
        arguments["json_schema_extra"] = {"propertyNames": names.json_form()}
    return Field(**arguments)
