"""What a plain ``vagrant up`` leaves in the person's own Vagrant folder; needs no Vagrant."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def forget_boxes(folder: Path) -> list[str]:
    """Remove the boxes of a lab from the person's own Vagrant, where a plain ``vagrant up`` has put them.

    Args:
        folder: ``build/<lab>``; a box is the lab's when its catalogue is in there.

    Returns:
        The names of the removed folders.
    """
    home = Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")
    removed = []
    for note in sorted((home / "boxes").glob("*/metadata_url")):
        try:
            url = note.read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if url.removeprefix("file://").startswith(f"{folder.absolute()}/"):
            shutil.rmtree(note.parent, ignore_errors=True)
            removed.append(note.parent.name)
    return removed
