"""Software of the nodes: packages, kernel, the files of the lab, units, and how cloud-init ended."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from look import CLOCK_LIMIT_S, LOADED_MODULES, PACKAGES, UNITS, Look

from lab.core.addressing import domain_uuid
from lab.core.model import Lab, Node
from lab.core.parsers.cloudinit import parse_result, parse_status
from lab.core.render.modes import FileMode, parse_modes
from lab.doors.templates import load_templates
from lab.workflows.options import ROOT

MODES = "cloudinit/nodes/modes.yaml"
#: libvirt keeps its definitions there in words of its own; test_lab_virtualisation reads what they mean.
REWRITTEN_BY_LIBVIRT = ("/etc/libvirt/qemu/", "/etc/libvirt/storage/")
#: Pacemaker starts these, and nothing else may.
STARTED_BY_PACEMAKER = ("drbd.service", "ocfs2.service")


def digests(seen: Look) -> dict[str, str]:
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in seen.lines("digests"))}


def modes(seen: Look) -> dict[str, tuple[str, str]]:
    return {path: (mode, owner) for mode, owner, path in (line.split(maxsplit=2) for line in seen.lines("modes"))}


def units(seen: Look) -> dict[str, dict[str, str]]:
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines()) for block in seen.text("units").strip().split("\n\n")
    ]
    return {block["Id"]: block for block in blocks}


def test_host_name(node: Node, seen: Look) -> None:
    assert seen.text("hostname") == node.name


def test_clock_is_that_of_the_host(seen: Look) -> None:
    assert abs(seen.clock_error_s()) < CLOCK_LIMIT_S


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_installed(seen: Look, package: str) -> None:
    assert f"{package} installed" in seen.answer("packages").text.splitlines()


def test_kernel_is_a_full_one(seen: Look) -> None:
    # The cloud kernel has neither OCFS2 nor its lock manager.
    release = seen.text("kernel")
    assert release
    assert "cloud" not in release


@pytest.mark.parametrize("module", LOADED_MODULES)
def test_module_is_loaded(seen: Look, module: str) -> None:
    assert module in seen.lines("modules")


def test_vlan_module_is_available(seen: Look) -> None:
    assert "/8021q.ko" in seen.text("vlan module")


def test_drbd_is_of_the_8_4_series(seen: Look) -> None:
    assert seen.text("drbd").startswith("version: 8.4.")


def test_node_can_run_kvm_guests(seen: Look) -> None:
    assert seen.text("virtualisation") in ("svm", "vmx")
    assert seen.text("kvm device") == "character special file a:e8"  # misc device 10:232, in hexadecimal
    assert seen.text("nested") in ("1", "Y")


def test_files_are_as_rendered(node: Node, seen: Look, rendered_files: dict[str, dict[str, Path]]) -> None:
    there = digests(seen)
    compared = {
        path: file for path, file in rendered_files[node.name].items() if not path.startswith(REWRITTEN_BY_LIBVIRT)
    }
    assert len(compared) > 10
    different = [
        path
        for path, file in sorted(compared.items())
        if there.get(path) != hashlib.sha256(file.read_bytes()).hexdigest()
    ]
    assert different == []


def test_secret_files_are_those_of_the_lab(seen: Look, secret_files: dict[str, bytes]) -> None:
    there = digests(seen)
    different = [
        path for path, content in secret_files.items() if there.get(path) != hashlib.sha256(content).hexdigest()
    ]
    assert different == []


def test_files_have_their_modes_and_owners(
    node: Node, seen: Look, rendered_files: dict[str, dict[str, Path]], secret_files: dict[str, bytes]
) -> None:
    table = parse_modes(MODES, load_templates(ROOT)[MODES])
    there = modes(seen)
    expected = {}
    for path in {*rendered_files[node.name], *secret_files}:
        if not path.startswith(REWRITTEN_BY_LIBVIRT):
            mode = table.get(path.removeprefix("/"), FileMode())
            expected[path] = (f"{mode.mode:o}", f"{mode.uid}:{mode.gid}")
    assert {path: there.get(path) for path in expected} == expected


def test_nobody_but_root_reads_secrets(seen: Look, secret_files: dict[str, bytes]) -> None:
    there = modes(seen)
    holders = [*secret_files, "/etc/drbd.d/vms.res"]
    assert {path: there[path][0][-2:] for path in holders} == dict.fromkeys(holders, "00")


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit not in STARTED_BY_PACEMAKER])
def test_unit_is_active(seen: Look, unit: str) -> None:
    assert units(seen)[unit]["ActiveState"] == "active"


@pytest.mark.parametrize(
    "unit", ["corosync.service", "pacemaker.service", "o2cb.service", "ssh.service", "networking.service"]
)
def test_unit_starts_at_boot(seen: Look, unit: str) -> None:
    assert "multi-user.target" in units(seen)[unit]["WantedBy"].split()


@pytest.mark.parametrize("unit", STARTED_BY_PACEMAKER)
def test_storage_is_left_to_pacemaker(seen: Look, unit: str) -> None:
    assert units(seen)[unit]["ActiveState"] == "inactive"
    assert "multi-user.target" not in units(seen)[unit]["WantedBy"].split()


def test_no_unit_has_failed(seen: Look) -> None:
    assert seen.lines("failed units") == []


def test_boot_is_complete(seen: Look) -> None:
    # Its exit code says the same; the word says more.
    assert seen.answer("system state").text == "running"


def test_cloud_init_ended_without_errors(seen: Look) -> None:
    result = parse_result(seen.text("cloud-init result"))
    assert result.errors == ()
    assert result.warnings == ()
    status = parse_status(seen.text("cloud-init status"))
    assert status.finished
    assert status.errors == ()


def test_cloud_init_leaves_later_boots_alone(seen: Look) -> None:
    assert seen.text("cloud-init at later boots").startswith("regular")


def test_cloud_init_used_the_seed_of_this_node(lab: Lab, node: Node, seen: Look) -> None:
    assert parse_result(seen.text("cloud-init result")).datasource.startswith("DataSourceNoCloud [seed=/dev/")
    assert seen.text("instance") == str(domain_uuid(lab.name, node.name))
