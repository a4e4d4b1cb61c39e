"""The door to files of JSON lines that several threads append to."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from lab.core.errors import LabError


class JsonLines:
    """Appends objects to a file, each as one line that is flushed at once; safe to use from several threads.

    Args:
        path: the file; its directory is made, and what is in the file stays.

    Raises:
        LabError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Why the file could not be written; empty as long as it could.
        self.trouble = ""
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: TextIO = path.open("a", encoding="utf-8")
        except OSError as error:
            raise LabError(
                f"cannot write {path}: {error.strerror}", remedy="Correct the permissions of the folder"
            ) from error

    def append(self, document: Mapping[str, object]) -> None:
        """Append one object; one that cannot be written is lost, and :attr:`trouble` says why."""
        line = json.dumps(document, ensure_ascii=False) + "\n"
        with self._lock:
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError) as error:
                self.trouble = f"{self.path}: {error}"

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._stream.close()
