"""crmsh's own crash test on a node, with a look from outside at who was really fenced; JUnit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from lab.core.drills.catalogue import Order, planned
from lab.core.errors import LabError
from lab.core.model import Node
from lab.core.outcome import Outcome
from lab.core.proof import crash_test as tests
from lab.core.proof.cases import Case
from lab.core.proof.crash_test import Seen, Test, Told
from lab.doors import files
from lab.doors.clock import Deadline, now_s, pause, wait_until
from lab.doors.process import ProcessError, masked
from lab.drivers.domain_events import DomainEvents
from lab.workflows import observe
from lab.workflows.evidence import keep_evidence
from lab.workflows.fault_stage import BOOT_LIMIT_S, Stage
from lab.workflows.heal import heal_now
from lab.workflows.opening import opened
from lab.workflows.options import Options, load_lab
from lab.workflows.proof_results import FOLDER, keep, outcome
from lab.workflows.session import Session

SUITE = "crm cluster crash_test"
JUNIT_FILE = "crash-test.xml"
LOG_FILE = "crash-test.log"
#: The program waits for a fencing as long as the cluster's own limit, 60 s without one.
PROGRAM_LIMIT_S = 180.0
#: A node that is silent for so long went down under the program.
SILENCE_S = 20.0
#: Where nobody is to be fenced, so long is waited for whether somebody is.
CALM_S = 20.0
ASK_LIMIT_S = 20.0
PACEMAKERD = "systemctl show --property MainPID --value pacemaker.service"


def crash_test(options: Options, names: Sequence[str] = (), node: str = "") -> Outcome:
    """Make crmsh's tests one after the other, each on a healthy lab, and judge them by what was seen from outside.

    Args:
        options: which lab.
        names: the tests; all without one.
        node: on which node the program runs; the first one when empty, which wins a duel.

    Raises:
        LabError: no such test or node (exit code 2), or the lab is not healthy before the first one.
    """
    wanted = tests.chosen(names)
    (target,) = planned(load_lab(options), Order("reboot", node))
    with opened(options, "crash-test") as (session, hypervisor):
        if session.lab.fencing.method == "none":
            raise LabError(
                "crash_test refuses a cluster without fencing", remedy="Build the lab with fencing", exit_code=2
            )
        if problems := observe.look(session).problems(session.lab):
            raise LabError(
                f"the lab {session.lab.name} is not healthy, so a test would prove nothing",
                remedy="./inv lab.status shows it; ./inv lab.heal mends what it can",
                details=problems,
            )
        found = _all(Stage(session, hypervisor), wanted, target.node)
        return outcome(session, SUITE, found, junit_file=JUNIT_FILE, on=target.node.name)


def _all(stage: Stage, wanted: Sequence[Test], runner: Node) -> list[Case]:
    found: list[Case] = []
    for place, test in enumerate(wanted):
        stage.session.reporter.note(f"{place + 1} of {len(wanted)}: crash_test {test.name} on {runner.name}")
        own, well = _one(stage, test, runner)
        found += own
        keep(stage.session, SUITE, found, junit_file=JUNIT_FILE)
        if not well:
            found += [
                Case(later.name, "skipped", f"not made, because {test.name} did not leave a healthy lab")
                for later in wanted[place + 1 :]
            ]
            break
    return found + [Case(name, "skipped", why) for name, why in tests.LEFT_OUT.items()]


def _one(stage: Stage, test: Test, runner: Node) -> tuple[list[Case], bool]:
    """The cases of one test, and whether the lab is healthy after it."""
    session = stage.session
    other = next(node for node in session.lab.nodes if node.name != runner.name)
    before = _boot_ids(session)
    filters = _filters(session)
    daemon = _pacemakerd(session, runner)
    started_s = now_s()
    healed = Case(f"{test.name}: the lab is healthy again", "passed")
    with DomainEvents() as events:
        with session.reporter.step(f"crash_test {test.name}", node=runner.name):
            returncode, output = _program(session, test, runner, other)
            took_s = now_s() - started_s
            _wait_seen(session, test, before)
        try:
            undone = heal_now(stage)
            healed = Case(healed.name, "passed", "", tuple(undone), now_s() - started_s - took_s)
        except LabError as error:
            kept = keep_evidence(session, stage.hypervisor)
            healed = Case(healed.name, "failed", error.message, (*error.details, *(f"kept: {one}" for one in kept)))
        off = {event.domain for event in events.events if event.event in ("stopped", "crashed")}
    told = _results(session, runner)
    after = _boot_ids(session)
    now = _pacemakerd(session, runner)
    seen = Seen(
        runner.name,
        other.name,
        tuple(name for name, identifier in before.items() if after[name] not in ("", identifier)),
        tuple(node.name for node in session.lab.nodes if stage.domain(node) in off),
        tuple(f"{name}: {line}" for name, lines in _filters(session).items() for line in lines - filters[name]),
        (now != daemon and bool(now)) if test.name == "kill-pacemakerd" else None,
    )
    _keep_log(session, test, output)
    _asked(session, runner, f"rm -rf {tests.SHIM_FOLDER}")
    own = tests.own_case(test, told, returncode, took_s, seen.rebooted)
    agreement = tests.agreement_case(test, told, seen)
    found = [own, tests.outside_case(test, seen), *([agreement] if agreement else []), healed]
    return found, healed.verdict == "passed"


def _program(session: Session, test: Test, runner: Node, other: Node) -> tuple[int | None, str]:
    """Exit code, or None when it was cut off, and what it printed."""
    shell = session.shell(runner)
    scale = session.lab.time_scale
    try:
        shell.succeed("mkdir -p %s", tests.SHIM_FOLDER)
        shell.put(tests.SHIM.encode(), f"{tests.SHIM_FOLDER}/{tests.SHIM_NAME}", mode="0755")
        result = shell.run_alone(
            tests.command(test, other.name), timeout_s=PROGRAM_LIMIT_S * scale, silence_s=round(SILENCE_S * scale)
        )
    except ProcessError as error:
        shell.close()
        return None, error.result.stdout + error.result.stderr
    if result.returncode in tests.LOST:
        shell.close()
    return result.returncode, result.stdout + result.stderr


def _wait_seen(session: Session, test: Test, before: dict[str, str]) -> None:
    """Wait until somebody has booted again and all nodes answer; that nobody did is for the judgement to say."""
    scale = session.lab.time_scale
    if test.fenced == "nobody":
        pause(CALM_S * scale)
        return

    def seen() -> bool:
        now = _boot_ids(session)
        return all(now.values()) and now != before

    with suppress(LabError):
        wait_until(seen, what="a node to boot again", deadline=Deadline.after(BOOT_LIMIT_S * scale), interval_s=2.0)


def _asked(session: Session, node: Node, line: str) -> str:
    """What a node answers to a look, empty when it does not."""
    shell = session.shell(node)
    result = shell.asked(line, timeout_s=ASK_LIMIT_S * session.lab.time_scale)
    if result is None:
        shell.close()
    return result.stdout.strip() if result is not None and result.ok else ""


def _boot_ids(session: Session) -> dict[str, str]:
    found = session.on_each(
        session.lab.nodes, lambda node: _asked(session, node, "cat /proc/sys/kernel/random/boot_id")
    )
    return dict(zip(session.lab.node_names, found, strict=True))


def _filters(session: Session) -> dict[str, set[str]]:
    """The dropping rules of the nodes' packet filters, which the program makes and takes back."""
    found = session.on_each(
        session.lab.nodes,
        lambda node: set(_asked(session, node, "iptables -S | grep -w DROP").splitlines()),
    )
    return dict(zip(session.lab.node_names, found, strict=True))


def _pacemakerd(session: Session, node: Node) -> str:
    return _asked(session, node, PACEMAKERD)


def _results(session: Session, runner: Node) -> Told:
    return tests.parse_results(_asked(session, runner, f"cat {tests.RESULT_FILE}"))


def _keep_log(session: Session, test: Test, output: str) -> None:
    path = session.folder / FOLDER / LOG_FILE.replace(".log", f"-{test.name}.log")
    files.write_atomically(path, masked(output).encode(), files.SECRET_MODE)
