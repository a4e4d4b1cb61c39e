"""Where programmes of drills are kept, and finding one."""

from __future__ import annotations

from pathlib import Path

from lab.core.drills.programme import Programme, from_document
from lab.core.errors import LabError
from lab.doors import files

PROGRAMMES_FOLDER = "programmes"
PROGRAMME_FILE = "programme.json"
FIGURES_FILE = "figures.json"
#: Instead of a name: the newest one.
LATEST = "latest"


def names(folder: Path) -> list[str]:
    """Names of a lab's programmes, the oldest first.

    Args:
        folder: ``build/<lab>``.
    """
    return sorted(path.parent.name for path in (folder / PROGRAMMES_FOLDER).glob(f"*/{PROGRAMME_FILE}"))


def read_programme(folder: Path, name: str) -> Programme:
    """One programme of a lab by its name, or the newest one.

    Raises:
        LabError: there is none of that name (exit code 2), or it cannot be read.
    """
    known = names(folder)
    if name == LATEST and known:
        name = known[-1]
    if name not in known:
        told = f"There are: {', '.join(known)}" if known else "./inv lab.drill study makes one"
        raise LabError(f"there is no programme {name} of this lab", remedy=told, exit_code=2)
    return from_document(files.read_json(folder / PROGRAMMES_FOLDER / name / PROGRAMME_FILE))


def newest_open(folder: Path) -> Programme:
    """The newest programme that is not finished.

    Raises:
        LabError: there is none (exit code 2), or it cannot be read.
    """
    for name in reversed(names(folder)):
        programme = read_programme(folder, name)
        if not programme.finished:
            return programme
    raise LabError("there is no programme to go on with", remedy="Begin one with ./inv lab.drill study", exit_code=2)
