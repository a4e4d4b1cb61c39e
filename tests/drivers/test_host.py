"""Pre-flight's facts and libvirt's start, on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.drivers import host, libvirt_service
from lab.workflows.doctor import doctor
from lab.workflows.options import Options


def test_facts_of_this_machine() -> None:
    facts = host.gather()
    assert facts.architecture == "x86_64"
    assert facts.cpu_count >= 1
    assert 0 < facts.memory_available_mib < 16 * 2**20
    assert facts.libvirt_error == ""
    assert "lo" in facts.links
    assert {tool for tool, version in facts.tools.items() if not version} == set()
    assert facts.tools["qemu-system-x86_64"][0].isdigit()


def test_a_libvirt_that_is_not_there_is_a_finding_and_not_a_crash() -> None:
    facts = host.gather("qemu+unix:///system?socket=/no/such/socket")
    assert facts.libvirt_version == ""
    assert "/no/such/socket" in facts.libvirt_error
    assert "/no/such/socket" in libvirt_service.answers("qemu+unix:///system?socket=/no/such/socket")


def test_a_running_libvirt_is_left_alone() -> None:
    libvirt_service.ensure_running()
    assert libvirt_service.answers() == ""
    assert libvirt_service.ensure_running() is False


def test_the_doctor_says_the_same_to_persons_and_programs_and_creates_nothing(tmp_path: Path) -> None:
    outcome = doctor(Options(build=tmp_path, accelerator="tcg"))
    document = json.loads(json.dumps(outcome.document))
    assert document["ok"] == outcome.ok
    assert document["accelerator"]["accelerator"] == "tcg"
    for finding in document["findings"]:
        assert finding["message"] in outcome.text
    assert list(tmp_path.iterdir()) == []


def test_a_tool_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "TOOLS", {"no-such-tool-here": ("--version",)})
    assert host.tool_version("no-such-tool-here") == ""
