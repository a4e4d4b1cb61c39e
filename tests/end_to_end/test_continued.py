"""The lab halted and continued, removed and back from what was kept."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import (
    GUESTS,
    LAB,
    NAME,
    boot_ids,
    domain_states,
    invoke,
    invoke_json,
    status,
    status_after,
)


@pytest.mark.takes(300)
def test_halt_and_up_continue_the_lab() -> None:
    document = invoke_json("lab.halt", *LAB)
    assert all(document["clean"].values())
    assert set(domain_states().values()) == {"off"}
    document = invoke_json("lab.up", *LAB)
    assert {answer["guest"] for answer in document["services"]} == GUESTS
    assert status()["healthy"]


@pytest.mark.takes(100)
def test_down_and_up_start_from_ready() -> None:
    document = invoke_json("lab.down", *LAB, limit_s=120)
    assert document["kept"] == ["ready"]
    assert domain_states() == {}
    assert NAME in invoke_json("lab.list")["kept"]
    before_ids = boot_ids(status_after("lab.up"))
    assert invoke("lab.reset", *LAB, limit_s=300).returncode == 0
    assert boot_ids(status()) == before_ids
