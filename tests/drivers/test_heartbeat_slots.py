"""The program that ends a fenced node's heartbeats, on a file laid out as a device of DRBD with O2CB's region is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.unit.node_programs import node_down
from tests.unit.test_ocfs2_node_down import ALONE, SIZE, heartbeat

START_BLOCK = 35


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two nodes, the second has number 1; what O2CB shows below /sys/kernel/config is as Linux 6.1 writes it."""
    cluster = tmp_path / "config/cluster/clusterocfs"
    for name, number in (("brina", 0), ("piova", 1)):
        (cluster / "node" / name).mkdir(parents=True)
        (cluster / "node" / name / "num").write_text(f"{number}\n")
    region = cluster / "heartbeat/2A1F5C7A0C8D4E6B9F00112233445566"
    region.mkdir(parents=True)
    (cluster / "heartbeat/dead_threshold").write_text("12\n")
    for key, value in (
        ("dev", "drbd0"),
        ("start_block", f"{START_BLOCK}"),
        ("block_bytes", f"{SIZE}"),
        ("blocks", "255"),
    ):
        (region / key).write_text(value + "\n")
    state = tmp_path / "drbd"
    state.write_text(ALONE.format("r-----"))
    device = tmp_path / "dev/drbd0"
    device.parent.mkdir()
    device.write_bytes(bytes(START_BLOCK * SIZE) + heartbeat(0) + heartbeat(1) + bytes(4096 * 8))
    monkeypatch.setattr("sys.stdin", io.StringIO("fenced\nfenced\n"))
    monkeypatch.setattr(node_down, "CLUSTERS", cluster.parent)
    monkeypatch.setattr(node_down, "DRBD_STATE", state)
    monkeypatch.setattr(node_down, "DEVICES", device.parent)
    return device


def test_the_fenced_node_s_slot_is_written_and_nothing_else(device: Path) -> None:
    before = device.read_bytes()
    assert node_down.main(["piova"]) == 0
    after = device.read_bytes()
    begin = (START_BLOCK + 1) * SIZE
    assert after[begin : begin + SIZE] == heartbeat(1, generation=0)
    assert after[:begin] + after[begin + SIZE :] == before[:begin] + before[begin + SIZE :]


def test_said_twice_it_is_written_once(device: Path) -> None:
    assert node_down.main(["piova"]) == 0
    once = device.read_bytes()
    assert node_down.main(["piova"]) == 0
    assert device.read_bytes() == once


@pytest.mark.parametrize(
    "state",
    [
        "",
        " 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n",
        " 0: cs:WFConnection ro:Secondary/Unknown ds:UpToDate/DUnknown C r-----\n",
        ALONE.format("s-----"),
    ],
)
def test_in_doubt_nothing_is_written(device: Path, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_down, "LIMIT_S", 0.2)
    node_down.DRBD_STATE.write_text(state)
    before = device.read_bytes()
    assert node_down.main(["piova"]) == 1
    assert device.read_bytes() == before


def test_a_slot_beyond_the_device_is_a_doubt(device: Path) -> None:
    device.write_bytes(device.read_bytes()[: (START_BLOCK + 1) * SIZE])
    assert node_down.main(["piova"]) == 1


def test_a_node_that_o2cb_does_not_know_has_no_slot(device: Path) -> None:
    before = device.read_bytes()
    assert node_down.main(["stranger"]) == 0
    assert device.read_bytes() == before


def test_it_waits_for_drbd_to_go_on(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DRBD stands still until the handler that started the program has returned."""
    node_down.DRBD_STATE.write_text(ALONE.format("s-----"))
    pauses: list[float] = []

    def pause(duration_s: float) -> None:
        pauses.append(duration_s)
        if len(pauses) == 3:
            node_down.DRBD_STATE.write_text(ALONE.format("r-----"))

    monkeypatch.setattr(node_down.time, "sleep", pause)
    assert node_down.main(["piova"]) == 0
    assert len(pauses) == 3
    assert heartbeat(1, generation=0) in device.read_bytes()


@pytest.mark.parametrize("heard", ["", "\n", "not fenced\n"])
def test_without_the_word_nothing_is_written(device: Path, heard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler ends without it when the peer could not be fenced, or was killed."""
    monkeypatch.setattr("sys.stdin", io.StringIO(heard))
    before = device.read_bytes()
    assert node_down.main(["piova"]) == 0
    assert device.read_bytes() == before


def test_what_stands_still_again_is_not_written_some_time(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([True, False])
    monkeypatch.setattr(node_down, "may_write", lambda _state, _minor: next(looks))
    before = device.read_bytes()
    assert node_down.main(["piova"]) == 1
    assert device.read_bytes() == before
