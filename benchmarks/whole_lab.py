"""Measure the whole lab: baking, `lab.up`, a second `lab.up`, `lab.render`, `lab.down`, memory, disk, and a bare boot.

Run by hand, as root, on a machine that does nothing else:

    .venv/bin/python benchmarks/whole_lab.py --name bench            (bring it up, with the images that are there)
    .venv/bin/python benchmarks/whole_lab.py --name bench --bake     (also bake everything into an empty cache)
    .venv/bin/python benchmarks/whole_lab.py --name bench --dry-run  (only check, and say what would be done)

Times of tasks are those of whole processes, from start to exit, as a person at the terminal waits for them. The bare
boot is the yardstick: the same two virtual machines with the same images, kernels, disks and seeds, from switching them
on until ssh answers on both, without waiting for cloud-init's end and without anything of the cluster. It is run in the
same session as the rest, in a lab of its own (the name with a 0 behind it), so `lab.up` can be given as a multiple of
it on any machine.

The benchmark refuses to run when one of its two labs exists, every step has a deadline, and both labs are removed by
`lab.down` at the end, also after a failure or Ctrl-C. Result: a table on standard output, and a JSON file.
Exit code: 0 all measured, 1 something failed (what was measured until then is still reported), 2 refused.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import sampling  # noqa: E402
from benchmarks.sampling import Measurement, Memory, PeakSampler  # noqa: E402
from lab.core import addressing  # noqa: E402
from lab.core.errors import LabError  # noqa: E402
from lab.core.model import Lab  # noqa: E402
from lab.core.render.facts import POOLS_ROOT  # noqa: E402
from lab.core.topology_values import LAB_NAME  # noqa: E402
from lab.doors.clock import now_s  # noqa: E402
from lab.doors.process import ProcessError, Result, run  # noqa: E402
from lab.drivers.hypervisor import CACHE_POOL, Hypervisor  # noqa: E402
from lab.drivers.lab_images import CACHE_POOL_PATH, cache_folder  # noqa: E402
from lab.workflows.options import Options, load_lab, resolve_topology  # noqa: E402

#: Seconds after which a step is given up; generous, because they only keep a hanging step from hanging for ever.
LIMITS_S = {"bake": 3600.0, "up": 2400.0, "render": 120.0, "down": 300.0}
#: What the project wants to reach on two emulated cores: seconds and MiB.
TARGETS = {"bake": 360.0, "up": 300.0, "again": 20.0, "down": 10.0, "render": 2.0, "memory": 10240.0, "disk": 8192.0}
UNCHANGED = "nothing was changed"


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line.

    Args:
        name: name of the lab; the bare boot's lab is called the same with ``0`` behind it.
        topology: the topology file.
        accelerator: ``auto``, ``kvm`` or ``tcg``.
        bake: whether to bake everything into an empty cache first.
        repeat: how often the quick steps (render, second up) are run.
        interval_s: pause between two looks at the memory, seconds.
        output: the JSON file.
        dry_run: check and say what would be done, nothing else.
    """

    name: str
    topology: Path
    accelerator: str
    bake: bool
    repeat: int
    interval_s: float
    output: Path
    dry_run: bool

    @property
    def bare_name(self) -> str:
        """Name of the lab whose nodes are only booted."""
        return f"{self.name}0"

    def options(self, name: str) -> Options:
        """The options of a lab, as workflows take them."""
        accelerator: Any = self.accelerator
        return Options(topology=self.topology, name=name, accelerator=accelerator)


@dataclass
class Report:
    """What has been found out so far."""

    facts: dict[str, object] = field(default_factory=dict)
    measurements: dict[str, Measurement] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, key: str, name: str, values: Sequence[float], unit: str = "s", note: str = "") -> None:
        """Take a measurement in; its target is looked up by the key."""
        self.measurements[key] = Measurement(name, unit, tuple(values), note, TARGETS.get(key))

    def document(self) -> dict[str, object]:
        """Everything, for the JSON file."""
        up, bare = self.measurements.get("up"), self.measurements.get("bare")
        multiple = sampling.ratio(up, bare)
        return {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": self.facts,
            "measurements": {key: one.as_document() for key, one in self.measurements.items()},
            "up_in_bare_boots": round(multiple, 2) if multiple else None,
            "failures": self.failures,
        }

    def text(self) -> str:
        """Everything, for a person."""
        multiple = sampling.ratio(self.measurements.get("up"), self.measurements.get("bare"))
        parts = [sampling.heading(self.facts), sampling.table(list(self.measurements.values()))]
        if multiple:
            parts.append(f"lab.up took {multiple:.2f} times as long as a bare boot of the same two machines.")
        parts += [f"FAILED: {failure}" for failure in self.failures]
        return "\n\n".join(parts)


