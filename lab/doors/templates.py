"""The templates of the repository, read once; rendering itself never opens a file."""

from __future__ import annotations

from pathlib import Path

from lab.core.errors import LabError

FOLDERS = ("cloudinit", "cluster", "host")
FILES = ("Vagrantfile.j2",)
TABLE = "modes.yaml"


def load_templates(root: Path) -> dict[str, str]:
    """Texts of all templates, and of the tables of file modes beside them.

    Args:
        root: the repository.

    Returns:
        Text by path below ``root`` with forward slashes, such as ``cloudinit/user-data.j2``; sorted.

    Raises:
        LabError: a folder is missing, or a template is not UTF-8 text.
    """
    paths = [root / name for name in FILES]
    for folder in FOLDERS:
        if not (root / folder).is_dir():
            raise LabError(f"the folder {folder} is missing below {root}", remedy="run inside a complete checkout")
        paths += [path for path in (root / folder).rglob("*") if path.suffix == ".j2" or path.name == TABLE]
    return {path.relative_to(root).as_posix(): load_template(path) for path in sorted(paths)}


def load_template(path: Path) -> str:
    """The text of one template.

    Raises:
        LabError: it is missing, or not UTF-8 text.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"cannot read the template {path}: {error}", remedy="restore it from the repository") from error
