"""A lab that is down with two saves, for tests."""

from __future__ import annotations

from lab.core.kept import Kept, Present
from lab.core.saves import Note, build_digest

TREE = {"cluster/cib.crm": "1" * 64, "libvirt/pool.xml": "2" * 64}
READY = Note("mylab", "ready", "ab" * 16, 1_800_000_000, build_digest(TREE), "tcg", "7.2.17")
LATER = Note("mylab", "later", "cd" * 16, 1_800_000_100, build_digest(TREE), "tcg", "7.2.17")
KEPT = Kept("mylab", "ready", (READY, LATER), "", "lab:\n  name: mylab\n", TREE)
PRESENT = Present(TREE, "tcg", "7.2.18", "")
