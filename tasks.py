"""The surface: `./inv --list` shows every task, `./inv TASK --help` explains one. Parses and prints, nothing else."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.context import Context

from lab import practice, practice_faults, practice_proof, practice_tests, practice_vagrant, surface
from lab.help_option import task

ROOT = Path(__file__).resolve().parent

DEFAULT, COMMON, JSON, _finish = practice.DEFAULT, practice.COMMON, practice.JSON, practice.finish
ACCEL = {"accel": "kvm, tcg or auto; auto proves KVM and says what it chose, kvm fails where KVM does not work"}


# The lab


@task(help={**COMMON, **ACCEL, **JSON})
def doctor(_context: Context, topology: str = DEFAULT, name: str = "", accel: str = "auto", json: bool = False) -> None:
    """Pre-flight: is this host ready for the lab? Creates nothing; exit code 1 when something is in the way.

    Looks at CPU, memory, disk, libvirt, tools, address and name clashes, and proves the accelerator.

    Example: ./inv lab.doctor --json
    """
    _finish(surface.carry_out("doctor", topology=topology, name=name, accel=accel, as_json=json))


@task(help={"output": "file to write; standard output when not given"})
def schema(_context: Context, output: str = "") -> None:
    """Write the JSON Schema of topology documents, for editors.

    Example: ./inv lab.schema --output topology.schema.json
    """
    _finish(surface.carry_out("schema", output))


@task(help={**COMMON, **JSON, "secrets": "directory of given secrets; made once and kept with the lab when not given"})
def render(_context: Context, topology: str = DEFAULT, name: str = "", secrets: str = "", json: bool = False) -> None:
    """Write everything the lab is made of to build/<lab>/; needs neither libvirt nor root.

    Same topology and secrets, same bytes. Example: ./inv lab.render -t two-node --secrets my-secrets
    """
    _finish(surface.carry_out("render", topology=topology, name=name, secrets=secrets, as_json=json))


@task(help={**COMMON, **JSON})
def bake(_context: Context, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Build the images that the lab needs, unless the cache has them; lab.up does so by itself.

    Example: ./inv lab.bake
    """
    _finish(surface.carry_out("bake", topology=topology, name=name, as_json=json))


@task(
    help={
        **COMMON,
        **ACCEL,
        **JSON,
        "secrets": "directory of given secrets; made once when not given",
        "no-save": "do not keep the finished lab as the save `ready`, which lab.reset loads",
        "fresh": "boot, although lab.down has kept the save `ready` of such a lab",
        "driver": "libvirt or vagrant defines the nodes; when not given who has done so, else libvirt",
    }
)
def up(
    _context: Context,
    topology: str = DEFAULT,
    name: str = "",
    accel: str = "auto",
    secrets: str = "",
    driver: str = "",
    *,
    no_save: bool = False,
    fresh: bool = False,
    json: bool = False,
) -> None:
    """Bring the lab up, until every service has answered a client; goes on where an interrupted run ended.

    Examples: ./inv lab.up
              ./inv lab.up -t two-node --name second --accel tcg
              ./inv lab.up --driver vagrant
    """
    given = {"topology": topology, "name": name, "accel": accel, "secrets": secrets, "driver": driver}
    _finish(surface.carry_out("up", not no_save, fresh, **given, as_json=json))


@task(help={**COMMON, **JSON})
def status(_context: Context, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Show the lab as it is: nodes, accelerator, DRBD, OCFS2, Pacemaker, guests, services as seen by a client.

    Example: ./inv lab.status --json
    """
    _finish(surface.carry_out("status", topology=topology, name=name, as_json=json))


@task(
    positional=["target"],
    help={**COMMON, "target": "node or guest, such as brina or passata", "command": "run this instead of a shell"},
)
def ssh(_context: Context, *, topology: str = DEFAULT, name: str = "", target: str, command: str = "") -> None:
    """Open a shell on a node or guest, or run one command there and end with its exit code.

    Examples: ./inv lab.ssh brina
              ./inv lab.ssh passata --command "ip address"
    """
    _finish(surface.carry_out("ssh", target, command, topology=topology, name=name))


@task(positional=["node"], help={**COMMON, "node": "node, such as brina"})
def console(_context: Context, *, topology: str = DEFAULT, name: str = "", node: str) -> None:
    """Attach to the serial console of a node; Ctrl-] leaves it.

    Example: ./inv lab.console piova
    """
    _finish(surface.carry_out("console", node, topology=topology, name=name))


@task(help={**COMMON, **JSON})
def verify(_context: Context, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Check the running lab with the suite in tests/lab; writes a JUnit file, ends with 1 when a check fails.

    Example: ./inv lab.verify
    """
    _finish(surface.carry_out("verify", topology=topology, name=name, as_json=json))


@task(
    help={
        **COMMON,
        **JSON,
        "profile": "the load; study is what the study's customers asked for",
        "scale": "factor of it; 1 under KVM and 0.05 under TCG when not given",
        "seconds": "how long, from 1 to 3000",
    }
)
def traffic(
    _context: Context,
    *,
    profile: str = "study",
    scale: str = "",
    seconds: str = "30",
    topology: str = DEFAULT,
    name: str = "",
    json: bool = False,
) -> None:
    """Send the study's own load to the lab, and tell what was sent and served; works while a drill runs.

    Ends with 1 when a service answered nothing. Examples: ./inv lab.traffic --seconds 60
                                                           ./inv lab.traffic --scale 0.5 --json
    """
    _finish(surface.carry_out("traffic", profile, scale, seconds, topology=topology, name=name, as_json=json))


