"""Run on a node as root: nothing but DRBD and interrupts gets the processor, but for a moment every so often.

O2CB's heartbeats come that far apart then, while the storage goes on answering the other node. A machine that shares
its processors with too many others does the same to a node.

    late_heartbeats.py SECONDS_BETWEEN SECONDS_IN_ALL
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

#: What DRBD needs to answer: its own threads, the kernel's workers that send its acknowledgements, the network.
GO_ON = ("drbd_", "kworker", "ksoftirqd", "o2net", "rcu")
#: A process of this kind may otherwise use 95 % of a processor (sched(7)).
LIMIT = Path("/proc/sys/kernel/sched_rt_runtime_us")
MOMENT_S = 0.1


def threads() -> list[int]:
    """Threads of the kernel that go on, of those that take turns with all others now."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name = (entry / "comm").read_text().strip()
            if name.startswith(GO_ON) and os.sched_getscheduler(int(entry.name)) == os.SCHED_OTHER:
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return found


def before_others(pid: int, priority: int) -> None:
    """Let a thread run before all of a lower priority; 0 gives it back to the common ones."""
    policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
    try:
        os.sched_setscheduler(pid, policy, os.sched_param(priority))
    except OSError:
        return  # it has ended, or may not be changed


def main(busy_s: float, total_s: float) -> None:
    """Keep the processor for ``busy_s`` at a time, for ``total_s`` in all."""
    limit = LIMIT.read_text()
    going_on = threads()
    try:
        LIMIT.write_text("-1")
        for pid in going_on:
            before_others(pid, 50)
        before_others(0, 10)
        end_s = time.monotonic() + total_s
        while time.monotonic() < end_s:
            pause_s = time.monotonic() + busy_s
            while time.monotonic() < pause_s:
                pass
            time.sleep(MOMENT_S)
    finally:
        for pid in going_on:
            before_others(pid, 0)
        LIMIT.write_text(limit)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
