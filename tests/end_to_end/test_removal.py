"""The end of the lab: nothing of it is left."""

from __future__ import annotations

from typing import Any

from lab.workflows.options import ROOT
from tests.end_to_end.conftest import LAB, NAME, host_state, invoke


def test_down_leaves_the_host_as_it_was(before: dict[str, Any]) -> None:
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    assert host_state() == before
    assert not (ROOT / "build" / NAME).exists()
    assert invoke("lab.status", *LAB).returncode == 1