def parse_arguments(words: Sequence[str]) -> Plan:
    """The plan that a command line asks for.

    Raises:
        SystemExit: with code 2, when it cannot be meant.
        LabError: there is no such topology (exit code 2).
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--name", default="bench", help="name of the lab to build and remove (default: bench)")
    parser.add_argument("-t", "--topology", default="two-node", help="topology, as for lab.up (default: two-node)")
    parser.add_argument("--accel", default="auto", choices=("auto", "kvm", "tcg"), help="accelerator, as for lab.up")
    parser.add_argument("--bake", action="store_true", help="also bake all images into an empty cache; takes minutes")
    parser.add_argument("--repeat", type=int, default=3, help="runs of the quick steps (default: 3)")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between looks at the memory (default: 2)")
    parser.add_argument("--output", type=Path, help="JSON file (default: build/benchmark-NAME.json)")
    parser.add_argument("--dry-run", action="store_true", help="check, say what would be done, and do nothing")
    given = parser.parse_args(words)
    for name in (given.name, f"{given.name}0"):
        try:
            LAB_NAME.parse(name)
        except ValueError:
            parser.error(f"--name {given.name}: a letter, then at most eight lower-case letters and digits")
    if given.repeat < 1:
        parser.error("--repeat: at least 1")
    if not given.interval > 0:
        parser.error("--interval: more than 0 seconds")
    return Plan(
        name=given.name,
        topology=resolve_topology(given.topology),
        accelerator=given.accel,
        bake=given.bake,
        repeat=given.repeat,
        interval_s=given.interval,
        output=given.output or ROOT / "build" / f"benchmark-{given.name}.json",
        dry_run=given.dry_run,
    )


def steps_of(plan: Plan) -> list[str]:
    """What a run of the plan does, in order."""
    baking = [f"lab.bake into an empty cache of its own (deadline {LIMITS_S['bake']:.0f} s), which is removed again"]
    return [
        *(baking if plan.bake else []),
        "lab.bake with the usual cache, not measured: what is there is taken",
        f"lab.render --name {plan.name}, {plan.repeat} times; the first run makes the secrets",
        f"bare boot of the two nodes as lab {plan.bare_name}, then lab.down --name {plan.bare_name}",
        f"lab.up --name {plan.name}, memory looked at every {plan.interval_s:g} s (deadline {LIMITS_S['up']:.0f} s)",
        "disk space of the lab",
        f"lab.up --name {plan.name} again, {plan.repeat} times",
        f"lab.down --name {plan.name}",
        f"result to {plan.output}",
    ]


def leftovers(plan: Plan, hypervisor: Hypervisor) -> list[str]:
    """What exists of the two labs already; the benchmark must not touch a lab that somebody uses."""
    found = []
    for name in (plan.name, plan.bare_name):
        found += [f"domain {domain.name}" for domain in hypervisor.owned_domains(name)]
        networks = [addressing.network_name(name, role) for role in ("service", "management")]
        found += [f"network {network}" for network in networks if hypervisor.has_network(network)]
        found += [f"pool {name}"] if hypervisor.has_pool(name) else []
        folder = plan.options(name).build / name
        kept = [folder / part for part in ("secrets", "state.json")]
        found += [str(path) for path in kept if path.exists()]
    return found


def task(name: str, *words: str, env: dict[str, str] | None = None, check: bool = True) -> Result:
    """Run one task of the project as a process of its own, with its deadline."""
    argv = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), f"lab.{name}", *words]
    say(f"lab.{name} {' '.join(words)}")
    return run(argv, timeout_s=LIMITS_S[name], env=env, cwd=ROOT, check=check)


def say(text: str) -> None:
    """One line of progress, on standard error."""
    print(f"benchmark: {text}", file=sys.stderr, flush=True)


def lab_words(plan: Plan, name: str) -> list[str]:
    """The options that choose a lab."""
    return ["--topology", str(plan.topology), "--name", name]


# The measurements


def measure_bake(plan: Plan, report: Report) -> None:
    """Bake everything with nothing in the cache; packages are downloaded, too."""
    place = plan.options(plan.name).build
    place.mkdir(parents=True, exist_ok=True)
    cache = Path(tempfile.mkdtemp(prefix="benchmark-cache-", dir=place))
    cache.chmod(0o755)  # as a cache is; apt's own user has to get in
    try:
        result = task("bake", *lab_words(plan, plan.name), env={"XDG_CACHE_HOME": str(cache)})
        size_mib = sampling.disk_mib(cache / "ha-lab" / "images")
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    report.add("bake", "bake all images, empty cache", [result.duration_s], note="downloads included")
    report.add("cache", "image cache after that", [size_mib], "MiB", "downloaded packages included")


def measure_render(plan: Plan, report: Report) -> None:
    """Render the lab, each time as a process of its own."""
    runs = [task("render", *lab_words(plan, plan.name)).duration_s for _ in range(plan.repeat)]
    report.add("render", "lab.render", runs, note="the first run makes the secrets")


def measure_bare_boot(plan: Plan, report: Report) -> None:
    """Boot the nodes of a lab of its own until ssh answers on both, and do nothing else with them."""
    # Imported here: the rest of the benchmark can be tested without them.
    from lab.drivers import accelerator  # noqa: PLC0415
    from lab.workflows import host_side, nodes  # noqa: PLC0415
    from lab.workflows.session import open_session, rendered, write_rendered  # noqa: PLC0415

    options = plan.options(plan.bare_name)
    chosen = accelerator.choose(options.accelerator)
    hypervisor = Hypervisor()
    try:
        with open_session(options, "bare-boot", accelerator=chosen.accelerator, make_secrets=True) as session:
            tree = rendered(session)
            write_rendered(session, tree)
            host_side.ensure_networks(session, hypervisor, tree)
            host_side.ensure_cached_images(session, hypervisor)
            host_side.ensure_domains(session, hypervisor, tree)
            started_s = now_s()
            host_side.start_domains(session, hypervisor)
            session.on_each(session.lab.nodes, lambda node: nodes.wait_booted(session, hypervisor, node))
            report.add("bare", "bare boot, ssh on both nodes", [now_s() - started_s], note="from power-on; no cluster")
    finally:
        hypervisor.close()


def measure_up(plan: Plan, lab: Lab, report: Report) -> None:
    """Bring the lab up with baked images, and watch the memory of its nodes meanwhile."""
    domains = [addressing.domain_name(plan.name, node.name) for node in lab.nodes]
    with PeakSampler(lambda: sampling.memory_of(domains), plan.interval_s) as sampler:
        result = task("up", *lab_words(plan, plan.name), "--accel", plan.accelerator, "--json")
    outcome = json.loads(result.stdout)
    report.facts["accelerator"] = f"{outcome['accelerator']}, time scale {outcome['time_scale']:g}"
    served = [answer["ok"] for answer in outcome["services"]]
    report.add(
        "up", "lab.up, images baked", [result.duration_s], note=f"{sum(served)} of {len(served)} requests served"
    )
    add_memory(plan, report, sampler.peak, sampler.looks)


def add_memory(plan: Plan, report: Report, peak: Memory, looks: int) -> None:
    """Take the peak of the memory in."""
    note = f"{peak.processes} QEMU processes, {looks} looks, one every {plan.interval_s:g} s"
    report.add("memory", "peak memory of the nodes, PSS", [peak.pss_mib], "MiB", note)
    report.add("rss", "peak memory of the nodes, RSS", [peak.rss_mib], "MiB", note)


def measure_disk(plan: Plan, report: Report) -> None:
    """What the running lab has allocated, and what is shared with other labs."""
    folders = [Path(POOLS_ROOT) / plan.name, plan.options(plan.name).build / plan.name]
    report.add("disk", "disk of the lab: volumes, build", [sampling.disk_mib(*folders)], "MiB")
    shared = sampling.disk_mib(Path(CACHE_POOL_PATH))
    report.add("pool", f"pool {CACHE_POOL}", [shared], "MiB", "shared by all labs, stays")
    report.add("images", "image cache", [sampling.disk_mib(cache_folder())], "MiB", "shared by all labs, stays")


def measure_again(plan: Plan, report: Report) -> None:
    """`lab.up` on a lab that is up; it must say that nothing was changed."""
    runs = []
    for _ in range(plan.repeat):
        result = task("up", *lab_words(plan, plan.name), "--accel", plan.accelerator)
        runs.append(result.duration_s)
        if UNCHANGED not in result.stdout + result.stderr:
            report.failures.append("a second lab.up did not say that nothing was changed")
    report.add("again", "lab.up on the running lab", runs)


def measure_down(plan: Plan, report: Report) -> None:
    """Remove the lab."""
    report.add("down", "lab.down", [task("down", "--no-cache", *lab_words(plan, plan.name)).duration_s])


def remove(plan: Plan, name: str) -> str:
    """Remove one of the labs whatever state it is in; returns why that failed, or empty text."""
    try:
        result = task("down", "--no-cache", *lab_words(plan, name), check=False)
    except ProcessError as error:
        return f"lab.down --name {name}: {error.message}"
    if result.ok:
        return ""
    last = ((result.stderr or result.stdout).strip().splitlines() or ["no output"])[-1]
    return f"lab.down --name {name} ended with {result.returncode}: {last}"


def versions() -> dict[str, object]:
    """Versions of what the figures depend on."""
    hypervisor = Hypervisor()
    try:
        numbers = {"libvirt": hypervisor.connection.getLibVersion(), "QEMU": hypervisor.connection.getVersion()}
    finally:
        hypervisor.close()
    text = {name: f"{n // 1_000_000}.{n // 1000 % 1000}.{n % 1000}" for name, n in numbers.items()}
    commit = run(["git", "describe", "--always", "--dirty"], timeout_s=20, check=False, cwd=ROOT).stdout.strip()
    return {**text, "Python": sys.version.split()[0], "commit": commit or "unknown"}


def measure_all(plan: Plan, lab: Lab, report: Report) -> None:
    """Every measurement in order; the first failure ends it and is written down."""

    def bare() -> None:
        try:
            measure_bare_boot(plan, report)
        finally:
            # At once, so that the two labs are never up together.
            report.failures += filter(None, [remove(plan, plan.bare_name)])

    parts: list[Callable[[], object]] = [
        *([lambda: measure_bake(plan, report)] if plan.bake else []),
        lambda: task("bake", *lab_words(plan, plan.name)),
        lambda: measure_render(plan, report),
        bare,
        lambda: measure_up(plan, lab, report),
        lambda: measure_disk(plan, report),
        lambda: measure_again(plan, report),
        lambda: measure_down(plan, report),
    ]
    removed = False
    try:
        for part in parts:
            part()
        removed = not report.failures
    except (LabError, ValueError, KeyError) as error:
        details = getattr(error, "details", ())
        report.failures.append("\n    ".join([str(error), *details]))
    except KeyboardInterrupt:
        report.failures.append("interrupted")
    finally:
        if not removed:
            report.failures += filter(None, [remove(plan, plan.name), remove(plan, plan.bare_name)])


def main(words: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    from lab.surface import start_libvirt  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        plan = parse_arguments(words)
        lab = load_lab(plan.options(plan.name))
        if not plan.dry_run:
            start_libvirt()
        hypervisor = Hypervisor()
        found = leftovers(plan, hypervisor)
        hypervisor.close()
    except LabError as error:
        say(f"{error.message}. {error.remedy}")
        return 2
    if found:
        say(f"refused, because these exist: {', '.join(found)}")
        say(f"choose another --name, or remove them: ./inv lab.down --no-cache --name {plan.name}")
        return 2
    if plan.dry_run:
        print("\n".join(f"{number}. {step}" for number, step in enumerate(steps_of(plan), start=1)))
        return 0
    report = Report(facts={**sampling.machine(), **versions(), "topology": os.path.relpath(plan.topology, ROOT)})
    measure_all(plan, lab, report)
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    plan.output.write_text(json.dumps(report.document(), indent=2) + "\n", encoding="utf-8")
    print(report.text())
    say(f"all of it is in {plan.output}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
