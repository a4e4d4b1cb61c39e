"""The suite for running labs without a lab: which checks it makes for which topology, and how it looks at a machine."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import testinfra

from lab.core.errors import LabError
from lab.doors.process import run
from lab.workflows.options import ROOT, TOPOLOGIES, Options, load_lab
from lab.workflows.verify import SUITE, environment_of, verify

VIRSH = {
    "defined": "list --name --all",
    "autostarted": "list --name --all --autostart",
    "xml": "dumpxml test",
}
UNFENCED = "\nfencing:\n  method: none\n"


def collected(options: Options) -> list[str]:
    result = run(
        [sys.executable, "-m", "pytest", SUITE, "--collect-only", "-q", "-p", "no:cacheprovider"],
        timeout_s=60,
        cwd=ROOT,
        env=environment_of(options),
    )
    return [line.partition("::")[2] for line in result.stdout.splitlines() if "::" in line]


def test_checks_are_made_for_the_guests_that_there_are() -> None:
    checks = collected(Options(topology=TOPOLOGIES / "smoke.yaml"))
    assert "test_recursive_server_resolves_new_and_known_names[passata]" in checks
    assert "test_guest_runs_exactly_once_and_at_home[passata]" in checks
    assert [check for check in checks if "NOTSET" in check or "[none]" in check] == []
    assert [check for check in checks if "radius" in check or "web" in check or "extensions" in check] == []


def test_checks_of_all_services_are_made_for_the_default_lab() -> None:
    checks = collected(Options())
    for service in ("recursive_server", "radius_server", "page_stores", "two_extensions"):
        assert [check for check in checks if check.startswith(f"test_{service}")], service


def test_checks_follow_the_topologys_switch() -> None:
    bridged = collected(Options(topology=TOPOLOGIES / "smoke.yaml"))
    switched = collected(Options(topology=TOPOLOGIES / "switch.yaml"))
    assert not [check for check in bridged if "lacp" in check or "of_a_vlan" in check or "test_switch" in check]
    assert "test_lacp_is_negotiated_on_every_leg" in switched
    assert "test_vlan_has_only_its_members[42]" in switched
    assert [check for check in switched if "[none]" in check] == []


@pytest.mark.parametrize("fenced", [True, False])
def test_checks_follow_the_topologys_fencing(tmp_path: Path, fenced: bool) -> None:
    topology = tmp_path / "mine.yaml"
    topology.write_text((TOPOLOGIES / "smoke.yaml").read_text() + ("" if fenced else UNFENCED))
    names = {check.partition("[")[0] for check in collected(Options(topology=topology))}
    assert ("test_fencing_daemon_shows_exactly_the_nodes_of_this_lab" in names) == fenced
    assert ("test_drbd_freezes_until_the_peer_is_fenced" in names) == fenced
    assert ("test_fencing_is_off_as_the_topology_says" in names) != fenced


def test_a_lab_that_is_not_there_is_no_lab_that_passes(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="there is no lab halab here"):
        verify(Options(build=tmp_path))


@pytest.fixture(scope="module")
def look() -> Iterator[ModuleType]:
    """The suite's own module, found as a run of the suite finds it: its folder is on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / SUITE)
        yield importlib.import_module("look")


def test_one_command_answers_many_questions(look: ModuleType) -> None:
    questions = {
        "an author's name": "true",
        "words": "echo 'it is \"quoted\"'; printf 'no newline'",
        "nothing": "true",
        "failure": "echo why >&2; exit 3",
        "input": "cat",
    }
    seen = look.take(testinfra.get_host("local://"), questions, 20)
    assert seen.text("words") == 'it is "quoted"\nno newline'
    assert (seen.text("nothing"), seen.text("input"), seen.text("an author's name")) == ("", "", "")
    failure = seen.answer("failure")
    assert (failure.text, failure.code) == ("why", 3)
    with pytest.raises(AssertionError, match="failure ended with exit code 3: why"):
        seen.text("failure")


def test_a_look_that_broke_off_keeps_what_it_has(look: ModuleType) -> None:
    seen = look.take(testinfra.get_host("local://"), {"first": "echo here", "second": "sleep 30"}, 1)
    assert seen.text("first") == "here"
    with pytest.raises(AssertionError, match="the look broke off before 'second'"):
        seen.text("second")


def test_a_machine_that_cannot_be_reached_fails_every_question(look: ModuleType, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text("Host nowhere\n    HostName 127.0.0.1\n    Port 1\n")
    machine = testinfra.get_host("ssh://nowhere", ssh_config=str(config), ssh_extra_args="-o BatchMode=yes")
    seen = look.take(machine, {"anything": "true"}, 5)
    with pytest.raises(AssertionError, match=r"nowhere cannot be asked: .*Connection refused"):
        seen.text("anything")


def test_one_virsh_tells_everything(look: ModuleType) -> None:
    commands = "; ".join(f"echo {look.PART} {name}; {command}" for name, command in VIRSH.items())
    seen = look.take(testinfra.get_host("local://"), {"libvirt": f"virsh -c test:///default '{commands}'"}, 20)
    assert look.libvirt(seen, "defined") == "test"
    assert look.libvirt(seen, "autostarted") == ""
    assert look.libvirt(seen, "xml").startswith("<domain type='test'")
    with pytest.raises(AssertionError, match="libvirt said nothing about other"):
        look.libvirt(seen, "other")


def test_a_guest_that_one_node_does_not_know_fails_no_other_question(look: ModuleType) -> None:
    """Where a guest has run and gone home again libvirt does not know it; virsh ends as its last command did."""
    lab = load_lab(Options())
    commands = look.libvirt_commands(lab)
    seen = look.take(testinfra.get_host("local://"), {"libvirt": f"virsh -c test:///default '{commands}'"}, 20)
    assert look.libvirt(seen, "defined") == "test"
    guest = lab.guests[-1].domain
    assert look.libvirt(seen, f"live-{guest}") == f"error: failed to get domain '{guest}'"
