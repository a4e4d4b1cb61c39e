"""What mount(8) calls to mount OCFS2: run for real, with stand-ins for the kernel's files and the program behind it."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "lab" / "recipes" / "node" / "rootfs" / "usr/local/lib/lab/mount.ocfs2"
BOTH = "Primary/Primary"
BLOCK_BYTES, START_BLOCK = 512, 8
#: Node 1 is the one that mounts, node 0 is beside it.
WORDS = ("/dev/drbd0", "/mnt", "-o", "rw,noatime")
MOUNTED = f"mount {' '.join(WORDS)}"


@dataclass(frozen=True)
class Node:
    """Stand-ins below one directory: what the kernel shows, and the programs that are called."""

    root: Path

    def roles(self, roles: str) -> None:
        (self.root / "drbd").write_text(f"version: 8.4\n 0: cs:Connected ro:{roles} ds:UpToDate/UpToDate C r-----\n")

    def heartbeat(self, generation: int) -> None:
        """The other node's last heartbeat on the storage (struct o2hb_disk_heartbeat_block)."""
        device = bytearray(BLOCK_BYTES * 64)
        struct.pack_into("<QB3xLQ", device, START_BLOCK * BLOCK_BYTES, 77, 0, 0, generation)
        (self.root / "drbd0").write_bytes(device)

    def alive(self, numbers: str) -> None:
        (self.root / "livenodes").write_text(f"{numbers} \n")

    def mount(self, *words: str) -> tuple[int, list[str]]:
        """Call it; its exit code, and the programs that it called in their order."""
        environment = {
            "PATH": f"{self.root}/bin:/usr/bin:/bin",
            "CALLS": str(self.root / "calls"),
            "LIVE": str(self.root / "livenodes"),
            "LAB_MOUNT_OCFS2": str(self.root / "bin" / "mount"),
            "LAB_PROC_DRBD": str(self.root / "drbd"),
            "LAB_O2CB": str(self.root / "cluster"),
            "LAB_LIVE_NODES": str(self.root / "livenodes"),
            "LAB_DEVICES": str(self.root),
        }
        result = subprocess.run([SCRIPT, *words], env=environment, check=False, timeout=60)
        return result.returncode, (self.root / "calls").read_text().splitlines()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    cluster = tmp_path / "cluster" / "c"
    for name, number, local in (("brina", "0", "0"), ("piova", "1", "1")):
        folder = cluster / "node" / name
        folder.mkdir(parents=True)
        (folder / "num").write_text(f"{number}\n")
        (folder / "local").write_text(f"{local}\n")
    region = cluster / "heartbeat" / "REGION"
    region.mkdir(parents=True)
    for key, text in (("dev", "drbd0"), ("block_bytes", str(BLOCK_BYTES)), ("start_block", str(START_BLOCK))):
        (region / key).write_text(f"{text}\n")
    (cluster / "heartbeat" / "dead_threshold").write_text("2\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    # The third pause is when the other node is seen.
    texts = {
        "mount": 'echo "mount $*" >> "$CALLS"; exit 3',
        "ocfs2_hb_ctl": 'echo "heartbeat $*" >> "$CALLS"',
        "logger": 'echo "log $*" >> "$CALLS"',
        "sleep": 'echo pause >> "$CALLS"; /bin/sleep 0.1; [ $(grep -c pause "$CALLS") -lt 3 ] || echo "0 1" > "$LIVE"',
    }
    for name, text in texts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    made = Node(tmp_path)
    made.roles(BOTH)
    made.heartbeat(0x1234)
    made.alive("1")
    return made


def test_a_node_that_has_not_been_seen_is_waited_for(node: Node) -> None:
    returncode, calls = node.mount(*WORDS)
    assert returncode == 3, "that of the program behind it"
    held = ["heartbeat -S -d /dev/drbd0 ocfs2", "pause", "pause", "pause"]
    assert calls == [*held, MOUNTED, "heartbeat -K -d /dev/drbd0 ocfs2"]


def test_a_node_that_is_alive_is_not_waited_for(node: Node) -> None:
    node.alive("0 1")
    assert "pause" not in node.mount(*WORDS)[1]


def test_a_node_that_left_in_order_is_not_waited_for(node: Node) -> None:
    node.heartbeat(0)
    returncode, calls = node.mount(*WORDS)
    assert (returncode, calls[1]) == (3, MOUNTED)


def test_a_node_that_writes_no_heartbeats_is_mounted_beside_in_the_end(node: Node) -> None:
    (node.root / "bin" / "sleep").write_text('#!/bin/sh\necho pause >> "$CALLS"; exec /bin/sleep 0.5\n')
    _, calls = node.mount(*WORDS)
    said = [line for line in calls if line.startswith("log ")]
    assert said[0] == "log -t lab-mount-ocfs2 no heartbeat of brina for 4 s, so it has not mounted /dev/drbd0"
    assert calls[-2:] == [MOUNTED, "heartbeat -K -d /dev/drbd0 ocfs2"]


def test_a_node_that_goes_away_meanwhile_is_not_waited_for(node: Node) -> None:
    gone = f'#!/bin/sh\necho pause >> "$CALLS"; sed -i s,{BOTH},Primary/Unknown, {node.root}/drbd\n'
    (node.root / "bin" / "sleep").write_text(gone)
    _, calls = node.mount(*WORDS)
    assert calls.count("pause") == 1
    assert MOUNTED in calls


@pytest.mark.parametrize("roles", ["Primary/Secondary", "Primary/Unknown"])
def test_where_the_other_node_cannot_have_it_mounted_nothing_is_in_between(node: Node, roles: str) -> None:
    node.roles(roles)
    assert node.mount(*WORDS) == (3, [MOUNTED])


def test_another_device_is_left_alone(node: Node) -> None:
    assert node.mount("/dev/null", "/mnt") == (3, ["mount /dev/null /mnt"])


def test_heartbeats_that_cannot_begin_are_left_to_the_program_behind_it(node: Node) -> None:
    (node.root / "bin" / "ocfs2_hb_ctl").write_text("#!/bin/sh\nexit 1\n")
    assert node.mount(*WORDS) == (3, [MOUNTED])
