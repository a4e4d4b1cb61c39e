"""One small lab, by libvirt alone and by Vagrant: the same checks, the times of both, and a host as it was before.

Every test takes the lab where the one before it left it. Needs about twenty minutes where processors are emulated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.core.vagrant_plan import HOME
from lab.workflows.options import ROOT
from tests.end_to_end.conftest import invoke, invoke_json, kill_while_running
from tests.end_to_end.vagrant_side import drivers_of, vagrant_state
from tests.end_to_end.vagrant_side import vagrant as typed

NAME = "vagrantlab"
LAB = ("-t", "smoke", "--name", NAME)
FOLDER = ROOT / "build" / NAME
TIMES_S: dict[str, float] = {}


def state() -> dict[str, Any]:
    return vagrant_state(NAME)


def drivers() -> set[str]:
    return drivers_of(NAME)


def vagrant(*words: str, home: Path) -> str:
    return typed(*words, folder=FOLDER, home=home)


def come_up(driver: str) -> None:
    document = invoke_json("lab.up", *LAB, "--driver", driver, "--fresh")
    assert document["services"]
    assert all(answer["ok"] for answer in document["services"])
    assert drivers() == {driver}
    TIMES_S[driver] = document["duration_s"]


@pytest.fixture(scope="session")
def before() -> dict[str, Any]:
    """The host before; what an aborted run left is removed first, and the images are there."""
    assert invoke("lab.down", "--no-cache", *LAB).returncode == 0
    assert invoke("lab.bake", *LAB).returncode == 0
    return state()


def test_libvirt_alone(before: dict[str, Any]) -> None:
    come_up("libvirt")
    assert invoke("lab.up", *LAB, "--driver", "vagrant").returncode == 2
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    assert state() == before


def test_a_killed_run_leaves_nothing_behind_lab_down(before: dict[str, Any]) -> None:
    kill_while_running("lab.up", *LAB, "--driver", "vagrant", when=drivers)
    assert drivers() == {"vagrant"}
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    assert state() == before


def test_vagrant(before: dict[str, Any]) -> None:
    come_up("vagrant")
    ratio = TIMES_S["vagrant"] / TIMES_S["libvirt"] if "libvirt" in TIMES_S else float("nan")
    print(f"lab.up: {TIMES_S} s, Vagrant takes {ratio:.2f} times as long")
    assert invoke_json("lab.list")["labs"][NAME]["driver"] == "vagrant"


def test_every_check_of_a_lab_passes() -> None:
    document = invoke_json("lab.verify", *LAB, limit_s=900)
    assert document["checks"] == document["passed"] > 100
    assert invoke_json("lab.status", *LAB, limit_s=300)["driver"] == "vagrant"


def test_vagrant_reaches_its_nodes() -> None:
    assert vagrant("ssh", "brina", "-c", "hostname", home=FOLDER / HOME).strip() == "brina"
    assert "running" in vagrant("status", "piova", home=FOLDER / HOME)


def test_what_runs_is_left_alone_and_reset() -> None:
    for words in ((), ("--driver", "vagrant")):
        assert "nothing was changed" in invoke("lab.up", *LAB, *words, limit_s=300).stderr
    assert invoke("lab.reset", *LAB, limit_s=300).returncode == 0
    assert invoke_json("lab.status", *LAB, limit_s=300)["healthy"]
    assert invoke("lab.export", str(FOLDER / "lab.bundle"), *LAB, limit_s=300).returncode == 1


def test_the_power_of_a_node_is_cut() -> None:
    document = invoke_json("lab.drill", "power-off", "--node", "piova", *LAB)
    (record,) = document["drills"]
    assert document["ok"]
    assert {audit["name"] for audit in record["audits"] if not audit["ok"]} == set()
    assert any(phase["name"] == "fenced" for phase in record["phases"])


def test_a_halted_lab_goes_on() -> None:
    assert invoke("lab.halt", *LAB, limit_s=600).returncode == 0
    document = invoke_json("lab.up", *LAB)
    assert all(answer["ok"] for answer in document["services"])
    assert drivers() == {"vagrant"}


def test_lab_down_leaves_the_host_as_it_was(before: dict[str, Any]) -> None:
    document = invoke_json("lab.down", *LAB, limit_s=120)
    assert document["kept"] == []
    assert state() == before
    assert not FOLDER.exists()


def test_a_plain_vagrant_up(before: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word of where Vagrant is to keep its boxes: it takes the one that lies beside the Vagrantfile."""
    home = tmp_path / "home"
    monkeypatch.setenv("VAGRANT_HOME", str(home))
    assert invoke("lab.box", *LAB, limit_s=300).returncode == 0
    vagrant("up", home=home)
    assert vagrant("ssh", "piova", "-c", "cloud-init status --wait >/dev/null; hostname", home=home).strip() == "piova"
    vagrant("destroy", "-f", "brina", home=home)
    assert list((home / "boxes").iterdir())
    assert invoke("lab.down", *LAB, limit_s=120).returncode == 0
    assert not list((home / "boxes").iterdir())
    assert state() == before
