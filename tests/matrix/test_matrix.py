"""The steps of one suite's lab; each takes the lab where the one before it left it."""

from __future__ import annotations

from collections.abc import Callable

from lab.core.matrix import SHOWN_PACKAGES, STEPS, lab_name
from tests.end_to_end.conftest import invoke, invoke_json
from tests.matrix.conftest import written_topology

Words = tuple[str, ...]
Record = Callable[[str, object], None]


def bring_up(suite: str, lab: Words, record: Record) -> None:
    # What an aborted run left is removed first.
    assert invoke("lab.down", "--no-cache", *lab, limit_s=120).returncode == 0
    document = invoke_json("lab.up", *lab)
    assert document["services"]
    assert all(answer["ok"] for answer in document["services"])


def read_versions(suite: str, lab: Words, record: Record) -> None:
    """What is installed, and that it is the suite's."""
    command = f"cat /etc/os-release; dpkg-query -W {' '.join(SHOWN_PACKAGES)}"
    result = invoke("lab.ssh", "brina", *lab, "--command", command, limit_s=120)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert f"VERSION_CODENAME={suite}" in lines
    versions = dict(line.split("\t", 1) for line in lines if "\t" in line)
    assert set(versions) == set(SHOWN_PACKAGES)
    for package in SHOWN_PACKAGES:
        record(package, versions[package])


def verify(suite: str, lab: Words, record: Record) -> None:
    document = invoke_json("lab.verify", *lab, limit_s=900)
    assert document["checks"] == document["passed"] > 100


def migrate(suite: str, lab: Words, record: Record) -> None:
    document = invoke_json("lab.drill", "live-migrate", *lab)
    (record,) = document["drills"]
    assert document["ok"]
    assert record["audits"]
    assert {audit["name"] for audit in record["audits"] if not audit["ok"]} == set()


def remove(suite: str, lab: Words, record: Record) -> None:
    assert invoke("lab.down", "--no-cache", *lab, limit_s=120).returncode == 0
    assert lab_name(suite) not in invoke_json("lab.list", limit_s=60)["kept"]
    assert invoke("lab.status", *lab, limit_s=120).returncode == 1


ACTIONS: dict[str, Callable[[str, Words, Record], None]] = dict(
    zip(STEPS, (bring_up, read_versions, verify, migrate, remove), strict=True)
)


def test_suite(suite: str, step: str, record_property: Record) -> None:
    ACTIONS[step](suite, ("--topology", str(written_topology(suite)), "--name", lab_name(suite)), record_property)
