"""One small lab, by libvirt alone and by Vagrant: the same checks, the times of both, and a host as it was before.

Every test takes the lab where the one before it left it. Needs about twenty minutes where processors are emulated.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.core.vagrant_plan import HOME
from lab.drivers.hypervisor import CACHE_POOL, Hypervisor
from lab.workflows.options import ROOT
from tests.end_to_end.conftest import host_state, invoke, invoke_json, kill_while_running

NAME = "vagrantlab"
LAB = ("-t", "smoke", "--name", NAME)
FOLDER = ROOT / "build" / NAME
VAGRANT_LIMIT_S = 900
TIMES_S: dict[str, float] = {}


def state() -> dict[str, Any]:
    """The host as far as labs and Vagrant can change it; images in the cache stay."""
    hypervisor = Hypervisor()
    try:
        pools = [pool for pool in hypervisor.connection.listAllStoragePools() if pool.isActive()]
        volumes = {pool.name(): sorted(pool.listVolumes()) for pool in pools if pool.name() != CACHE_POOL}
        cached = {name for name in hypervisor.volume_names(CACHE_POOL) if NAME in name or "vagrant" in name}
    finally:
        hypervisor.close()
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    home = Path.home() / ".vagrant.d"
    return host_state() | {
        "volumes": volumes,
        "cached": cached,
        "processes": sorted(line for line in lines if NAME in line and "pytest" not in line),
        "home": sorted(str(path) for path in home.rglob("*")) if home.exists() else [],
        "logs": sorted(path.name for path in Path("/var/log/libvirt/qemu").glob(f"{NAME}*")),
    }


def vagrant(*words: str, home: Path) -> str:
    """Vagrant as a person types it in the lab's folder; what it printed."""
    done = subprocess.run(
        ["vagrant", *words],
        cwd=FOLDER,
        env={**os.environ, "VAGRANT_HOME": str(home), "VAGRANT_NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=VAGRANT_LIMIT_S,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def drivers() -> set[str]:
    """Who has defined the domains of the lab that there are."""
    hypervisor = Hypervisor()
    try:
        return {domain.driver for domain in hypervisor.owned_domains(NAME)}
    finally:
        hypervisor.close()


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
