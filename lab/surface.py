"""What every task has in common: find the workflow, print its result, turn errors into messages and exit codes."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, get_args

from lab.core.acceleration import Wanted
from lab.core.errors import LabError
from lab.core.model import Driver
from lab.core.outcome import Outcome
from lab.doors.process import masked
from lab.workflows.options import Options, known_topology, load_lab, resolve_topology, shown_path

INTERRUPTED_CODE = 130
INTERRUPTED = {
    "up": "Interrupted. `./inv lab.up` continues, `./inv lab.down` removes everything.",
    "down": "Interrupted. `./inv lab.down` continues.",
    "drill": "Interrupted. The lab is as the drill left it; `./inv lab.status` shows it, `./inv lab.up` mends it.",
    "audit": "Interrupted. The lab goes on; DRBD may still compare for a while.",
    "campaign": "Interrupted. `./inv lab.heal` takes back what was made; the same seed begins it again.",
    "study": "Interrupted. `./inv lab.heal` mends the lab, `./inv lab.drill study --resume` continues.",
    "crash-test": "Interrupted. `./inv lab.heal` mends the lab; no verdict was written.",
    "cts": "Interrupted. The suite may have stopped the cluster; `./inv lab.heal` mends the lab.",
    "fault": "Interrupted. `./inv lab.heal` takes back what was made.",
    "heal": "Interrupted. `./inv lab.heal` continues.",
    "save": "Interrupted. The save is not kept; `./inv lab.saves` shows those that there are.",
    "load": "Interrupted. `./inv lab.load` with the same name does it again.",
    "reset": "Interrupted. `./inv lab.reset` does it again.",
    "export": "Interrupted. No file was written, and the lab goes on.",
    "import": "Interrupted. Nothing was taken in.",
    "renew": "Interrupted. `./inv lab.up` or `./inv lab.renew` continues; old and new keys both reach the nodes.",
    "bake": "Interrupted. `./inv lab.bake` continues; finished images are kept.",
    "workstation": "Interrupted; the machine is off. `./inv test.workstation` does the interrupted step again.",
}
#: No topology given: the one that the lab was built from, else the default one.
DEFAULT_TOPOLOGY = ""

#: Where each verb's workflow is; found when it is needed, so that `--list` loads none of them.
WORKFLOWS = {
    "audit": "lab.workflows.data_audit:audit",
    "bake": "lab.workflows.bake:bake_all",
    "box": "lab.workflows.box:box",
    "campaign": "lab.workflows.campaign:campaign",
    "console": "lab.workflows.access:console",
    "crash-test": "lab.workflows.crash_test:crash_test",
    "cts": "lab.workflows.cts:cts",
    "doctor": "lab.workflows.doctor:doctor",
    "down": "lab.workflows.down:down",
    "drill": "lab.workflows.drill:drill",
    "export": "lab.workflows.bundle_export:export",
    "fault": "lab.workflows.fault:fault",
    "faults": "lab.workflows.fault:faults",
    "forget": "lab.workflows.snapshot:forget",
    "halt": "lab.workflows.halt:halt",
    "heal": "lab.workflows.heal:heal",
    "import": "lab.workflows.bundle_import:import_bundle",
    "list": "lab.workflows.listing:list_labs",
    "load": "lab.workflows.snapshot:load",
    "prune": "lab.workflows.prune:prune",
    "render": "lab.workflows.render:render",
    "renew": "lab.workflows.renew:renew",
    "reset": "lab.workflows.snapshot:reset",
    "save": "lab.workflows.snapshot:save",
    "saves": "lab.workflows.snapshot:saves",
    "report": "lab.workflows.report:report",
    "schema": "lab.workflows.schema:schema",
    "ssh": "lab.workflows.access:ssh",
    "status": "lab.workflows.status:status",
    "study": "lab.workflows.programme:study",
    "traffic": "lab.workflows.traffic:traffic",
    "up": "lab.workflows.up:up",
    "verify": "lab.workflows.verify:verify",
    "workstation": "lab.workflows.workstation:workstation",
}
WITHOUT_LIBVIRT = ("faults", "render", "report", "schema", "bake", "workstation")


def workflow(verb: str) -> Callable[..., Any]:
    """The function behind a verb.

    Raises:
        LabError: it is not part of this version.
    """
    module_name, _, function = WORKFLOWS[verb].partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), function)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise LabError(f"lab.{verb} is not part of this version", remedy="./inv --list shows what is") from error
    return found


def options_from(
    topology: str = DEFAULT_TOPOLOGY, name: str = "", accel: str = "auto", secrets: str = "", driver: str = ""
) -> Options:
    """The options as workflows get them.

    Raises:
        LabError: one of them cannot be meant (exit code 2).
    """
    if accel not in get_args(Wanted):
        choices = ", ".join(get_args(Wanted))
        raise LabError(f"--accel {accel} is not known", remedy=f"Use one of: {choices}", exit_code=2)
    if driver and driver not in get_args(Driver):
        choices = ", ".join(get_args(Driver))
        raise LabError(f"--driver {driver} is not known", remedy=f"Use one of: {choices}", exit_code=2)
    directory = Path(secrets).expanduser() if secrets else None
    if directory is not None and not directory.is_dir():
        raise LabError(
            f"--secrets {secrets} is not a directory", remedy="Give the directory of the secrets", exit_code=2
        )
    wanted: Any = accel
    by: Any = driver
    document = resolve_topology(topology) if topology else known_topology(name)
    return Options(topology=document, name=name, accelerator=wanted, secrets=directory, driver=by)


def carry_out(verb: str, *arguments: Any, as_json: bool = False, **given: str) -> int:
    """Run a verb's workflow to its end and print what comes of it.

    Args:
        verb: one of :data:`WORKFLOWS`.
        arguments: what the workflow takes after the options.
        as_json: print the document instead of the text.
        given: the common options as they were typed; see :func:`options_from`.

    Returns:
        The exit code of the command.
    """
    options: Options | None = None
    try:
        options = options_from(**given)
        if verb not in WITHOUT_LIBVIRT:
            start_libvirt()
        result = workflow(verb)(options, *arguments)
    except KeyboardInterrupt:
        print("\n" + INTERRUPTED.get(verb, "Interrupted."), file=sys.stderr)
        return INTERRUPTED_CODE
    except LabError as error:
        print_error(error, sys.stderr)
        return error.exit_code
    except Exception as error:  # the last resort: a person gets a sentence, the log gets the traceback
        return print_crash(error, options, sys.stderr)
    return print_result(result, sys.stdout, as_json=as_json)


def refuse(error: LabError) -> int:
    """Print an error of the command line itself; returns its exit code."""
    print_error(error, sys.stderr)
    return error.exit_code


def start_libvirt() -> None:
    """Start libvirt on this host unless it runs, and say so.

    Raises:
        LabError: it cannot be started.
    """
    from lab.drivers import libvirt_service  # noqa: PLC0415

    if libvirt_service.open_kvm_device():
        print("/dev/kvm was for root only and is now for the group kvm too, as udev would have it.", file=sys.stderr)
    if libvirt_service.ensure_running():
        print("libvirt was not running and has been started.", file=sys.stderr)


def print_result(result: Any, stream: TextIO, *, as_json: bool) -> int:
    """Print an :class:`Outcome`; an exit code or None is passed on as it is. Returns the exit code."""
    if not isinstance(result, Outcome):
        return int(result or 0)
    text = json.dumps(result.document, indent=2, ensure_ascii=False) if as_json else result.text
    if text:
        _print(text, stream)
    return 0 if result.ok else 1


def _print(text: str, stream: TextIO) -> None:
    """Print a text; a reader who has had enough of it, such as ``head``, is no mistake.

    What is left in the stream would fail once more when the interpreter ends, so it goes to nowhere (Python's library
    reference, signal, "Note on SIGPIPE").
    """
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def print_error(error: LabError, stream: TextIO) -> None:
    """The error, its remedy, and its details indented; secrets masked, no traceback."""
    lines = [f"Error: {error.message}", *(f"    {line}" for line in error.details)]
    if error.remedy:
        lines.append(f"What to try: {error.remedy}.".replace("..", "."))
    print(masked("\n".join(lines)), file=stream)


def print_crash(error: Exception, options: Options | None, stream: TextIO) -> int:
    """A short message about a mistake in the program itself; its traceback goes to ``build/<lab>/crash.log``."""
    text = masked("".join(traceback.format_exception(error)))
    print(masked(f"Error: unexpected {type(error).__name__}: {error}"), file=stream)
    path = _crash_log(options or Options())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError:
        print(text, file=stream)
    else:
        print(
            f"This is a mistake in the program, not in what you did. The traceback is in {shown_path(path)}.",
            file=stream,
        )
    return 1


def _crash_log(options: Options) -> Path:
    name = options.name
    if not name:
        try:
            name = load_lab(options).name
        except Exception:  # whatever is wrong there must not hide the mistake that is being told
            return options.build / "crash.log"
    return options.build / Path(name).name / "crash.log"


__all__ = ["WORKFLOWS", "carry_out", "options_from", "print_error", "print_result", "start_libvirt", "workflow"]
