"""corosync.conf, read by Corosync itself: Debian's package unpacked, ``corosync -t``, no daemon."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest
from cloud_init_trees import Apt

from lab.doors.process import Result, run
from tests.golden.example import example_lab, lab_of, rendered, unlike_lab

PATH = "nodes/brina/files/etc/corosync/corosync.conf"
TREES = {"two-node": rendered(example_lab()), "kvm": rendered(unlike_lab()), "study": rendered(lab_of("study"))}
#: corosync and what it is linked with that a host need not have.
PACKAGES = (
    *("corosync", "libcfg7", "libcmap4", "libcorosync-common4", "libcpg4", "libknet1", "libnozzle1", "libqb100"),
    *("libquorum5", "libsam4", "libstatgrab10", "libvotequorum8", "libnl-3-200", "libnl-route-3-200", "liblzo2-2"),
)


class Corosync:
    """An unpacked Corosync, and a folder for a configuration with its key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = Apt(folder / "apt").unpack(PACKAGES, folder / "tree")
        self.key = folder / "authkey"
        self.key.write_bytes(bytes(range(256)))

    def reads(self, text: str) -> Result:
        """``corosync -t`` on a configuration whose first node is this machine; key and state directory are there."""
        path = self.folder / "corosync.conf"
        text = text.replace("/etc/corosync/authkey", str(self.key)).replace("to_stderr: no", "to_stderr: yes")
        # It looks for itself in the node list, and for the address of each node.
        text = re.sub(r"ring0_addr: \S+\.1([12])\n", r"ring0_addr: 127.0.0.\1\n", text)
        text = text.replace("name: brina\n", f"name: {platform.node()}\n")
        path.write_text(f"{text}\nsystem {{\n    state_dir: {self.folder}\n}}\n")
        libraries = f"{self.tree}/usr/lib/x86_64-linux-gnu:{self.tree}/lib/x86_64-linux-gnu"
        argv = (str(self.tree / "usr/sbin/corosync"), "-t", "-c", str(path))
        return run(argv, timeout_s=60, env={"LD_LIBRARY_PATH": libraries}, check=False)


@pytest.fixture(scope="module")
def corosync(tmp_path_factory: pytest.TempPathFactory) -> Corosync:
    return Corosync(tmp_path_factory.mktemp("corosync"))


@pytest.mark.parametrize("name", TREES)
def test_it_takes_what_is_rendered(corosync: Corosync, name: str) -> None:
    result = corosync.reads(TREES[name][PATH].decode())
    assert result.ok, result.stdout + result.stderr


def test_it_refuses_the_studys_transport_with_the_studys_protection(corosync: Corosync) -> None:
    """Why nodes of the topology study talk in the clear."""
    text = TREES["study"][PATH].decode().replace("crypto_cipher: none\n    crypto_hash: none", "secauth: on")
    assert "secauth: on\n" in text
    result = corosync.reads(text)
    assert not result.ok
    assert "crypto_cipher & crypto_hash are only valid for the Knet transport" in result.stdout + result.stderr


def test_it_refuses_a_brace_that_does_not_end_its_line(corosync: Corosync) -> None:
    text = TREES["two-node"][PATH].decode().replace("totem {\n", "totem { version: 2\n", 1)
    assert not corosync.reads(text).ok
