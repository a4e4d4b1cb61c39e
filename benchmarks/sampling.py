"""What the benchmarks measure with: memory of QEMU processes, disk space, facts of the machine, and the report.

Everything that parses or computes is pure and tested in tests/unit/test_benchmarks.py; the rest reads /proc and files.
"""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PROC = Path("/proc")
QEMU = "qemu-system-x86_64"
#: proc_pid_smaps(5): ``smaps_rollup`` adds all mappings up; its figures are KiB, called kB.
_FIELD = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
_NAME_VALUE = re.compile(r"^(?:guest=)?([^,]+)")


@dataclass(frozen=True)
class Memory:
    """Memory of a set of processes at one moment.

    Args:
        processes: how many there were.
        rss_mib: sum of their resident sets, MiB; pages that several of them share count several times.
        pss_mib: sum of their proportional sets, MiB; a page that N processes share counts 1/N for each.
    """

    processes: int = 0
    rss_mib: float = 0.0
    pss_mib: float = 0.0

    def __or__(self, other: Memory) -> Memory:
        """The larger of each figure: the peak of both."""
        return Memory(
            max(self.processes, other.processes),
            max(self.rss_mib, other.rss_mib),
            max(self.pss_mib, other.pss_mib),
        )


@dataclass(frozen=True)
class Measurement:
    """One thing that was measured.

    Args:
        name: what, as it stands in the table.
        unit: ``s`` or ``MiB``.
        values: each run's value, in order.
        note: what a reader has to know about it.
        target: the value that the project wants to stay below; None for none.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    note: str = ""
    target: float | None = None

    @property
    def value(self) -> float:
        """The median of the runs."""
        return statistics.median(self.values)

    def as_document(self) -> dict[str, object]:
        """As it stands in the JSON file."""
        return {**asdict(self), "values": [round(value, 3) for value in self.values], "median": round(self.value, 3)}


# Memory


def parse_rollup(text: str) -> tuple[float, float]:
    """RSS and PSS in MiB from a process's ``smaps_rollup``; both 0 for one that has ended meanwhile."""
    fields = {name: int(number) for name, number in _FIELD.findall(text)}
    return fields.get("Rss", 0) / 1024, fields.get("Pss", 0) / 1024


def domain_of(words: Sequence[str]) -> str:
    """The libvirt domain that a command line belongs to; empty when it is not QEMU's.

    Args:
        words: the command line; libvirt writes ``-name guest=NAME,debug-threads=on``.
    """
    if not words or Path(words[0]).name != QEMU or "-name" not in words[:-1]:
        return ""
    match = _NAME_VALUE.match(words[words.index("-name") + 1])
    return match.group(1) if match else ""


def memory_of(domains: Iterable[str], proc: Path = PROC) -> Memory:
    """Memory of the QEMU processes of some domains, now.

    Args:
        domains: names of libvirt domains.
        proc: the proc file system, another folder in tests.
    """
    wanted, found = set(domains), []
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it has ended, or is not ours to look at
            words = (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            if domain_of(words) in wanted:
                found.append(parse_rollup((entry / "smaps_rollup").read_text()))
    return Memory(len(found), sum(rss for rss, _ in found), sum(pss for _, pss in found))


class PeakSampler:
    """Looks again and again while a block runs, and keeps the largest figures.

    Peaks between two looks are missed; the interval therefore belongs beside the result.

    Args:
        look: returns the figures of now.
        interval_s: pause between two looks, seconds.
    """

    def __init__(self, look: Callable[[], Memory], interval_s: float) -> None:
        self.peak = Memory()
        self.looks = 0
        self._look = look
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakSampler:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._once()

    def _watch(self) -> None:
        while True:
            self._once()
            if self._ended.wait(self._interval_s):
                return

    def _once(self) -> None:
        self.peak |= self._look()
        self.looks += 1


# Disk


def disk_mib(*folders: Path) -> float:
    """What is allocated below some folders, MiB, as ``du`` counts it: blocks, each file once whatever its links."""
    seen: set[tuple[int, int]] = set()
    blocks = 0
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            with contextlib.suppress(OSError):
                status = path.lstat()
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    blocks += status.st_blocks
    return blocks * 512 / 2**20


# Machine


def parse_cpu_model(cpuinfo: str) -> str:
    """Name of the processor from /proc/cpuinfo; empty when it tells none."""
    match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return match.group(1).strip() if match else ""


def parse_os_name(os_release: str) -> str:
    """Name of the system from os-release(5); empty when it tells none."""
    match = re.search(r'^PRETTY_NAME="?(.*?)"?$', os_release, re.MULTILINE)
    return match.group(1) if match else ""


def parse_total_memory_mib(meminfo: str) -> int:
    """MemTotal of /proc/meminfo, MiB; 0 when it tells none."""
    match = re.search(r"^MemTotal:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return int(match.group(1)) // 1024 if match else 0


def machine() -> dict[str, object]:
    """The facts of this machine without which no figure means anything."""
    kernel = os.uname()
    return {
        "cpu": parse_cpu_model((PROC / "cpuinfo").read_text()),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": parse_total_memory_mib((PROC / "meminfo").read_text()),
        "system": parse_os_name(Path("/etc/os-release").read_text()),
        "kernel": f"{kernel.release} {kernel.machine}",
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }


# Report


def ratio(part: Measurement | None, whole: Measurement | None) -> float | None:
    """How many times ``whole`` a ``part`` is; None when one of them was not measured."""
    return part.value / whole.value if part and whole and whole.value > 0 else None


#: As many runs as the table shows each by itself; all of them are in the JSON file.
SHOWN_RUNS = 10


def table(measurements: Sequence[Measurement]) -> str:
    """The measurements as text in columns; a value over its target is marked."""
    rows = [("what", "median", "runs", "target", "")]
    for one in measurements:
        runs = " ".join(f"{value:.1f}" for value in one.values) if len(one.values) > 1 else "1"
        if len(one.values) > SHOWN_RUNS:
            runs = f"{len(one.values)} from {min(one.values):.1f} to {max(one.values):.1f}"
        target = f"{one.target:g} {one.unit}" if one.target is not None else "-"
        over = "OVER; " if one.target is not None and one.value > one.target else ""
        rows.append((one.name, f"{one.value:.1f} {one.unit}", runs, target, over + one.note))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(
            (row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2]), row[3].rjust(widths[3]), row[4])
        ).rstrip()
        for row in rows
    )


def heading(facts: Mapping[str, object]) -> str:
    """The machine in one paragraph."""
    return "\n".join(f"{key + ':':<13} {value}" for key, value in facts.items())
