"""The tasks of practice, for ``tasks.py``: drills that break a lab, reports on them, and saves that bring it back."""

from __future__ import annotations

from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from lab import surface
from lab.core.drills.catalogue import Order
from lab.core.drills.programme import UNSAID, Wishes
from lab.help_option import task

DEFAULT = surface.DEFAULT_TOPOLOGY
COMMON = {
    "topology": "the lab's document: a file, or a name in topologies/; else what --name was built from, or two-node",
    "name": "name of the lab instead of the document's (labs of different names run side by side)",
}
JSON = {"json": "print the result as JSON"}
SAVE = {"save": "name of the save: small letters, digits and hyphens"}


def finish(code: int) -> None:
    """End the command with this exit code."""
    if code:
        raise Exit(code=code)


@task(
    positional=["drill"],
    help={
        **COMMON,
        **JSON,
        "drill": "power-off, reboot, maintenance, live-migrate, guest-crash, fault:NAME, campaign or study",
        "node": "node it is done to; the first one when not given, of the study all",
        "guest": "guest it is done to, for live-migrate and guest-crash; the first one when not given",
        "repeat": "how often, one after the other",
        "seed": "number from which everything random follows; kept in the record",
        "amount": "of a fault, see lab.fault",
        "seconds": "how long a fault is kept before it is healed; its own time when not given",
        "count": "of a campaign: how many faults",
        "quick": "of a campaign: only faults during which no node goes down; of the study: each test once, on one node",
        "resume": "of the study: go on with the newest programme that is not finished",
        "power-offs": "of the study: power-offs of each node; as the study 2, quick 1",
        "reboots": "of the study: reboots of each node; as the study 2, quick 1",
        "maintenances": "of the study: maintenances of each node; as the study 2, which is 4 in all, quick 1",
    },
)
def drill(  # noqa: PLR0917 (Invoke turns parameters into options)
    _context: Context,
    drill: str,
    topology: str = DEFAULT,
    name: str = "",
    node: str = "",
    guest: str = "",
    repeat: int = 1,
    seed: int = 1,
    amount: int = 0,
    seconds: float = 0.0,
    count: int = 5,
    quick: bool = False,
    resume: bool = False,
    power_offs: int = UNSAID,
    reboots: int = UNSAID,
    maintenances: int = UNSAID,
    json: bool = False,
) -> None:
    """Break the lab on purpose, measure what clients lost, wait until it is healthy again, and audit it.

    Ends with 1 when the lab is not healthy before or after, an audit fails, or an objective of the topology is missed.

    Examples: ./inv lab.drill power-off --node brina
              ./inv lab.drill guest-crash --guest passata
              ./inv lab.drill fault:freeze --node brina
              ./inv lab.drill campaign --seed 7 --count 5 --quick
              ./inv lab.drill study
              ./inv lab.drill study --resume
    """
    if drill == "study":
        wishes = Wishes(quick, node, power_offs, reboots, maintenances)
        finish(surface.carry_out("study", wishes, resume, topology=topology, name=name, as_json=json))
        return
    if drill == "campaign":
        wanted = (seed, count, quick)
        finish(surface.carry_out("campaign", *wanted, topology=topology, name=name, as_json=json))
        return
    order = Order(drill, node, guest, repeat, seed, amount, seconds)
    finish(surface.carry_out("drill", order, topology=topology, name=name, as_json=json))


