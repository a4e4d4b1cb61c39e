"""Measure resets: `lab.reset` again and again, until every service has answered, beside libvirt's bare revert.

Run by hand, as root, on a machine that does nothing else, with a lab that `lab.up` has left healthy:

    .venv/bin/python benchmarks/resets.py -t smoke --name bench                          (ten resets)
    .venv/bin/python benchmarks/resets.py --name bench --count 50 --drill guest-crash    (a soak: every second reset
                                                                                          out of a drill)

A reset is timed as a whole process, from start to exit, as a person at the terminal waits for it, and up to the moment
at which the last service had answered a client; after that it only waits for a healthy cluster. The bare revert is the
yardstick: libvirt alone puts the same virtual machines back to the same snapshots and lets them run, and nobody
asks whether they serve. Both are measured by turns in one run. Beside them: how long the nodes stand still for a save,
what disks and memory have grown by, which processes of the lab are there at the end that were not there at the
beginning, and how long ``ready`` takes to serve out of a lab that is halted or down.

Result: a table on standard output, and a JSON file. Exit code: 0 all measured and nothing left behind, 1 otherwise,
2 refused. The lab stays, as the last reset has left it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import sampling  # noqa: E402
from benchmarks.sampling import Measurement  # noqa: E402
from lab.core.errors import LabError  # noqa: E402
from lab.core.render.facts import POOLS_ROOT  # noqa: E402
from lab.core.saves import READY, judge  # noqa: E402
from lab.doors.clock import now_s  # noqa: E402
from lab.doors.process import Result, run  # noqa: E402
from lab.drivers import snapshots  # noqa: E402
from lab.drivers.hypervisor import Hypervisor  # noqa: E402
from lab.workflows.options import Options, load_lab, resolve_topology  # noqa: E402

LIMIT_S = 900.0
#: What the project wants on two emulated cores, seconds.
TARGETS = {"served": 10.0, "pause": 5.0, "halted": 15.0, "kept": 15.0}
SAVE = "benchmark"
SAVES = 3
#: Starts from ``ready`` out of a lab that is halted, and out of one that is down.
STARTS = 2


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line.

    Args:
        name: name of the lab, which is there and healthy.
        topology: its topology file.
        count: how many resets.
        drill: drill that breaks the lab before every second reset; empty for none.
        output: the JSON file.
    """

    name: str
    topology: Path
    count: int
    drill: str
    output: Path


@dataclass
class Figures:
    """What has been measured so far, in seconds and MiB."""

    resets_s: list[float] = field(default_factory=list)
    served_s: list[float] = field(default_factory=list)
    broken_resets_s: list[float] = field(default_factory=list)
    loaded_s: list[float] = field(default_factory=list)
    bare_s: list[float] = field(default_factory=list)
    paused_s: list[float] = field(default_factory=list)
    halted_s: list[float] = field(default_factory=list)
    kept_s: list[float] = field(default_factory=list)
    disk_mib: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def measurements(self) -> dict[str, Measurement]:
        """As rows of the table; what was not measured is left out."""
        rows = {
            "served": Measurement(
                "lab.reset until all services answered", "s", tuple(self.served_s), "", TARGETS["served"]
            ),
            "reset": Measurement("lab.reset until all is healthy", "s", tuple(self.resets_s)),
            "broken": Measurement("the same, after a drill", "s", tuple(self.broken_resets_s)),
            "loaded": Measurement("of it: until the nodes run again", "s", tuple(self.loaded_s)),
            "bare": Measurement("bare revert through libvirt", "s", tuple(self.bare_s)),
            "pause": Measurement("pause of the nodes for lab.save", "s", tuple(self.paused_s), "", TARGETS["pause"]),
            "halted": Measurement(
                "lab.reset of a halted lab, until all services answered",
                "s",
                tuple(self.halted_s),
                "",
                TARGETS["halted"],
            ),
            "kept": Measurement(
                "lab.up after lab.down, until all is healthy", "s", tuple(self.kept_s), "", TARGETS["kept"]
            ),
            "disk": Measurement("disks of the lab after each reset", "MiB", tuple(self.disk_mib)),
            "memory": Measurement("memory of the lab's processes after each reset", "MiB", tuple(self.memory_mib)),
        }
        return {key: row for key, row in rows.items() if row.values}

    def document(self) -> dict[str, object]:
        """Everything, for the JSON file."""
        rows = self.measurements()
        multiple = sampling.ratio(rows.get("served"), rows.get("bare"))
        return {
            "measurements": {
                key: {**row.as_document(), "min": min(row.values), "max": max(row.values)} for key, row in rows.items()
            },
            "reset_in_bare_reverts": round(multiple, 2) if multiple else None,
            "disk_growth_mib": round(self.disk_mib[-1] - self.disk_mib[0], 1) if self.disk_mib else None,
            "memory_growth_mib": round(growth(self.memory_mib), 1) if self.memory_mib else None,
            "left_behind": self.left_behind,
            "failures": self.failures,
        }

    def text(self) -> str:
        """Everything, for a person."""
        rows, document = self.measurements(), self.document()
        parts = [sampling.table(list(rows.values())) if rows else "nothing was measured"]
        if "served" in rows:
            values = rows["served"].values
            parts.append(f"Served: median {rows['served'].value:.1f} s, from {min(values):.1f} to {max(values):.1f} s.")
        if document["reset_in_bare_reverts"]:
            parts.append(f"That is {document['reset_in_bare_reverts']} times as long as the bare revert.")
        if self.disk_mib:
            parts.append(f"The disks grew by {document['disk_growth_mib']} MiB over {len(self.disk_mib) - 1} resets.")
        if self.memory_mib:
            grown = document["memory_growth_mib"]
            parts.append(f"The lab's processes grew by {grown} MiB (median of the second half against the first).")
        parts += [f"LEFT BEHIND: {one}" for one in self.left_behind]
        parts += [f"FAILED: {one}" for one in self.failures]
        return "\n".join(parts)


