"""A lab whose nodes Vagrant makes: up, verified, removed, and the host as it was."""

from __future__ import annotations

import pytest

from lab.core.vagrant_plan import HOME
from lab.workflows.options import ROOT
from tests.end_to_end.conftest import invoke, invoke_json
from tests.end_to_end.vagrant_side import drivers_of, vagrant, vagrant_state

NAME = "e2evagrant"
LAB = ("-t", "smoke", "--name", NAME)
FOLDER = ROOT / "build" / NAME


@pytest.mark.takes(210)
def test_a_lab_by_vagrant_serves_passes_every_check_and_leaves_nothing() -> None:
    """Once, for everybody; against libvirt alone, killed, drilled, halted and by hand it is in ``test.vagrant``."""
    assert invoke("lab.down", "--no-cache", *LAB).returncode == 0
    before = vagrant_state(NAME)
    try:
        document = invoke_json("lab.up", *LAB, "--driver", "vagrant")
        assert document["services"]
        assert all(answer["ok"] for answer in document["services"])
        assert drivers_of(NAME) == {"vagrant"}
        checks = invoke_json("lab.verify", *LAB, limit_s=900)
        assert checks["checks"] == checks["passed"] > 100
        assert vagrant("ssh", "brina", "-c", "hostname", folder=FOLDER, home=FOLDER / HOME).strip() == "brina"
    finally:
        removed = invoke("lab.down", *LAB, limit_s=120)
    assert removed.returncode == 0
    assert vagrant_state(NAME) == before
    assert not FOLDER.exists()
