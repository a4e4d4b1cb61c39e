"""One real lab from nothing to nothing: killed, finished, verified, fenced, halted, continued, removed."""

from __future__ import annotations

import json
import time
from typing import Any

from lab.workflows.options import ROOT
from tests.end_to_end.conftest import NAME, domain_states, host_state, invoke, invoke_json, kill_while_running

LAB = ("--name", NAME)
GUESTS = {"Passata", "Speedauth", "Masterauth", "Soldi", "SimplesIP"}


def status() -> dict[str, Any]:
    return invoke_json("lab.status", *LAB, limit_s=300)


def boot_ids(document: dict[str, Any]) -> dict[str, str]:
    return {name: node["seen"]["boot_id"] for name, node in document["nodes"].items()}


def test_preflight_creates_nothing(before: dict[str, Any]) -> None:
    document = invoke_json("lab.doctor", *LAB, limit_s=60)
    assert document["ok"]
    assert document["accelerator"]["accelerator"] in {"kvm", "tcg"}
    assert document["accelerator"]["reason"]
    assert host_state() == before


def test_bad_input_changes_nothing(before: dict[str, Any], tmp_path: Any) -> None:
    text = (ROOT / "topologies" / "two-node.yaml").read_text().replace("home: piova", "home: pivoa", 1)
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    assert invoke("lab.up", "-t", str(bad), *LAB).returncode == 2
    assert host_state() == before


def test_up_killed_and_down_leaves_the_host_as_it_was(before: dict[str, Any]) -> None:
    invoke("lab.bake", *LAB)
    kill_while_running("lab.up", *LAB, when=lambda: "running" in domain_states().values())
    assert host_state() != before
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    assert host_state() == before


def test_up_finishes_what_a_killed_run_began(before: dict[str, Any]) -> None:
    events = ROOT / "build" / NAME / "events.jsonl"
    kill_while_running("lab.up", *LAB, when=lambda: events.exists() and "copy the guests" in events.read_text())
    document = invoke_json("lab.up", *LAB)
    assert all(answer["ok"] for answer in document["services"])
    assert {answer["guest"] for answer in document["services"]} == GUESTS


def test_status_shows_a_healthy_lab() -> None:
    document = status()
    assert document["healthy"], document["problems"]
    assert document["fencing"] == "fence_virt"
    assert set(document["cluster"]["online"]) == {"brina", "piova"}
    for guest in document["guests"].values():
        assert guest["on"] == guest["home"]


def test_verify_passes() -> None:
    document = invoke_json("lab.verify", *LAB, limit_s=900)
    print(json.dumps(document)[:2000])
    assert (ROOT / "build" / NAME / "verify.xml").exists()


def test_second_up_changes_nothing() -> None:
    before_ids = boot_ids(status())
    result = invoke("lab.up", *LAB, limit_s=300)
    assert result.returncode == 0
    assert boot_ids(status()) == before_ids


def test_a_fenced_node_really_goes_down_and_comes_back() -> None:
    before_ids = boot_ids(status())
    # In the background: the answer to the fencing request may come after the ssh command's own time.
    order = "nohup stonith_admin --reboot piova --timeout 180 >/tmp/fence.log 2>&1 &"
    assert invoke("lab.ssh", "brina", *LAB, "--command", order).returncode == 0
    deadline = time.monotonic() + 1500
    while True:
        result = invoke("lab.status", *LAB, "--json", limit_s=300)
        document = json.loads(result.stdout)
        now = document["nodes"]["piova"]["seen"]
        if document["healthy"] and now and now["boot_id"] != before_ids["piova"]:
            break
        assert time.monotonic() < deadline, document["problems"]
        time.sleep(5)
    assert document["nodes"]["brina"]["seen"]["boot_id"] == before_ids["brina"]


def test_halt_and_up_continue_the_lab() -> None:
    document = invoke_json("lab.halt", *LAB)
    assert all(document["clean"].values())
    assert set(domain_states().values()) == {"off"}
    document = invoke_json("lab.up", *LAB)
    assert {answer["guest"] for answer in document["services"]} == GUESTS
    assert status()["healthy"]


def test_down_and_up_start_from_ready() -> None:
    document = invoke_json("lab.down", *LAB, limit_s=120)
    assert document["kept"] == ["ready"]
    assert domain_states() == {}
    assert NAME in invoke_json("lab.list")["kept"]
    before_ids = boot_ids(status_after("lab.up"))
    assert invoke("lab.reset", *LAB, limit_s=300).returncode == 0
    assert boot_ids(status()) == before_ids


def status_after(*words: str) -> dict[str, Any]:
    document = invoke_json(*words, *LAB)
    assert {answer["guest"] for answer in document["services"]} == GUESTS
    seen = status()
    assert seen["healthy"], seen["problems"]
    return seen


def test_a_bundle_brings_the_lab_back(tmp_path: Any) -> None:
    bundle = tmp_path / "lab.bundle"
    exported = invoke_json("lab.export", str(bundle), *LAB)
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert exported["size_bytes"] == bundle.stat().st_size
    assert invoke("lab.import", str(bundle)).returncode == 2
    before_ids = boot_ids(status())
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    invoke_json("lab.import", str(bundle))
    assert boot_ids(status_after("lab.up")) == before_ids


def test_down_leaves_the_host_as_it_was(before: dict[str, Any]) -> None:
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    assert host_state() == before
    assert not (ROOT / "build" / NAME).exists()
    assert invoke("lab.status", *LAB).returncode == 1