@task(help={**COMMON, **JSON})
def audit(_context: Context, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Compare both copies of the lab's data block by block (drbdadm verify), and check the shared file system.

    The lab goes on meanwhile. A campaign does the same at its end. Ends with 1 when something is found.

    Example: ./inv lab.audit
    """
    finish(surface.carry_out("audit", topology=topology, name=name, as_json=json))


@task(
    name="save",
    positional=["save"],
    help={**COMMON, **JSON, **SAVE, "force": "save the lab although it is not healthy (never as ready)"},
)
def save_lab(
    _context: Context, save: str, topology: str = DEFAULT, name: str = "", force: bool = False, json: bool = False
) -> None:
    """Save the running lab, memory and disks of all nodes at one instant; a save of that name is replaced.

    Example: ./inv lab.save before-upgrade
    """
    finish(surface.carry_out("save", save, force, topology=topology, name=name, as_json=json))


@task(positional=["save"], help={**COMMON, **JSON, **SAVE})
def load(_context: Context, save: str, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Put the lab back to a save within seconds, from whatever state it is in.

    Example: ./inv lab.load before-upgrade
    """
    finish(surface.carry_out("load", save, topology=topology, name=name, as_json=json))


@task(help={**COMMON, **JSON})
def reset(_context: Context, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Put the lab back to how lab.up left it: loads the save `ready`.

    Example: ./inv lab.reset
    """
    finish(surface.carry_out("reset", topology=topology, name=name, as_json=json))


@task(help={**COMMON, **JSON})
def saves(_context: Context, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Show the saves of the lab: age, size of the memory, and whether they can be loaded.

    Example: ./inv lab.saves
    """
    finish(surface.carry_out("saves", topology=topology, name=name, as_json=json))


@task(positional=["save"], help={**COMMON, **JSON, **SAVE})
def forget(_context: Context, save: str, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Delete a save, also an incomplete one.

    Example: ./inv lab.forget before-upgrade
    """
    finish(surface.carry_out("forget", save, topology=topology, name=name, as_json=json))


@task(
    help={
        **COMMON,
        **JSON,
        "output": "directory to write to instead of build/<lab>/report, which lab.down removes",
        "programme": "only the drills of this programme of lab.drill study, with its table; latest for the newest",
        "power-offs": "power failures of each node in a year that the projections assume",
        "maintenances": "planned restarts of each node in a year that the projections assume",
    }
)
def report(
    _context: Context,
    topology: str = DEFAULT,
    name: str = "",
    *,
    output: str = "",
    programme: str = "",
    power_offs: float = 12.0,
    maintenances: float = 24.0,
    json: bool = False,
) -> None:
    """Draw the report on all drills of the lab: a page, tables against the study, plots, JSON, JUnit.

    Needs the records only, not the running lab. Ends with 0 also when drills in it failed.

    Examples: ./inv lab.report
              ./inv lab.report --output ~/drills-of-november
              ./inv lab.report --programme latest
    """
    rates = (power_offs, maintenances)
    finish(surface.carry_out("report", output, rates, programme, topology=topology, name=name, as_json=json))


@task(
    name="export",
    positional=["file"],
    help={
        **COMMON,
        **JSON,
        "file": "the file to write",
        "save": "save that the lab starts from there; else ready",
    },
)
def export_lab(
    _context: Context, file: str, save: str = "", topology: str = DEFAULT, name: str = "", json: bool = False
) -> None:
    """Write the lab with its saves into one compressed file, from which another machine starts it within seconds.

    A running lab stands still meanwhile. The file holds the lab's secrets.

    Example: ./inv lab.export lab.bundle
    """
    finish(surface.carry_out("export", file, save, topology=topology, name=name, as_json=json))


@task(
    name="import",
    positional=["file"],
    help={
        **JSON,
        "file": "a file that lab.export has written",
        "renew-secrets": "have the next lab.up replace all keys and passwords, which are in that file",
    },
)
def import_lab(_context: Context, file: str, *, renew_secrets: bool = False, json: bool = False) -> None:
    """Check a file of lab.export and take its lab in; the next lab.up of that lab starts from it.

    Examples: ./inv lab.import lab.bundle
              ./inv lab.import lab.bundle --renew-secrets
    """
    finish(surface.carry_out("import", file, renew_secrets, as_json=json))


@task(help={**COMMON, **JSON})
def renew(_context: Context, topology: str = DEFAULT, name: str = "", json: bool = False) -> None:
    """Replace all keys and passwords of the lab, and prove that the old ones are refused or gone.

    Services stop meanwhile, and saves are forgotten, because they hold the old ones. A lab that is halted or down is
    brought up first. Example: ./inv lab.renew
    """
    finish(surface.carry_out("renew", topology=topology, name=name, as_json=json))


TASKS: tuple[Any, ...] = (drill, report, audit, save_lab, load, reset, saves, forget, export_lab, import_lab, renew)
