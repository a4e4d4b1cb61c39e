"""The parts of the benchmarks that compute: what they read out of /proc, what they add up, what they refuse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import sampling, whole_lab
from benchmarks.legs import longest_loss_s
from benchmarks.sampling import Measurement, Memory, PeakSampler

#: As /proc/PID/smaps_rollup of a node's QEMU showed it.
ROLLUP = """\
56502e20f000-7ffe70efa000 ---p 00000000 00:00 0                          [rollup]
Rss:             1893032 kB
Pss:             1874514 kB
Pss_Dirty:       1860512 kB
Pss_Anon:        1860512 kB
Shared_Clean:      32152 kB
Swap:                  0 kB
"""


class StubHypervisor:
    def __init__(self, networks: tuple[str, ...] = (), pools: tuple[str, ...] = ()) -> None:
        self.networks, self.pools = networks, pools

    def owned_domains(self, _lab: str) -> list[object]:
        return []

    def has_network(self, name: str) -> bool:
        return name in self.networks

    def has_pool(self, name: str) -> bool:
        return name in self.pools


def process(proc: Path, number: int, words: list[str], rollup: str = ROLLUP) -> None:
    folder = proc / str(number)
    folder.mkdir()
    (folder / "cmdline").write_bytes("\0".join([*words, ""]).encode())
    (folder / "smaps_rollup").write_text(rollup)


def qemu(name: str) -> list[str]:
    return ["/usr/bin/qemu-system-x86_64", "-name", f"guest={name},debug-threads=on", "-S"]


def test_rollup_is_read_in_mib() -> None:
    assert sampling.parse_rollup(ROLLUP) == (1893032 / 1024, 1874514 / 1024)
    assert sampling.parse_rollup("") == (0, 0)


@pytest.mark.parametrize(
    ("words", "domain"),
    [
        (qemu("bench-brina"), "bench-brina"),
        (["/usr/bin/qemu-system-x86_64", "-name", "bench-brina"], "bench-brina"),
        (["/usr/bin/qemu-system-x86_64", "-name"], ""),
        (["/usr/bin/qemu-system-x86_64", "-accel", "kvm"], ""),
        (["grep", "-name", "guest=bench-brina"], ""),
        ([""], ""),
        ([], ""),
    ],
)
def test_the_domain_of_a_command_line(words: list[str], domain: str) -> None:
    assert sampling.domain_of(words) == domain


def test_only_the_nodes_of_the_lab_are_counted(tmp_path: Path) -> None:
    process(tmp_path, 10, qemu("bench-brina"))
    process(tmp_path, 11, qemu("bench-piova"))
    process(tmp_path, 12, qemu("bench0-brina"))
    process(tmp_path, 13, ["bash"])
    (tmp_path / "14").mkdir()  # has ended between two looks
    (tmp_path / "self").mkdir()
    seen = sampling.memory_of(["bench-brina", "bench-piova"], tmp_path)
    assert seen == Memory(2, 2 * 1893032 / 1024, 2 * 1874514 / 1024)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1))
def test_the_peak_is_the_largest_of_each(figures: list[tuple[int, float, float]]) -> None:
    peak = Memory()
    for one in figures:
        peak |= Memory(*one)
    assert peak == Memory(*(max(column) for column in zip(*figures, strict=True)))


def test_the_sampler_looks_until_the_block_ends() -> None:
    figures = iter([Memory(1, 10, 5), Memory(2, 30, 25)])
    last = Memory(2, 20, 20)
    with PeakSampler(lambda: next(figures, last), 0.001) as sampler:
        pass
    assert sampler.looks >= 2  # one at the beginning, one at the end
    assert sampler.peak == Memory(2, 30, 25)


def test_disk_space_counts_blocks_and_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"x" * 2**20)
    os.link(tmp_path / "full", tmp_path / "again")
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(2**30)
    (tmp_path / "dangling").symlink_to("nowhere")
    assert 1 <= sampling.disk_mib(tmp_path) < 2
    assert sampling.disk_mib(tmp_path, tmp_path) == sampling.disk_mib(tmp_path)
    assert sampling.disk_mib(tmp_path / "missing") == 0


def test_facts_of_the_machine() -> None:
    assert (
        sampling.parse_cpu_model("processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nflags\t: a\n") == "Some CPU @ 2.0GHz"
    )
    assert sampling.parse_cpu_model("") == ""
    assert sampling.parse_os_name('NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n').endswith("(bookworm)")
    assert sampling.parse_os_name("PRETTY_NAME=Plain\n") == "Plain"
    assert sampling.parse_total_memory_mib("MemTotal:       24683520 kB\nMemFree: 1 kB\n") == 24105


def test_the_table_marks_what_is_over_its_target() -> None:
    lines = sampling.table(
        [Measurement("quick", "s", (1.0, 3.0, 2.0), target=2.0), Measurement("slow", "s", (5.0,), "why", target=4.0)]
    ).splitlines()
    assert lines[1].split() == ["quick", "2.0", "s", "1.0", "3.0", "2.0", "2", "s"]
    assert lines[2].endswith("OVER; why")
    (_, many) = sampling.table([Measurement("soak", "s", tuple(float(number) for number in range(1, 51)))]).splitlines()
    assert many.split() == ["soak", "25.5", "s", "50", "from", "1.0", "to", "50.0", "-"]


def test_the_report_gives_lab_up_as_a_multiple_of_the_bare_boot() -> None:
    report = whole_lab.Report()
    report.add("up", "lab.up", [300.0])
    assert report.document()["up_in_bare_boots"] is None
    report.add("bare", "bare boot", [60.0])
    report.failures.append("something")
    assert report.document()["up_in_bare_boots"] == 5.0
    assert report.document()["failures"] == ["something"]
    assert "5.00 times" in report.text()
    assert "FAILED: something" in report.text()


def test_arguments() -> None:
    plan = whole_lab.parse_arguments(["--name", "bench", "--bake", "--repeat", "2"])
    assert (plan.name, plan.bare_name, plan.bake, plan.repeat) == ("bench", "bench0", True, 2)
    assert plan.topology.name == "two-node.yaml"
    assert plan.output.name == "benchmark-bench.json"
    assert plan.options("bench0").name == "bench0"
    assert "empty cache" in whole_lab.steps_of(plan)[0]
    assert "empty cache" not in whole_lab.steps_of(whole_lab.parse_arguments([]))[0]


@pytest.mark.parametrize(
    "words",
    [["--name", "Bench"], ["--name", "tencharsab"], ["--name", "../x"], ["--repeat", "0"], ["--interval", "0"]],
    ids=["capital", "no room for the 0", "path", "repeat", "interval"],
)
def test_arguments_that_cannot_be_meant(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        whole_lab.parse_arguments(words)
    assert error.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_a_lab_that_exists_is_seen() -> None:
    plan = whole_lab.parse_arguments(["--name", "nosuchlab"])
    nothing: Any = StubHypervisor()
    assert whole_lab.leftovers(plan, nothing) == []
    there: Any = StubHypervisor(networks=("nosuchlab-service", "other-service"), pools=("nosuchlab0", "other"))
    assert whole_lab.leftovers(plan, there) == ["network nosuchlab-service", "pool nosuchlab0"]


def echoes(*answered: int) -> str:
    """What ping(8) prints with ``-n`` when these echoes are answered."""
    lines = [f"64 bytes from 10.0.0.11: icmp_seq={number} ttl=64 time=0.931 ms" for number in answered]
    return "\n".join(["PING 10.0.0.11 (10.0.0.11) 56(84) bytes of data.", *lines, "", "--- statistics ---"])


@pytest.mark.parametrize(
    ("answered", "lost"),
    [((1, 2, 3, 4, 5), 0.0), ((1, 3, 5), 0.05), ((2, 5), 0.1), ((1, 2), 0.15), ((), 0.25), ((5, 1, 2), 0.1)],
)
def test_the_longest_row_of_echoes_without_an_answer(answered: tuple[int, ...], lost: float) -> None:
    assert longest_loss_s(echoes(*answered), 5, 0.05) == pytest.approx(lost)
