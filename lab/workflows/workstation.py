"""The emulated workstation from end to end: what has passed is kept, what has not is done, nothing goes on running."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.core.proof import cases as proof
from lab.core.proof.cases import Case
from lab.core.workstation import plan
from lab.core.workstation.plan import Step, Wishes
from lab.doors import files
from lab.doors.clock import Deadline, now_s
from lab.doors.process import run
from lab.doors.progress import Reporter, open_reporter
from lab.drivers import bakery, lab_images
from lab.drivers import workstation_machine as machines
from lab.drivers.image_cache import BakedImage
from lab.drivers.workstation_machine import Workstation
from lab.workflows.bake import bake_lab
from lab.workflows.options import ROOT, Options, shown_path
from lab.workflows.workstation_stage import Stage
from lab.workflows.workstation_steps import ACTIONS, put_clone, smoke_lab

#: No lab can bear the name, it is longer than ten characters.
NAME = "workstation"
RECIPES = ROOT / "tests" / "workstation" / "recipes"
SUITE = "the emulated workstation"
#: What is fetched from the machine after a failure, from its clone.
EVIDENCE = "tar -C ha-lab -cf - --exclude='*/secrets' --exclude='*.iso' build 2>/dev/null"


@dataclass
class Progress:
    """What has been passed on a machine, and on what; kept in ``state.json``.

    Args:
        image: what the machine's disk is based on.
        commit: of the clone that is on it.
        steps: for each step that was done its cases, and the commit it was done with.
    """

    image: str = ""
    commit: str = ""
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    def passed(self) -> list[str]:
        """Names of the steps that have passed."""
        return [name for name, step in self.steps.items() if step["ok"]]

    def cases(self) -> list[Case]:
        """Every case of every step, in the order of the steps."""
        found = []
        for name in plan.STEP_NAMES:
            for case in self.steps.get(name, {}).get("cases", ()):
                known = {**case, "name": f"{name}: {case['name']}", "lines": tuple(case["lines"])}
                found.append(Case(**known))
        return found


def workstation(options: Options, wishes: Wishes) -> Outcome:
    """Do the steps that are due on the machine of a suite, up to the first that fails.

    Args:
        options: where things are built.
        wishes: which machine, and which steps.

    Raises:
        LabError: the machine cannot be made or does not come up, or another run works on it.
    """
    folder = (options.build / NAME / wishes.suite).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / "lock", busy="another run is working on this workstation"):
        kept = files.read_json(folder / "state.json")
        progress = Progress(**kept) if isinstance(kept, dict) else Progress()
        steps = plan.due(wishes, progress.passed())
        reporter = open_reporter(options.build, NAME, NAME)
        try:
            _carry_out(folder, wishes, steps, progress, reporter)
        finally:
            reporter.close()
        return _outcome(folder, wishes, steps, progress)


def _carry_out(folder: Path, wishes: Wishes, steps: Sequence[Step], progress: Progress, reporter: Reporter) -> None:
    names = {step.name for step in steps}
    source = bakery.load_recipe(NAME, suite=wishes.suite, recipes=RECIPES)
    if "bake" in names:
        started_s = now_s()
        with reporter.step("bake"):
            image = _bake(folder, wishes, source, reporter)
        case = Case("the images are there", "passed", "", (image.root.name,), now_s() - started_s)
        _note(folder, progress, "bake", [case], "")
    found = bakery.find_baked(source, lab_images.cache_folder())
    if found is None:
        raise LabError("the image of the workstation is not baked", remedy="Do the step bake first")
    if not names - {"bake"}:
        return
    machine = Workstation(folder, found)
    if "boot" in names:
        machines.make(machine, wishes.suite)
        baked = progress.steps.get("bake")
        progress.image, progress.commit, progress.steps = source.stem, "", {"bake": baked} if baked else {}
    elif progress.image != source.stem or not machines.has_snapshot(machine):
        raise LabError(
            "there is no machine that a step could begin on, or its image has changed",
            remedy="Leave out --steps, or begin with --fresh",
        )
    _on_machine(machine, wishes, [step for step in steps if step.on_machine], progress, reporter)


def _bake(folder: Path, wishes: Wishes, source: bakery.RecipeSource, reporter: Reporter) -> BakedImage:
    """The machine's image, and the lab's as a disk of their own (an empty one when they are to be baked inside)."""
    image = bakery.bake(source, lab_images.cache_folder(), report=lambda _name, step: reporter.note(step))
    handed: list[BakedImage] = []
    store: list[Path] = []
    if not wishes.bake_inside:
        lab = smoke_lab()
        handed = bake_lab(lab, reporter)
        volume = lab_images.planned_images(lab).guest_store_volume
        store = [lab_images.cache_folder() / volume]
    machines.pack_images(handed, store, folder / "images.tar")
    return image


def _on_machine(
    machine: Workstation, wishes: Wishes, steps: Sequence[Step], progress: Progress, reporter: Reporter
) -> None:
    folder = machine.folder
    (folder / "logs").mkdir(exist_ok=True)
    disks = {"seed": folder / "seed.tar", "images": folder / "images.tar"}
    for processor, group in groupby(steps, lambda step: step.processor):
        reporter.note(f"the machine is switched on{', with another processor' if processor else ''}")
        with machines.running(machine, disks, processor) as shell:
            for step in group:
                deadline = Deadline.after(plan.limit_s(step, wishes))
                stage = Stage(machine, shell, folder / "logs" / f"{step.name}.log", deadline, wishes)
                if not _carry_out_one(step, stage, progress, reporter):
                    return


def _carry_out_one(step: Step, stage: Stage, progress: Progress, reporter: Reporter) -> bool:
    stage.log.unlink(missing_ok=True)
    if progress.commit != _commit():
        progress.commit = put_clone(stage)
    with reporter.step(f"{step.name}: {step.what}"):
        cases = _one(step, stage)
    _note(stage.machine.folder, progress, step.name, cases, progress.commit)
    if not proof.proven(cases):
        _keep_evidence(stage)
        return False
    if not step.processor:
        with reporter.step("save the machine"):
            # A later step may boot from the disk.
            stage.shell.succeed("sync", timeout_s=120)
            machines.save(stage.machine)
    return True


def _one(step: Step, stage: Stage) -> list[Case]:
    started_s = now_s()
    try:
        return ACTIONS[step.name](stage)
    except LabError as error:
        lines = (*error.details, *machines.console_tail(stage.machine))
        return [Case(f"the step {step.name}", "failed", error.message, lines, now_s() - started_s)]


def _commit() -> str:
    return run(["git", "rev-parse", "HEAD"], timeout_s=20, cwd=ROOT, check=False).stdout.strip()


def _keep_evidence(stage: Stage) -> None:
    """What the project wrote on the machine, as a tar beside the logs; best effort, the failure is told anyway."""
    argv = [*stage.shell.argv("-o", "BatchMode=yes"), "--", f"{EVIDENCE} | base64"]
    with suppress(LabError):
        result = run(argv, timeout_s=120, cwd=stage.shell.root)
        files.write_atomically(stage.log.with_suffix(".tar"), base64.b64decode(result.stdout))


def _note(folder: Path, progress: Progress, step: str, cases: Sequence[Case], commit: str) -> None:
    progress.steps[step] = {"ok": proof.proven(cases), "commit": commit, "cases": proof.document(cases)}
    files.write_json(folder / "state.json", vars(progress))
    files.write_atomically(folder / "junit.xml", proof.junit_text(SUITE, progress.cases()).encode())


def _outcome(folder: Path, wishes: Wishes, steps: Sequence[Step], progress: Progress) -> Outcome:
    missing = [step.name for step in plan.EXPECTED if step.name not in progress.passed()]
    done = [step.name for step in steps]
    ok = all(progress.steps.get(name, {}).get("ok") for name in done)
    handed = "baked on the machine" if wishes.bake_inside else "handed in from this host, not baked on the machine"
    lines = [
        f"Workstation of Debian {wishes.suite}, commit {progress.commit[:12] or 'none'}:",
        *proof.told(progress.cases()),
        f"The lab's images: {handed}.",
        f"Not passed yet: {', '.join(missing)}." if missing else "All steps have passed.",
        f"JUnit file, logs and console: {shown_path(folder)}",
    ]
    document = {"ok": ok, "suite": wishes.suite, "images": handed, "missing": missing, "steps": progress.steps}
    return Outcome("\n".join(lines), document, ok=ok)
