"""The rendered ssh_config and known_hosts, read by OpenSSH itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core import addressing
from lab.doors.process import run
from tests.golden.example import ROOT, at_subnets, example_lab, rendered, switch_lab

LAB = example_lab()
HOSTS = {
    **{node.name: (addressing.node_management_ip(LAB, node), addressing.management_gateway(LAB)) for node in LAB.nodes},
    **{guest.domain: (addressing.guest_ip(LAB, guest), addressing.service_gateway(LAB)) for guest in LAB.guests},
    **{guest.name: (addressing.guest_ip(LAB, guest), addressing.service_gateway(LAB)) for guest in LAB.guests},
}
#: A Unix socket's path has 108 bytes, and ssh adds a suffix of up to 17 while it makes the socket.
LONGEST_CONTROL_PATH = 108 - 18


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_is_reached_from_the_labs_own_address(host: str, tmp_path: Path) -> None:
    (tmp_path / "ssh_config").write_bytes(rendered(LAB)["ssh_config"])
    output = run(["ssh", "-G", "-F", str(tmp_path / "ssh_config"), host], timeout_s=20).stdout
    said = dict(line.split(" ", 1) for line in output.splitlines())
    address, gateway = HOSTS[host]
    assert said["hostname"] == str(address)
    assert said["bindaddress"] == str(gateway)
    assert said["user"] == "root"
    assert said["stricthostkeychecking"] == "true"
    assert said["identityfile"] == f"build/{LAB.name}/secrets/login_key"
    assert said["userknownhostsfile"] == f"build/{LAB.name}/known_hosts"
    assert said["identitiesonly"] == "yes"
    assert said["controlmaster"] == "auto"
    assert said["controlpersist"] == "60"


def test_a_guest_in_a_vlan_is_reached_from_the_hosts_address_there(tmp_path: Path) -> None:
    lab = switch_lab()
    (tmp_path / "ssh_config").write_bytes(rendered(lab)["ssh_config"])
    output = run(["ssh", "-G", "-F", str(tmp_path / "ssh_config"), "SimplesIP"], timeout_s=20).stdout
    said = dict(line.split(" ", 1) for line in output.splitlines())
    (vlan,) = lab.network.vlans
    assert (said["hostname"], said["bindaddress"]) == (str(vlan.subnet[22]), str(vlan.subnet[1]))


def test_no_control_path_is_too_long() -> None:
    """With the longest name of a lab, and however long the path of the checkout is: the path is relative to it."""
    text = rendered(at_subnets(LAB, "abcdefghij"))["ssh_config"].decode()
    path = next(line.split()[1] for line in text.splitlines() if line.strip().startswith("ControlPath"))
    assert not path.startswith("/")
    assert max(len(path.replace("%n", host)) for host in HOSTS) < LONGEST_CONTROL_PATH


def test_every_host_has_a_known_key(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_bytes(rendered(LAB)["known_hosts"])
    for address, _ in HOSTS.values():
        assert run(["ssh-keygen", "-F", str(address), "-f", str(known)], timeout_s=20, cwd=ROOT).stdout
