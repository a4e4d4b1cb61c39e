"""The workflow for hosted runners as commands to type and files to keep. Pure.

Only what that file uses is understood (jobs, their matrix, steps with ``run``, and the paths of ``upload-artifact``);
its form is held by tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

_KEEPING = "actions/upload-artifact@"


@dataclass(frozen=True)
class Hosted:
    """What a runner does with one entry of the matrix.

    Args:
        commands: lines that it types, in order; those of steps that are only for failures as well.
        kept: paths of what it keeps, relative to the clone unless they begin with ``~``.
    """

    commands: tuple[str, ...]
    kept: tuple[str, ...]

    def command(self, task: str) -> str:
        """The line that types a task.

        Raises:
            ValueError: there is none, or more than one.
        """
        found = [line for line in self.commands if task in line.split()]
        if len(found) != 1:
            raise ValueError(f"the workflow types {task} {len(found)} times, not once")
        return found[0]


def hosted(text: str, accelerator: str) -> Hosted:
    """Read a workflow.

    Args:
        text: of the file.
        accelerator: entry of the matrix, ``kvm`` or ``tcg``.

    Raises:
        ValueError: no job of it has this entry, or it types nothing.
    """
    commands: list[str] = []
    kept: list[str] = []
    for step in _steps(yaml.safe_load(text), accelerator):
        lines = str(step.get("run", "")).replace("${{ matrix.accelerator }}", accelerator).splitlines()
        commands += [line.strip() for line in lines if line.strip()]
        if str(step.get("uses", "")).startswith(_KEEPING):
            kept += str(step["with"]["path"]).split()
    if not commands:
        raise ValueError(f"no job of the workflow types anything for {accelerator}")
    return Hosted(tuple(commands), tuple(kept))


def _steps(document: Any, accelerator: str) -> Iterator[Mapping[str, Any]]:
    for job in document["jobs"].values():
        if accelerator in job["strategy"]["matrix"]["accelerator"]:
            yield from job["steps"]