def parse_arguments(words: Sequence[str]) -> Plan:
    """The plan that a command line asks for.

    Raises:
        SystemExit: with code 2, when it cannot be meant.
        LabError: there is no such topology (exit code 2).
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--name", required=True, help="name of the lab, which is up and healthy")
    parser.add_argument("-t", "--topology", default="two-node", help="topology, as for lab.up (default: two-node)")
    parser.add_argument("--count", type=int, default=10, help="number of resets (default: 10)")
    parser.add_argument("--drill", default="", help="drill before every second reset, such as guest-crash")
    parser.add_argument("--output", type=Path, help="JSON file (default: build/resets-NAME.json)")
    given = parser.parse_args(words)
    if given.count < 1:
        parser.error("--count must be 1 or more")
    output = given.output or ROOT / "build" / f"resets-{given.name}.json"
    return Plan(given.name, resolve_topology(given.topology), given.count, given.drill, output)


def processes(lab: str, proc: Path) -> Iterator[tuple[str, Path]]:
    """What belongs to a lab: what each process is to it, see :func:`kind_of`, and its folder.

    Args:
        lab: its name.
        proc: the proc file system.
    """
    for entry in proc.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        except OSError:
            continue  # it has ended meanwhile
        if kind := kind_of(words, lab):
            yield kind, entry


def processes_of(plan: Plan, proc: Path = sampling.PROC) -> Counter[str]:
    """The processes that belong to the lab, by what they are, and how many there are of each.

    Args:
        plan: names the lab.
        proc: the proc file system, another folder in tests.
    """
    return Counter(kind for kind, _entry in processes(plan.name, proc))


def memory_mib(plan: Plan, proc: Path = sampling.PROC) -> float:
    """Memory of the processes that belong to the lab, MiB; a page that N processes share counts 1/N for each.

    Args:
        plan: names the lab.
        proc: the proc file system, another folder in tests.
    """
    total = 0.0
    for _kind, entry in processes(plan.name, proc):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            total += sampling.parse_rollup((entry / "smaps_rollup").read_text())[1]
    return total


def growth(values: Sequence[float]) -> float:
    """By how much the second half of some values is above the first, by their medians; 0 for fewer than two.

    One value against one would say nothing: how much of a node's memory is there depends on when one looks.
    """
    middle = len(values) // 2
    return median(values[-middle:]) - median(values[:middle]) if middle else 0.0


def kind_of(words: Iterable[str], lab: str) -> str:
    """What a process is to a lab: its program and what in its command line names the lab; empty for nothing."""
    program, *rest = list(words) or [""]
    text = " ".join([program, *rest])
    if match := re.search(rf"guest={re.escape(lab)}-[a-z0-9-]+", text):
        return f"{Path(program).name} {match.group()}"
    if match := re.search(rf"build/{re.escape(lab)}/[\w.-]+", text):
        return f"{program.split(':')[0].rpartition('/')[2]} {match.group()}"
    return ""


def left_behind(before: Counter[str], after: Counter[str]) -> list[str]:
    """What there is more of than before."""
    return sorted(f"{number} x {kind}" for kind, number in (after - before).items())


def say(text: str) -> None:
    """One line of progress, on standard error."""
    print(f"benchmark: {text}", file=sys.stderr, flush=True)


def task(plan: Plan, name: str, *words: str, check: bool = True) -> Result:
    """Run one task of the project as a process of its own."""
    argv = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), f"lab.{name}", *words]
    argv += ["--topology", str(plan.topology), "--name", plan.name]
    return run(argv, timeout_s=LIMIT_S, cwd=ROOT, check=check)


def bare_revert(plan: Plan) -> float:
    """Seconds that libvirt alone takes to put the nodes back to ``ready``; they run afterwards."""
    hypervisor = Hypervisor()
    try:
        domains = hypervisor.owned_domains(plan.name)
        nodes = [domain.node for domain in domains]
        found = judge(plan.name, nodes, snapshots.parts(hypervisor, domains, sizes=False))
        ready = next((save for save in found if save.name == READY and save.note), None)
        if ready is None:
            raise LabError(f"the lab {plan.name} has no save {READY}", remedy="Bring it up with ./inv lab.up")
        started_s = now_s()
        snapshots.revert_all(hypervisor, domains, ready.snapshot)
        snapshots.resume_all(hypervisor, domains)
        return now_s() - started_s
    finally:
        hypervisor.close()


def measure(plan: Plan, figures: Figures) -> None:
    """Resets and bare reverts by turns, then saves; the first failure ends it."""
    volumes = Path(POOLS_ROOT) / plan.name
    task(plan, "reset")  # so that the first measured one begins like the others
    before = processes_of(plan)
    figures.disk_mib.append(sampling.disk_mib(volumes))
    for number in range(1, plan.count + 1):
        breaks = bool(plan.drill) and number % 2 == 0
        if breaks:
            say(f"drill {plan.drill}")
            task(plan, "drill", plan.drill, check=False)
        elif len(figures.bare_s) < 10:
            figures.bare_s.append(bare_revert(plan))
        result = task(plan, "reset", "--json")
        (figures.broken_resets_s if breaks else figures.resets_s).append(result.duration_s)
        figures.loaded_s.append(float(json.loads(result.stdout)["loaded_s"]))
        if not breaks:
            figures.served_s.append(served_s(result))
        figures.disk_mib.append(sampling.disk_mib(volumes))
        figures.memory_mib.append(memory_mib(plan))
        say(f"reset {number} of {plan.count}: {result.duration_s:.1f} s")
    figures.left_behind = left_behind(before, processes_of(plan))
    for _ in range(SAVES):
        figures.paused_s.append(float(json.loads(task(plan, "save", SAVE, "--json").stdout)["paused_s"]))
    task(plan, "forget", SAVE)
    for number in range(1, STARTS + 1):
        say(f"start {number} of {STARTS} out of a halted lab, and out of one that is down")
        task(plan, "halt")
        figures.halted_s.append(served_s(task(plan, "reset", "--json")))
        task(plan, "down")
        figures.kept_s.append(task(plan, "up").duration_s)


def served_s(reset: Result) -> float:
    """Seconds until the last service had answered: all of the process, but for the wait for health."""
    told = json.loads(reset.stdout)
    return reset.duration_s - float(told["duration_s"]) + float(told["served_s"])


def main(words: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    from lab.surface import start_libvirt  # noqa: PLC0415

    figures = Figures()
    try:
        plan = parse_arguments(words)
        load_lab(Options(topology=plan.topology, name=plan.name))
        start_libvirt()
        bare_revert(plan)
    except LabError as error:
        say(f"{error.message}. {error.remedy}")
        return 2
    try:
        measure(plan, figures)
    except (LabError, ValueError, KeyError) as error:
        figures.failures.append("\n    ".join([str(error), *getattr(error, "details", ())]))
    except KeyboardInterrupt:
        figures.failures.append("interrupted")
    machine = {**sampling.machine(), "topology": os.path.relpath(plan.topology, ROOT), "drill": plan.drill or "none"}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    document = {"time": now, "machine": machine, **figures.document()}
    plan.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(sampling.heading(machine) + "\n\n" + figures.text())
    say(f"all of it is in {plan.output}")
    return 1 if figures.failures or figures.left_behind else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
