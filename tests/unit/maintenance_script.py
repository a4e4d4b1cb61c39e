"""The maintenance script of the nodes, as a module."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
#: There is no gap in this template, so it is a Python file as it is.
SCRIPT = ROOT / "cloudinit/nodes/usr/local/sbin/lab-maintenance.j2"


def load() -> types.ModuleType:
    """Compiled by hand: an import would leave a folder of byte code among the templates."""
    module = types.ModuleType("lab_maintenance")
    sys.modules[module.__name__] = module
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), module.__dict__)
    return module


maintenance: Any = load()
