"""DRBD's handler as rendered, with programs of ours in the places of Pacemaker's: who is fenced, and who is told."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lab.doors.clock import Deadline, wait_until
from tests.golden.example import example_lab, rendered

PATH = "nodes/brina/files/usr/local/sbin/lab-fence-peer"
SUSPENDED = " 0: cs:WFConnection ro:Primary/Unknown ds:{}/DUnknown C s-----\n"


class Handler:
    """The handler with a state of DRBD, a fencer and a listener that are files below a folder."""

    def __init__(self, folder: Path, *, tells_ocfs2: bool = True) -> None:
        lab = example_lab()
        text = rendered(replace(lab, fencing=replace(lab.fencing, tells_ocfs2=tells_ocfs2)))[PATH].decode()
        self.folder = folder
        self.state, self.heard = folder / "drbd", folder / "heard"
        text = text.replace("/proc/drbd", str(self.state))
        text = text.replace("/usr/local/sbin/lab-ocfs2-node-down", str(folder / "node-down"))
        text = text.replace("limit_s=", "limit_s=1 # ", 1)
        self.program("handler", text)
        self.program("stonith_admin", "#!/bin/sh\nexit 0\n")
        self.program("logger", "#!/bin/sh\nexit 0\n")
        # What was heard gets its name when all is heard.
        self.program(
            "node-down", f'#!/bin/sh\n{{ echo "$1:"; cat; }} >{self.heard}.new\nmv {self.heard}.new {self.heard}\n'
        )
        self.state.write_text(SUSPENDED.format("UpToDate"))

    def program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def run(self) -> int:
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "DRBD_PEERS": "piova"}
        return subprocess.run([str(self.folder / "handler")], env=environment, timeout=30, check=False).returncode

    def listened(self) -> str:
        """What the listener had read when its input ended."""
        wait_until(self.heard.exists, what="the listener to end", deadline=Deadline.after(10), interval_s=0.05)
        return self.heard.read_text()


def test_who_was_fenced_is_told_to_ocfs2(tmp_path: Path) -> None:
    handler = Handler(tmp_path)
    assert handler.run() == 7
    assert handler.listened() == "piova:\nfenced\n"


def test_nobody_hears_of_a_fencing_that_failed(tmp_path: Path) -> None:
    handler = Handler(tmp_path)
    handler.program("stonith_admin", "#!/bin/sh\nexit 1\n")
    assert handler.run() == 1
    assert handler.listened() == "piova:\n"


def test_a_node_with_old_data_fences_nobody(tmp_path: Path) -> None:
    handler = Handler(tmp_path)
    handler.state.write_text(SUSPENDED.format("Outdated"))
    handler.program("stonith_admin", f"#!/bin/sh\ntouch {tmp_path}/fenced\n")
    assert handler.run() == 1
    assert handler.listened() == "piova:\n"
    assert not (tmp_path / "fenced").exists()


@pytest.mark.parametrize("listener", [None, "#!/bin/sh\nexit 1\n"], ids=["missing", "gone"])
def test_writing_goes_on_when_nobody_listens(tmp_path: Path, listener: str | None) -> None:
    """DRBD stands still until the handler returns 7; OCFS2 finds out by itself."""
    handler = Handler(tmp_path)
    if listener is None:
        (tmp_path / "node-down").unlink()
    else:
        handler.program("node-down", listener)
    handler.program("stonith_admin", "#!/bin/sh\nsleep 0.5\n")
    assert handler.run() == 7


def test_without_the_setting_nobody_is_told(tmp_path: Path) -> None:
    handler = Handler(tmp_path, tells_ocfs2=False)
    assert handler.run() == 7
    assert not handler.heard.exists()
