"""Pacemaker's own Cluster Test Suite against the lab, of the very version on its nodes; JUnit."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.model import Lab
from lab.core.outcome import Outcome
from lab.core.proof import cases as proof
from lab.core.proof import cts as suite
from lab.core.proof.cases import Case
from lab.doors import files
from lab.doors.process import ProcessError, masked
from lab.drivers import source_package
from lab.drivers.cluster_suite import Suite, laid_out
from lab.drivers.hypervisor import Hypervisor
from lab.drivers.lab_images import cache_folder, planned_images
from lab.workflows import observe
from lab.workflows.evidence import keep_evidence
from lab.workflows.fault_stage import Stage
from lab.workflows.heal import heal_now
from lab.workflows.opening import opened
from lab.workflows.options import ROOT, Options, load_lab
from lab.workflows.proof_results import FOLDER, outcome
from lab.workflows.session import Session

JUNIT_FILE = "cts.xml"
LOG_FILE = "cts.log"
DETAILS_FILE = "cts-details.log"
PACKAGE = "pacemaker"
#: Of one test; each stops and starts the whole cluster at least once. The suite has limits of its own within.
TEST_LIMIT_S = 1800.0
START_LIMIT_S = 120.0


def cts(options: Options, names: Sequence[str] = (), list_only: bool = False) -> Outcome:
    """Run the suite's tests once each, or list them; the lab is left healthy or with what is wrong.

    Args:
        options: which lab.
        names: the tests; all that are safe for this cluster without one.
        list_only: list the tests; needs the baked image of the nodes and no running lab.

    Raises:
        LabError: no such test (exit code 2), the suite cannot be had, or the lab is not healthy.
    """
    lab = load_lab(options)
    if list_only:
        ready = _suite(options, lab)
        return _listed(lab, ready)
    with opened(options, "cts") as (session, hypervisor):
        ready = _suite(options, session.lab, session)
        known = ready.listed(suite.list_arguments(lab.node_names))
        if unknown := [name for name in names if name not in known]:
            raise LabError(
                f"the suite has no test {', '.join(unknown)} for this cluster",
                remedy=f"Choose from: {', '.join(known)}",
                exit_code=2,
            )
        if problems := observe.look(session).problems(session.lab):
            raise LabError(
                f"the lab {lab.name} is not healthy, so a test would prove nothing",
                remedy="./inv lab.status shows it; ./inv lab.heal mends what it can",
                details=problems,
            )
        wanted = tuple(names) or known
        found = [*_run(session, ready, wanted, picked=bool(names)), _healed(session, hypervisor)]
        found += [Case(name, "skipped", "not asked for") for name in known if name not in wanted]
        return outcome(
            session,
            "Pacemaker's Cluster Test Suite",
            [*found, *_left_out(lab, ready, known)],
            junit_file=JUNIT_FILE,
        )


def pacemaker_version(lab: Lab) -> str:
    """Version of Pacemaker in the image of the nodes, by its manifest.

    Raises:
        LabError: the image is not baked here, has no such manifest, or the nodes differ.
    """
    found: set[str] = set()
    for volume in planned_images(lab).node_volume.values():
        path = (cache_folder() / volume).with_suffix(".json")
        try:
            packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
        except (OSError, ValueError, KeyError) as error:
            raise LabError(
                f"the manifest of the nodes' image cannot be read: {path.name}",
                remedy="./inv lab.bake makes the image; one from elsewhere has no list of packages",
            ) from error
        found |= {version for name, version in packages.items() if name.split(":")[0] == PACKAGE}
    if len(found) != 1:
        raise LabError(f"the nodes have {len(found)} versions of {PACKAGE}", remedy="Give both nodes the same image")
    return found.pop()


def _suite(options: Options, lab: Lab, session: Session | None = None) -> Suite:
    report = session.reporter.note if session else (lambda _step: None)
    source = source_package.unpacked(PACKAGE, pacemaker_version(lab), report=report)
    folder = options.build / lab.name
    return laid_out(
        source,
        folder / FOLDER / "suite",
        addresses={node.name: str(addressing.node_management_ip(lab, node)) for node in lab.nodes},
        ssh_config=folder / "ssh_config",
        ssh_root=ROOT,
    )


def _run(session: Session, ready: Suite, wanted: Sequence[str], *, picked: bool) -> tuple[Case, ...]:
    details = session.folder / FOLDER / DETAILS_FILE
    details.unlink(missing_ok=True)
    arguments = suite.run_arguments(session.lab.node_names, wanted if picked else (), str(details.absolute()))

    def tell(line: str) -> None:
        if "Running test" in line or "FAILED" in line:
            session.reporter.note(line.partition("\t")[2] or line)

    with session.reporter.step(f"{len(wanted)} tests of Pacemaker's suite"):
        try:
            result = ready.run(arguments, timeout_s=TEST_LIMIT_S * len(wanted), on_line=tell)
            text, code = result.stdout, result.returncode
        except ProcessError as error:
            # Past the deadline: what it had found until then is told, and that it did not end.
            text, code = error.result.stdout, error.result.returncode
    path = session.folder / FOLDER / LOG_FILE
    files.write_atomically(path, masked(text).encode(), files.SECRET_MODE)
    return suite.parse_log(text, code)


def _healed(session: Session, hypervisor: Hypervisor) -> Case:
    """The suite stops the cluster when it is done; here it is started again."""
    name = "the lab is healthy again"
    limit_s = START_LIMIT_S * session.lab.time_scale
    try:
        session.on_each(
            session.lab.nodes,
            lambda node: session.shell(node).run("systemctl start corosync pacemaker", timeout_s=limit_s),
        )
        return Case(name, "passed", "", tuple(heal_now(Stage(session, hypervisor))))
    except LabError as error:
        kept = keep_evidence(session, hypervisor)
        return Case(name, "failed", error.message, (*error.details, *(f"kept: {one}" for one in kept)))


def _left_out(lab: Lab, ready: Suite, known: Sequence[str]) -> tuple[Case, ...]:
    lists = {
        reason: ready.listed(suite.list_arguments(lab.node_names, options))
        for reason, options in suite.LEFT_OUT.items()
    }
    return suite.left_out_cases(known, lists)


def _listed(lab: Lab, ready: Suite) -> Outcome:
    known = ready.listed(suite.list_arguments(lab.node_names))
    left = _left_out(lab, ready, known)
    lines = [
        f"Pacemaker {pacemaker_version(lab)}, its Cluster Test Suite, {len(known)} tests for lab {lab.name}:",
        *(f"  {name}" for name in known),
        "Left out:",
        *(f"  {case.name}: {case.message}" for case in left),
        "Tests that need more than two nodes are not listed by the suite.",
    ]
    return Outcome("\n".join(lines), {"tests": list(known), "left_out": proof.document(left)})
