"""The lab as a file, brought back from it, and with other secrets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.workflows.options import ROOT
from tests.end_to_end.conftest import GUESTS, LAB, NAME, boot_ids, invoke, invoke_json, status, status_after


@pytest.mark.takes(150)
def test_a_bundle_brings_the_lab_back(tmp_path: Path) -> None:
    bundle = tmp_path / "lab.bundle"
    exported = invoke_json("lab.export", str(bundle), *LAB)
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert exported["size_bytes"] == bundle.stat().st_size
    assert invoke("lab.import", str(bundle)).returncode == 2
    before_ids = boot_ids(status())
    assert invoke("lab.down", "--no-cache", *LAB, limit_s=120).returncode == 0
    invoke_json("lab.import", str(bundle))
    assert boot_ids(status_after("lab.up")) == before_ids


@pytest.mark.takes(320)
def test_new_secrets_replace_the_old_ones() -> None:
    path = ROOT / "build" / NAME / "secrets" / "secrets.json"
    old = json.loads(path.read_text())
    document = invoke_json("lab.renew", *LAB)
    assert {answer["guest"] for answer in document["services"]} == GUESTS
    # What was tried is the workflow's own proof; every machine and every service with a secret is in it.
    tried = "\n".join(document["renewed"])
    assert all(name in tried for name in ("brina", "piova", *(guest.lower() for guest in GUESTS)))
    assert all(word in tried for word in ("radius-access", "sip-call", "database", "root's password", "host key"))
    new = json.loads(path.read_text())
    assert [name for name in old if old[name] == new[name]] == []
    assert [one["save"] for one in invoke_json("lab.saves", *LAB)["saves"]] == ["ready"]
    assert not list(path.parent.parent.glob("secrets.*"))
    assert status()["healthy"]
    assert invoke("lab.reset", *LAB, limit_s=300).returncode == 0
