"""A small fixed set of faults on the whole lab, one of each family: in effect, healed, gone.

``./inv test.faults`` makes all of the catalogue.
"""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import LAB, invoke, invoke_json, status


@pytest.mark.takes(100)
@pytest.mark.parametrize("fault", ["leg-down", "kill-pacemakerd", "shared-full", "fence-daemon-gone"])
def test_a_fault_shows_and_heals(fault: str) -> None:
    made = invoke_json("lab.fault", fault, *LAB, limit_s=600)
    # The fault's own proof: what was seen of it on the node or the host, not that a command ended well.
    assert made["evidence"]
    undone = invoke_json("lab.heal", *LAB, limit_s=900)["undone"]
    # A daemon that was killed comes back by itself; everything else lasts until somebody takes it back.
    assert bool(undone) == (fault != "kill-pacemakerd")
    seen = status()
    assert seen["healthy"], seen["problems"]


def test_an_unknown_fault_changes_nothing() -> None:
    refused = invoke("lab.fault", "leg-dwon", *LAB, limit_s=120)
    assert refused.returncode == 2
    assert "leg-down" in refused.stderr
