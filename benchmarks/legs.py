"""Measure what a pulled cable costs: each leg of each node's bond in turn, echoes to nodes and guests meanwhile.

Run by hand, as root, on a machine that does nothing else, with a lab that `lab.up` has left healthy:

    .venv/bin/python benchmarks/legs.py -t switch

A cable is pulled at both of its ends, as `lab.fault leg-down` does it, and plugged in again before the next one. From
before the pull until half a minute after it every node and every guest is asked fifty times a second (ping(8)); what
is told is the longest row of echoes without an answer. That the bond misses just this leg meanwhile is asked of the
node. The lab is healed at the end, also after an interruption.

Result: a table on standard output, and a JSON file. Exit code: 0 all measured and below what the project wants, 1
otherwise, 2 refused.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import sampling  # noqa: E402
from benchmarks.sampling import Measurement  # noqa: E402
from lab.core.addressing import domain_name, guest_ip, node_service_ip  # noqa: E402
from lab.core.errors import LabError  # noqa: E402
from lab.core.model import Lab  # noqa: E402
from lab.core.parsers.bonding import parse_bond  # noqa: E402
from lab.doors.clock import Deadline, wait_until  # noqa: E402
from lab.doors.process import run  # noqa: E402
from lab.drivers import machine_faults  # noqa: E402
from lab.drivers.hypervisor import Hypervisor  # noqa: E402
from lab.workflows.options import Options, load_lab, resolve_topology  # noqa: E402

#: By the name that a node has for its end of the cable.
LEGS = {"eth0": "leg1", "eth1": "leg2"}
INTERVAL_S = 0.02
BEFORE_S = 3
AFTER_S = 30
#: The most that a pulled cable may cost anybody, seconds (two legs of a bond with miimon 100).
TARGET_S = 1.0
_SEQUENCE = re.compile(r"^\d+ bytes from .*\bicmp_seq=(\d+) ", re.MULTILINE)


def longest_loss_s(output: str, count: int, interval_s: float) -> float:
    """The longest row of echoes without an answer, seconds: their number times the interval.

    Args:
        output: what ping(8) printed with ``-n``.
        count: how many echoes were sent.
        interval_s: between two of them.
    """
    answered = {int(number) for number in _SEQUENCE.findall(output)}
    longest = row = 0
    for sequence in range(1, count + 1):
        row = 0 if sequence in answered else row + 1
        longest = max(longest, row)
    return longest * interval_s


def asked(addresses: Mapping[str, str], seconds: float, folder: Path) -> dict[str, subprocess.Popen[bytes]]:
    """Begin to ask everybody, by name; what each ping prints goes into a file of the folder (a pipe would fill up)."""
    count = str(round(seconds / INTERVAL_S))
    words = ["ping", "-n", "-c", count, "-i", str(INTERVAL_S), "-W", "5"]
    running = {}
    for name, address in addresses.items():
        with (folder / name).open("wb") as output:
            running[name] = subprocess.Popen([*words, address], stdout=output)
    return running


def legs_down(options: Options, node: str) -> list[str]:
    """Names of the legs that the node's bond has no link on."""
    bond = parse_bond(task(options, "ssh", node, "--command", "cat /proc/net/bonding/bond0"))
    return [leg.name for leg in bond.legs if not leg.up]


def pulled(
    options: Options, hypervisor: Hypervisor, lab: Lab, node: str, leg: str, addresses: Mapping[str, str], folder: Path
) -> dict[str, float]:
    """What everybody lost while the cable of one leg was pulled, seconds; the cable is in again afterwards."""
    seconds = BEFORE_S + AFTER_S
    running = asked(addresses, seconds, folder)
    began = Deadline.after(BEFORE_S)
    wait_until(lambda: began.passed() or None, what="echoes before the pull", deadline=Deadline.after(2 * BEFORE_S))
    domain = domain_name(lab.name, node)
    machine_faults.set_link(hypervisor, domain, LEGS[leg], up=False)
    try:
        wait_until(
            lambda: legs_down(options, node) == [leg] or None,
            what=f"the bond of {node} to miss {leg}",
            deadline=Deadline.after(AFTER_S / 2),
        )
        for process in running.values():
            process.wait(timeout=3 * seconds)
    finally:
        for process in running.values():
            process.kill()
        machine_faults.set_link(hypervisor, domain, LEGS[leg], up=True)
    count = round(seconds / INTERVAL_S)
    return {name: longest_loss_s((folder / name).read_text(), count, INTERVAL_S) for name in addresses}


def task(options: Options, name: str, *words: str) -> str:
    """Run one task of the project as a process of its own; what it printed."""
    argv = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), f"lab.{name}", *words]
    argv += ["--topology", str(options.topology), *(["--name", options.name] if options.name else [])]
    return run(argv, timeout_s=1200, cwd=ROOT).stdout


def measure(options: Options, lab: Lab, losses: dict[str, dict[str, float]]) -> None:
    """Pull every cable once; the lab is healthy before each, and healed at the end.

    Args:
        options: which lab.
        lab: it.
        losses: what has been measured, seconds by cable and by who was asked; added to.
    """
    addresses = {node.name: str(node_service_ip(lab, node)) for node in lab.nodes}
    addresses |= {guest.name: str(guest_ip(lab, guest)) for guest in lab.guests}
    hypervisor = Hypervisor()
    try:
        for node in lab.nodes:
            for leg in LEGS:
                task(options, "heal")
                with tempfile.TemporaryDirectory() as folder:
                    lost = pulled(options, hypervisor, lab, node.name, leg, addresses, Path(folder))
                losses[f"{node.name} {leg}"] = lost
                print(f"benchmark: {node.name} {leg}: {losses[f'{node.name} {leg}']}", file=sys.stderr, flush=True)
    finally:
        hypervisor.close()
        task(options, "heal")


def main(words: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--name", default="", help="name of the lab instead of the topology's")
    parser.add_argument("-t", "--topology", default="switch", help="topology, as for lab.up (default: switch)")
    given = parser.parse_args(words)
    losses: dict[str, dict[str, float]] = {}
    try:
        options = Options(topology=resolve_topology(given.topology), name=given.name)
        lab = load_lab(options)
    except LabError as error:
        print(f"benchmark: {error.message}. {error.remedy}", file=sys.stderr)
        return 2
    try:
        measure(options, lab, losses)
    except LabError as error:
        print("\n    ".join([f"benchmark: {error.message}. {error.remedy}", *error.details]), file=sys.stderr)
        return 1
    rows = [
        Measurement(f"{cable} pulled: longest loss of {name}", "s", (value,), "", TARGET_S)
        for cable, values in losses.items()
        for name, value in values.items()
    ]
    facts = sampling.machine() | {"topology": given.topology}
    print(f"{sampling.heading(facts)}\n\n{sampling.table(rows)}")
    output = ROOT / "build" / f"legs-{lab.name}.json"
    document = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "machine": facts, "lost_s": losses}
    output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"benchmark: all of it is in {output}", file=sys.stderr)
    return 1 if any(row.value > TARGET_S for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
