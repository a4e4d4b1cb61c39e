"""What the benchmark of resets computes: figures, processes, and what is left behind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import resets
from benchmarks.resets import (
    Figures,
    growth,
    kind_of,
    left_behind,
    memory_mib,
    parse_arguments,
    processes_of,
    served_s,
)
from lab.core.errors import LabError
from lab.doors.process import Result


def figures() -> Figures:
    return Figures(
        resets_s=[12.0, 11.0, 19.0],
        served_s=[9.0, 8.0, 13.0],
        loaded_s=[4.0, 4.0, 5.0],
        bare_s=[3.0, 3.0],
        paused_s=[2.0],
        disk_mib=[1000.0, 1010.0, 1024.5],
        memory_mib=[5000.0, 5200.0, 5100.0],
    )


def test_median_extremes_and_the_ratio_to_the_bare_revert() -> None:
    document = figures().document()
    assert document["reset_in_bare_reverts"] == 3.0
    assert document["disk_growth_mib"] == 24.5
    text = figures().text()
    assert "Served: median 9.0 s, from 8.0 to 13.0 s." in text
    assert "That is 3.0 times as long as the bare revert." in text
    assert "The disks grew by 24.5 MiB over 2 resets." in text
    assert "The lab's processes grew by 100.0 MiB (median of the second half against the first)." in text
    assert "after a drill" not in text


def test_growth_is_told_from_halves_not_from_two_moments() -> None:
    assert growth([5.0, 1.0, 5.0, 9.0, 5.0, 6.0]) == 1.0
    assert growth([5.0, 1.0, 9.0]) == 4.0
    assert (growth([]), growth([7.0])) == (0.0, 0.0)


def test_nothing_measured_says_so() -> None:
    empty = Figures(failures=["interrupted"], left_behind=["1 x ssh build/mine/ssh-a"])
    assert empty.document()["reset_in_bare_reverts"] is None
    assert empty.text() == "nothing was measured\nLEFT BEHIND: 1 x ssh build/mine/ssh-a\nFAILED: interrupted"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["/usr/bin/qemu-system-x86_64", "-name", "guest=mine-brina,debug"], "qemu-system-x86_64 guest=mine-brina"),
        (["ssh: build/mine/ssh-brina [mux]"], "ssh build/mine/ssh-brina"),
        (["/usr/sbin/fence_virtd", "-f", "/r/build/mine/fence_virt.conf"], "fence_virtd build/mine/fence_virt.conf"),
        (["/usr/bin/qemu-system-x86_64", "-name", "guest=mine2-brina"], ""),
        (["sleep", "9"], ""),
        ([], ""),
    ],
)
def test_processes_of_a_lab_are_told(words: list[str], kind: str) -> None:
    assert kind_of(words, "mine") == kind


def test_processes_are_found_and_counted(tmp_path: Path) -> None:
    for number in ("7", "8", "meminfo"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "cmdline").write_bytes(b"ssh: build/mine/ssh-brina [mux]\0")
    # 8 has ended in between, or is not ours to look at.
    (tmp_path / "7" / "smaps_rollup").write_text("Rss: 4096 kB\nPss:       2048 kB\n")
    plan = parse_arguments(["--name", "mine", "-t", "smoke"])
    assert processes_of(plan, tmp_path) == {"ssh build/mine/ssh-brina": 2}
    assert memory_mib(plan, tmp_path) == 2.0
    before, after = Counter({"a": 1, "b": 2}), Counter({"a": 3, "c": 1})
    assert left_behind(before, after) == ["1 x c", "2 x a"]


def test_what_cannot_be_meant_is_refused() -> None:
    for words in ([], ["--name", "x", "--count", "0"]):
        with pytest.raises(SystemExit):
            parse_arguments(words)
    with pytest.raises(LabError):
        parse_arguments(["--name", "x", "-t", "no-such"])
    plan = parse_arguments(["--name", "x", "--count", "50", "--drill", "guest-crash"])
    assert (plan.count, plan.drill, plan.output.name) == (50, "guest-crash", "resets-x.json")
    assert resets.SAVES > 0


def test_a_reset_is_timed_with_its_process_and_without_the_wait_for_health() -> None:
    told = Result(("inv",), 0, '{"duration_s": 12.0, "served_s": 5.5}', "", 13.0)
    assert served_s(told) == 6.5
