"""The script of the tiny initrd, run by sh: options on the kernel's command line reach the modules that they name."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.core.initrd import INIT

LOADING = INIT[INIT.index("read -r words") : INIT.index("tries=0")]


def loaded(tmp_path: Path, command_line: str, order: list[str]) -> list[str]:
    """What insmod is called with, one line for each module; it refuses button."""
    (tmp_path / "cmdline").write_text(f"{command_line}\n")
    (tmp_path / "order").write_text("".join(f"{name}\n" for name in order))
    busybox = tmp_path / "busybox"
    busybox.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\ncase $2 in */button.ko) exit 1 ;; esac\n')
    busybox.chmod(0o755)
    script = LOADING
    stand_ins = {"/bin/busybox": busybox, "/proc/cmdline": tmp_path / "cmdline", "/modules/order": tmp_path / "order"}
    for path, stand_in in stand_ins.items():
        assert path in script
        script = script.replace(path, str(stand_in))
    run = subprocess.run(["sh", "-eu"], input=script, text=True, capture_output=True, check=True, cwd=tmp_path)
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_options_go_to_the_module_that_they_name(tmp_path: Path) -> None:
    words = "root=/dev/vda quiet virtio_net.napi_tx=0 net.ifnames=0 virtio_net.gso=1 virtio_net.flag ext4.x=a.b=c"
    assert loaded(tmp_path, words, ["virtio.ko", "virtio_net.ko", "ext4.ko"]) == [
        "insmod /modules/virtio.ko",
        "insmod /modules/virtio_net.ko napi_tx=0 gso=1",
        "insmod /modules/ext4.ko x=a.b=c",
    ]


def test_a_module_that_does_not_load_is_named_and_the_rest_still_loads(tmp_path: Path) -> None:
    assert loaded(tmp_path, "quiet", ["button.ko", "evdev.ko"]) == [
        "insmod /modules/button.ko",
        "initrd: module button.ko did not load",
        "insmod /modules/evdev.ko",
    ]
