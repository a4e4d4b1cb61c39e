"""The programs of the nodes that are templates without a gap, as modules."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).resolve().parent.parent.parent / "cloudinit/nodes/usr/local/sbin"


def load(name: str) -> types.ModuleType:
    """Compiled by hand: an import would leave a folder of byte code among the templates."""
    program = PROGRAMS / f"{name}.j2"
    module = types.ModuleType(name.replace("-", "_"))
    sys.modules[module.__name__] = module
    exec(compile(program.read_text(), str(program), "exec"), module.__dict__)
    return module


maintenance: Any = load("lab-maintenance")
guest_answers: Any = load("lab-guest-answers")
node_down: Any = load("lab-ocfs2-node-down")
