"""What dnsperf 2.10 prints at its end (dnsperf(1), "Statistics")."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lab.core.errors import LabError

_CODE = re.compile(r"([A-Z][A-Z0-9]*|\d+) (\d+) \(")
_LATENCY = re.compile(r"Average Latency \(s\):\s+([\d.]+) \(min ([\d.]+), max ([\d.]+)\)")


@dataclass(frozen=True)
class DnsperfStatistics:
    """One run of dnsperf.

    Args:
        sent, completed, lost: numbers of queries; lost ones got no answer in time.
        codes: per response code, such as ``NOERROR``, how many answers had it.
        run_s: seconds from the first query to the last answer or time-out.
        latency_ms: ``mean``, ``min``, ``max``; empty when nothing was answered.
        interrupted: queries that were open when dnsperf was interrupted; nobody knows what would have come of them.
    """

    sent: int
    completed: int
    lost: int
    codes: dict[str, int] = field(default_factory=dict)
    run_s: float = 0.0
    latency_ms: dict[str, float] = field(default_factory=dict)
    interrupted: int = 0


def parse_dnsperf(text: str) -> DnsperfStatistics:
    """Read the statistics.

    Args:
        text: standard output of dnsperf; what is before the statistics does not matter.

    Raises:
        LabError: there are no statistics, or a figure is missing.
    """
    statistics = text.rpartition("\nStatistics:")[2] if "\nStatistics:" in text else ""

    def number(name: str) -> str:
        found = re.search(rf"^\s*{re.escape(name)}:\s+(\d+(?:\.\d+)?)(?:\s|$)", statistics, re.MULTILINE)
        if found is None:
            raise LabError(f"dnsperf's statistics cannot be read: no figure for {name}")
        return found[1]

    def count(name: str) -> int:
        value = number(name)
        if "." in value:
            raise LabError(f"dnsperf's statistics cannot be read: {name} is {value}")
        return int(value)

    sent, completed, lost = count("Queries sent"), count("Queries completed"), count("Queries lost")
    interrupted = count("Queries interrupted") if "Queries interrupted:" in statistics else 0
    run_s = float(number("Run time (s)"))
    codes_line = re.search(r"^\s*Response codes:(.*)$", statistics, re.MULTILINE)
    codes = {name: int(times) for name, times in _CODE.findall(codes_line[1])} if codes_line else {}
    latency = _LATENCY.search(statistics)
    if latency is None:
        raise LabError("dnsperf's statistics cannot be read: no figure for Average Latency (s)")
    names = ("mean", "min", "max")
    latency_ms = dict(zip(names, (float(value) * 1000 for value in latency.groups()), strict=True))
    return DnsperfStatistics(sent, completed, lost, codes, run_s, latency_ms if completed else {}, interrupted)
