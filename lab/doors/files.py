"""The door to files: trees written atomically, secrets with mode 0600, locks that a killed process cannot keep."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.core.errors import LabError

SECRET_MODE = 0o600
PLAIN_MODE = 0o644


def write_atomically(path: Path, content: bytes, mode: int = PLAIN_MODE) -> bool:
    """Write a file so that a reader sees the old or the new content, never half of it.

    Args:
        path: the file; missing folders are made.
        content: its new content.
        mode: its permission bits, set before the content becomes visible.

    Returns:
        Whether anything had to be changed.

    Raises:
        LabError: the file cannot be written, for example because the disk is full.
    """
    try:
        if path.is_file() and path.stat().st_mode & 0o777 == mode and path.read_bytes() == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            Path(temporary).chmod(mode)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LabError(
            f"cannot write {path}: {error.strerror}", remedy="Free some space or correct the permissions of the folder"
        ) from error
    return True


def write_tree(root: Path, tree: Mapping[str, bytes], is_secret: Callable[[str], bool]) -> list[str]:
    """Write a rendered tree below a folder; files that hold secrets get mode 0600.

    Args:
        root: the folder.
        tree: relative path to content.
        is_secret: tells from a relative path whether the file holds secrets.

    Returns:
        The relative paths that were new or different, in order.
    """
    return [
        name
        for name, content in sorted(tree.items())
        if write_atomically(root / name, content, SECRET_MODE if is_secret(name) else PLAIN_MODE)
    ]


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None when there is none or it is damaged (a cache may be lost, not trusted)."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def write_json(path: Path, value: Any, mode: int = PLAIN_MODE) -> None:
    """Write a value as readable JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode(), mode)


@contextmanager
def locked(path: Path, *, busy: str) -> Iterator[None]:
    """Hold an exclusive lock; the kernel drops it when the process ends, however it ends.

    Args:
        path: the lock file, made when missing.
        busy: message when another process holds it.

    Raises:
        LabError: another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            holder = stream.read().strip()
            raise LabError(
                f"{busy}{f' (process {holder})' if holder else ''}", remedy="Wait for it to end, or end that process"
            ) from None
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        yield
