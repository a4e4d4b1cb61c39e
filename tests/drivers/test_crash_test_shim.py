"""What stands between crmsh's crash test and Corosync's tool on a node, run by the shells of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.core.proof.crash_test import SHIM, SHIM_NAME
from lab.doors.process import run

TOOL = f"/usr/sbin/{SHIM_NAME}"


@pytest.mark.parametrize("shell", [shell for shell in ("dash", "bash") if shutil.which(shell)])
@pytest.mark.parametrize(
    ("asked", "passed_on"),
    [
        # The question of crmsh 4.4.1, in the words of Corosync 2.
        (("-b", "runtime.totem.pg.mrp.srp.members"), "<-b> <runtime.members>"),
        (("runtime.totem.pg.mrp.srp.members", "-b"), "<runtime.members> <-b>"),
        (("-g", "totem.two words"), "<-g> <totem.two words>"),
        ((), "<>"),
    ],
)
def test_one_question_is_translated_and_all_others_pass(
    shell: str, asked: tuple[str, ...], passed_on: str, tmp_path: Path
) -> None:
    assert SHIM.count(TOOL) == 1
    tool, shim = tmp_path / "tool", tmp_path / "shim"
    tool.write_text("#!/bin/sh\nprintf '<%s> ' \"$@\"\n", encoding="utf-8")
    tool.chmod(0o755)
    shim.write_text(SHIM.replace(TOOL, str(tool)), encoding="utf-8")
    assert run([shell, str(shim), *asked], timeout_s=20).stdout.strip() == passed_on
