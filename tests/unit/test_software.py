"""What is known about the releases that nodes can have."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from lab.core.model import ImageSource
from lab.core.software import RELEASES, SYSTEMD, UPSTART, release, software_of
from lab.core.topology_document import Suite, System
from tests.golden.example import ROOT, example_lab, lab_of, rendered


def test_every_system_and_suite_is_known() -> None:
    known = {release(system, suite) for system in get_args(System) for suite in get_args(Suite)}
    assert known == set(RELEASES)


@pytest.mark.parametrize("name", RELEASES)
def test_every_layer_is_there_and_what_is_left_out_exists(name: str) -> None:
    software = RELEASES[name]
    common = [
        str(p.relative_to(ROOT / "cloudinit/nodes")) for p in (ROOT / "cloudinit/nodes").rglob("*") if p.is_file()
    ]
    for layer in software.layers:
        assert (ROOT / "cloudinit" / layer).is_dir()
    for prefix in software.without:
        assert any(path.startswith(prefix) for path in common), prefix


def test_images_say_what_they_hold() -> None:
    assert software_of(ImageSource(recipe="node", suite="trixie")).title == "Debian 13"
    assert software_of(ImageSource(file="/a", system="ubuntu-22.04")).title == "Ubuntu 22.04"


def test_roles_of_debian_11_are_those_of_pacemaker_2_0() -> None:
    """crmsh 4.2.1 says "Invalid role 'Promoted'"; the clone itself is promotable there."""
    lab = example_lab()
    image = replace(lab.nodes[0].image, suite="bullseye")
    old = replace(lab, nodes=tuple(replace(node, image=image) for node in lab.nodes))
    text = rendered(old)["cluster/cib.crm"].decode()
    assert "promotable=true promoted-max=2" in text
    assert "role=Master" in text and "MS_DRBD:Master" in text
    assert "Promoted" not in text


def test_a_delay_of_fencing_is_told_per_node_where_pacemaker_knows_that() -> None:
    """2.1.5 logs an error at every fencing with a plain one; 2.0.5 of Debian 11 knows no other."""
    lab = example_lab()
    for suite, text in (("bullseye", "pcmk_delay_base=3s "), ("bookworm", 'pcmk_delay_base="brina:3s" ')):
        image = replace(lab.nodes[0].image, suite=suite)
        told = replace(lab, nodes=tuple(replace(node, image=image) for node in lab.nodes))
        assert rendered(told)["cluster/cib.crm"].decode().count("pcmk_delay_base") == 1
        assert text in rendered(told)["cluster/cib.crm"].decode()


def test_ubuntu_with_systemd_has_what_debian_has_but_for_network_and_resolver() -> None:
    lab = lab_of("two-node")
    image = ImageSource(file="/a", sha256="0" * 64, system="ubuntu-24.04")
    tree = rendered(replace(lab, nodes=tuple(replace(node, image=image) for node in lab.nodes)))
    debian = rendered(lab)
    prefix = "nodes/brina/files/"
    there, common = ({path for path in one if path.startswith(prefix)} for one in (tree, debian))
    assert common - there == {prefix + "etc/network/interfaces", prefix + "etc/resolv.conf"}
    assert there - common == {prefix + "usr/local/sbin/lab-packages"}
    assert tree["nodes/brina/network-config"] == debian["nodes/brina/network-config"]
    assert b"lab-packages && touch" in tree["nodes/brina/user-data"]
    assert tree["cluster/cib.crm"] == debian["cluster/cib.crm"]


def test_shell_words_of_both_inits() -> None:
    assert SYSTEMD.all_running("corosync", "pacemaker") == (
        "systemctl is-active -q corosync && systemctl is-active -q pacemaker"
    )
    assert SYSTEMD.started("corosync", "pacemaker") == "systemctl start corosync pacemaker"
    assert SYSTEMD.restart.format(name="o2cb") == "systemctl restart o2cb"
    assert UPSTART.restart.format(name="o2cb") == "service o2cb restart"
    assert UPSTART.started("corosync", "pacemaker") == (
        'for name in corosync pacemaker; do service "$name" start; done'
    )
    assert "pgrep -x 'corosyncd?'" in UPSTART.all_running("corosync", "pacemaker")