@task(help={**COMMON, **JSON})
def halt(_context: Context, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Stop the lab cleanly and keep its state; lab.up continues it.

    Example: ./inv lab.halt
    """
    _finish(surface.carry_out("halt", topology=topology, name=name, as_json=json))


@task(help={**COMMON, **JSON, "no-cache": "remove the disks with the save `ready` too, from which lab.up would start"})
def down(
    _context: Context, topology: str = DEFAULT, name: str = "", *, no_cache: bool = False, json: bool = False
) -> None:
    """Remove all of this lab and nothing else, also after a crash half-way; images and the save `ready` are kept.

    Examples: ./inv lab.down
              ./inv lab.down --name second
    """
    _finish(surface.carry_out("down", not no_cache, topology=topology, name=name, as_json=json))


@task(name="list", help=JSON)
def list_labs(_context: Context, json: bool = False) -> None:
    """Show all labs of this host.

    Example: ./inv lab.list
    """
    _finish(surface.carry_out("list", as_json=json))


@task(help=JSON)
def prune(_context: Context, json: bool = False) -> None:
    """Empty the image cache and remove the kept saves of labs; the next lab.up bakes and boots again.

    Example: ./inv lab.prune
    """
    _finish(surface.carry_out("prune", as_json=json))


# Tests

ONLY, _pytest, _with_libvirt = practice_tests.ONLY, practice_tests.run_pytest, practice_tests.with_libvirt


@task(help=ONLY)
def unit(context: Context, only: str = "") -> None:
    """Linters, unit and golden tests: no VM, no root, well under a minute.

    Example: ./inv test.unit --only preflight
    """
    _pytest(context, ["tests/unit", "tests/golden"], only)


@task(help=ONLY)
def golden(context: Context, only: str = "") -> None:
    """Renderings compared with the recorded ones.

    Example: ./inv test.golden
    """
    _pytest(context, ["tests/golden"], only)


@task(help=ONLY)
def drivers(context: Context, only: str = "") -> None:
    """Tests of the drivers against real programs on this machine.

    Example: ./inv test.drivers --only accelerator
    """
    _with_libvirt(lambda: _pytest(context, ["tests/drivers"], only))


@task(
    name="lab",
    help={
        **ONLY,
        "drills": "nothing but the drills, a quarter of an hour",
        "saves": "saves that are killed or meet a full disk instead, ten minutes; not part of all tests",
        "fencing": "one failure with fencing and without it instead, a quarter of an hour; not part of all tests",
        "within": "minutes; tests that cannot be over by then are not begun, and named at the end; 0 for no limit",
    },
)
def end_to_end(
    context: Context,
    only: str = "",
    within: str = "0",
    *,
    drills: bool = False,
    saves: bool = False,
    fencing: bool = False,
) -> None:
    """The real lab: baked, brought up, verified, reset, drilled, broken, continued, exported, removed; one by Vagrant.

    Example: ./inv test.lab
    """
    chosen = {"drills": drills, "saves": saves, "fencing": fencing}
    part = next((part for part, wanted in chosen.items() if wanted), "whole")
    practice_tests.run_end_to_end(context, part, only, practice_tests.moment_after(within))


@task(
    name="all",
    default=True,
    help={"within": "minutes; tests of the lab that cannot be over by then are not begun, and named; 0 for no limit"},
)
def everything(context: Context, within: str = practice_tests.WITHIN_MIN) -> None:
    """Everything that proves the project: linters, unit, golden and driver tests, then the real lab end to end.

    Examples: ./inv test
              ./inv test --within 0
    """
    until_s = practice_tests.moment_after(within)
    unit(context)
    drivers(context)
    practice_tests.run_end_to_end(context, "whole", "", until_s)


@task(help={"fix": "correct what can be corrected, and format"})
def lint(context: Context, fix: bool = False) -> None:
    """Linters only: ruff, formatting, mypy, shellcheck, and the rules of the architecture.

    Example: ./inv lint --fix
    """
    if fix:
        with context.cd(str(ROOT)):
            for words in (["check", "--fix", "."], ["format", "."]):
                context.run(shlex.join([sys.executable, "-m", "ruff", *words]), warn=True, in_stream=False)
    _pytest(context, ["tests/unit/test_linters.py", "tests/unit/test_architecture.py"], "")


def _collection(name: str, *tasks: Any) -> Collection:
    collection = Collection(name)
    for one in tasks:
        collection.add_task(one)
    return collection


namespace = Collection(
    _collection(
        "lab",
        doctor,
        schema,
        render,
        bake,
        up,
        status,
        ssh,
        console,
        verify,
        traffic,
        halt,
        down,
        list_labs,
        prune,
        *practice.TASKS,
        *practice_faults.TASKS,
        *practice_proof.TASKS,
        *practice_vagrant.TASKS,
    ),
    _collection("test", unit, golden, drivers, end_to_end, everything, *practice_tests.TASKS, *practice_vagrant.TESTS),
    lint,
)
