"""What cloud-init leaves in ``/var/lib/cloud/data``: ``status.json`` from the start on, ``result.json`` at the end.

Versions 22.4 (Debian 12) to 25.1 (Debian 13) are read; from 23.4 on each stage also has ``recoverable_errors``, for
which ``cloud-init status`` says "degraded".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lab.core.errors import LabError

STAGES = ("init-local", "init", "modules-config", "modules-final")


@dataclass(frozen=True)
class CloudInitStage:
    """One of the four stages.

    Args:
        name: one of :data:`STAGES`.
        started_s, finished_s: seconds since 1970 (since boot, where the clock was not set), None before that.
        errors: what failed.
        warnings: what was wrong and could be borne, each as ``LEVEL: text``.
    """

    name: str
    started_s: float | None
    finished_s: float | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.finished_s is not None


@dataclass(frozen=True)
class CloudInitStatus:
    """How far cloud-init is.

    Args:
        datasource: what it found its data in, such as ``DataSourceNoCloud [seed=/dev/sr0][dsmode=net]``; empty
            before it has.
        current: the stage at work; empty when none is.
        stages: all four, in order.
    """

    datasource: str
    current: str
    stages: tuple[CloudInitStage, ...]

    @property
    def finished(self) -> bool:
        """Whether all stages are over."""
        return not self.current and all(stage.finished for stage in self.stages)

    @property
    def errors(self) -> tuple[str, ...]:
        """Every error, with its stage."""
        return tuple(f"{stage.name}: {error}" for stage in self.stages for error in stage.errors)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every recoverable error, with its stage."""
        return tuple(f"{stage.name}: {warning}" for stage in self.stages for warning in stage.warnings)


@dataclass(frozen=True)
class CloudInitResult:
    """How cloud-init ended; the file exists only once it has.

    Args:
        datasource: what it found its data in; empty when nowhere.
        errors: what failed in any stage.
        warnings: recoverable errors, each as ``LEVEL: text``.
    """

    datasource: str
    errors: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def parse_status(text: str) -> CloudInitStatus:
    """Read ``/var/lib/cloud/data/status.json``.

    Raises:
        LabError: it is not JSON (as while it is being written), or not of the known form.
    """
    source = "status.json"
    document = _first_version(text, source)
    current = document.get("stage")
    if current is not None and current not in STAGES:
        raise _unreadable(source, f"unknown stage {current!r}")
    return CloudInitStatus(
        datasource=_datasource(document, source),
        current=current or "",
        stages=tuple(_stage(name, document.get(name, {}), source) for name in STAGES),
    )


def parse_result(text: str) -> CloudInitResult:
    """Read ``/var/lib/cloud/data/result.json``.

    Raises:
        LabError: it is not JSON, or not of the known form.
    """
    source = "result.json"
    document = _first_version(text, source)
    if "errors" not in document:
        raise _unreadable(source, "no errors, not even an empty list of them")
    return CloudInitResult(_datasource(document, source), _errors(document, source), _warnings(document, source))


def _unreadable(source: str, why: str) -> LabError:
    return LabError(f"/var/lib/cloud/data/{source} cannot be read: {why}")


def _first_version(text: str, source: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _unreadable(source, f"not JSON ({error})") from error
    inner = document.get("v1") if isinstance(document, dict) else None
    if not isinstance(inner, dict):
        raise _unreadable(source, "no object v1")
    return inner


def _datasource(document: dict[str, Any], source: str) -> str:
    datasource = document.get("datasource") or ""
    if not isinstance(datasource, str):
        raise _unreadable(source, f"datasource {datasource!r}")
    return datasource


def _stage(name: str, document: object, source: str) -> CloudInitStage:
    if not isinstance(document, dict):
        raise _unreadable(source, f"{name} is no object")
    return CloudInitStage(
        name=name,
        started_s=_time(document, "start", source),
        finished_s=_time(document, "finished", source),
        errors=_errors(document, source),
        warnings=_warnings(document, source),
    )


def _time(document: dict[str, Any], key: str, source: str) -> float | None:
    value = document.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _unreadable(source, f"{key} is {value!r}")
    return None if value is None else float(value)


def _errors(document: dict[str, Any], source: str) -> tuple[str, ...]:
    errors = document.get("errors", [])
    if not isinstance(errors, list):
        raise _unreadable(source, f"errors are {errors!r}")
    return tuple(str(error) for error in errors)


def _warnings(document: dict[str, Any], source: str) -> tuple[str, ...]:
    levels = document.get("recoverable_errors", {})
    if not isinstance(levels, dict) or not all(isinstance(texts, list) for texts in levels.values()):
        raise _unreadable(source, f"recoverable_errors are {levels!r}")
    return tuple(f"{level}: {text}" for level, texts in levels.items() for text in texts)
