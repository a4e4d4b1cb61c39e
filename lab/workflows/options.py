"""What a person asked for on the command line, as every workflow gets it, and the lab that it means."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.core.acceleration import Wanted
from lab.core.errors import LabError
from lab.core.model import Driver, Lab
from lab.doors import files

ROOT = Path(__file__).resolve().parent.parent.parent
TOPOLOGIES = ROOT / "topologies"


@dataclass(frozen=True)
class Options:
    """The options that tasks have in common.

    Args:
        topology: the topology file.
        name: name of the lab instead of the topology's; empty for the topology's own.
        accelerator: ``auto``, ``kvm`` or ``tcg``.
        secrets: directory of given secrets; None makes them once and keeps them with the lab.
        build: directory of everything that is generated.
        driver: who defines the nodes, ``libvirt`` or ``vagrant``; empty for who has done so, else ``libvirt``.
    """

    topology: Path = TOPOLOGIES / "two-node.yaml"
    name: str = ""
    accelerator: Wanted = "auto"
    secrets: Path | None = None
    build: Path = ROOT / "build"
    driver: Driver | Literal[""] = ""

    @property
    def up_command(self) -> str:
        """The command that builds this lab, for remedies."""
        given = [] if self.topology == TOPOLOGIES / "two-node.yaml" else ["-t", _short(self.topology)]
        given += ["--name", self.name] if self.name else []
        return shlex.join(["./inv", "lab.up", *given])


def _short(topology: Path) -> str:
    """A topology as it would be typed."""
    return topology.stem if topology.parent == TOPOLOGIES and topology.suffix == ".yaml" else str(topology)


def resolve_topology(text: str) -> Path:
    """The file that a person means: a path as it is, or a bare name of one in ``topologies/``.

    Args:
        text: such as ``smoke``, ``smoke.yaml`` or ``../mine.yaml``; a file of the working directory comes first.

    Raises:
        LabError: there is no such file (exit code 2).
    """
    given = Path(text).expanduser()
    candidates = [given]
    if given.name == text:
        candidates += [TOPOLOGIES / text, TOPOLOGIES / f"{text}.yaml"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(path.stem for path in TOPOLOGIES.glob("*.yaml"))) or "none"
    raise LabError(
        f"there is no topology {text}", remedy=f"Give a file, or the name of one of these: {known}", exit_code=2
    )


def known_topology(name: str, build: Path = ROOT / "build") -> Path:
    """The file that a lab was built from, for a person who names the lab only; the default one for any other.

    Args:
        name: of the lab; empty for that of the default topology.
        build: directory of everything that is generated.

    Raises:
        LabError: the lab is there, and its topology is not any more (exit code 2).
    """
    state = files.read_json(build / name / "state.json") if name else None
    noted = state.get("topology") if isinstance(state, dict) else None
    if not isinstance(noted, str):
        return Options.topology
    # As it was typed then, from the project's root or from anywhere.
    for path in (Path(noted), ROOT / noted):
        if path.is_file():
            return path
    raise LabError(
        f"the topology {noted} that the lab {name} was built from is gone",
        remedy=f"Give the lab's topology with -t; build/{name}/state.json holds its text",
        exit_code=2,
    )


def load_lab(options: Options) -> Lab:
    """The lab that the options mean, validated as a whole.

    Raises:
        InputError: the document is wrong; all of its problems at once.
        LabError: the file cannot be read (exit code 2).
    """
    from lab.core.topology import parse_topology  # noqa: PLC0415

    path = options.topology
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"cannot read {path}: {error}", remedy="Give a YAML file in UTF-8", exit_code=2) from error
    return parse_topology(text, source=shown_path(path), name=options.name or None)


def shown_path(path: Path) -> str:
    """A path as a person would type it: relative to the working directory when it is below it."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else os.fspath(path)


__all__ = ["ROOT", "TOPOLOGIES", "Options", "known_topology", "load_lab", "resolve_topology", "shown_path"]
