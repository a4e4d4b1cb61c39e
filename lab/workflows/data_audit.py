"""A thorough look at the data of a healthy lab: DRBD compares both copies, fsck.ocfs2 reads the file system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.core.drills.data_audits import (
    VERIFY_AUDIT,
    audit_copies,
    audit_structures,
    fsck_findings,
    verification_ended,
)
from lab.core.drills.record import AuditResult
from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.doors.clock import Deadline, now_s, wait_until
from lab.workflows import observe
from lab.workflows.opening import opened
from lab.workflows.options import Options
from lab.workflows.session import Session

#: Before the time scale. DRBD compares no faster than it resynchronises (drbd.conf(5), resync-rate).
VERIFY_LIMIT_S = 600.0
FSCK_LIMIT_S = 300.0
ASK_LIMIT_S = 60.0
#: A mounted file system is never quite still; see :func:`lab.core.drills.data_audits.audit_structures`.
FSCK_RUNS = 4


def audit(options: Options) -> Outcome:
    """Compare both copies of the data and check the shared file system, while the lab goes on.

    Raises:
        LabError: the lab is not healthy, or the looks do not come to an end.
    """
    started_s = now_s()
    with opened(options, "audit") as (session, _hypervisor):
        if problems := observe.look(session).problems(session.lab):
            raise LabError(
                f"the lab {session.lab.name} is not healthy, so its data cannot be compared",
                remedy="./inv lab.heal mends what it can",
                details=problems,
            )
        found = data_audits(session)
    ok = all(one.ok for one in found)
    seconds = now_s() - started_s
    verdict = "sound" if ok else "NOT sound; ./inv lab.reset goes back to data that was"
    return Outcome(
        "\n".join([f"Data of the lab {options.name or session.lab.name} ({seconds:.0f} s): {verdict}", *told(found)]),
        {
            "ok": ok,
            "lab": session.lab.name,
            "duration_s": round(seconds, 1),
            "audits": documents(found),
        },
        ok=ok,
    )


def told(found: Sequence[AuditResult]) -> list[str]:
    """The audits as lines for a person, each with its findings."""
    lines: list[str] = []
    for one in found:
        lines += [f"  {'ok    ' if one.ok else 'FAILED'} {one.name}", *(f"    {finding}" for finding in one.findings)]
    return lines


def documents(found: Sequence[AuditResult]) -> list[dict[str, Any]]:
    """The audits as they are in JSON."""
    return [{"name": one.name, "ok": one.ok, "findings": list(one.findings)} for one in found]


def data_audits_or_why_not(session: Session) -> list[AuditResult]:
    """As :func:`data_audits`, but a look that does not come to an end is an audit that fails."""
    try:
        return data_audits(session)
    except LabError as error:
        return [AuditResult(VERIFY_AUDIT, False, (error.message, *error.details))]


def data_audits(session: Session) -> list[AuditResult]:
    """Both audits of a lab that is open and healthy.

    Raises:
        LabError: a look did not come to an end, or a node cannot be asked.
    """
    with session.reporter.step("DRBD compares both copies"):
        copies = _compared(session)
    with session.reporter.step("fsck.ocfs2 reads the file system"):
        structures = _checked(session)
    return [copies, structures]


def _compared(session: Session) -> AuditResult:
    lab = session.lab
    first = session.shell(lab.nodes[0])
    since = dict(
        zip(
            lab.node_names,
            session.on_each(lab.nodes, lambda node: session.shell(node).succeed("date +@%s").strip()),
            strict=True,
        )
    )
    kernel: dict[str, str] = {}

    def ended() -> bool:
        texts = session.on_each(
            lab.nodes,
            lambda node: (
                session.shell(node)
                .run(
                    "journalctl --no-pager -k -o cat --since=%s | grep -F drbd%s || true",
                    since[node.name],
                    str(lab.storage.minor),
                    timeout_s=ASK_LIMIT_S * lab.time_scale,
                )
                .stdout
            ),
        )
        kernel.update(zip(lab.node_names, texts, strict=True))
        return verification_ended(kernel)

    first.succeed("drbdadm verify %s", lab.storage.resource, timeout_s=ASK_LIMIT_S * lab.time_scale)
    wait_until(
        ended,
        what="DRBD to have compared both copies",
        deadline=Deadline.after(VERIFY_LIMIT_S * lab.time_scale),
        interval_s=2 * lab.time_scale,
        remedy="./inv lab.status shows how far it is; ./inv lab.reset puts the lab back",
    )
    return audit_copies(lab, observe.look(session).nodes, kernel)


def _checked(session: Session) -> AuditResult:
    lab = session.lab
    node = lab.nodes[-1]
    runs: list[tuple[int, str]] = []
    for _ in range(FSCK_RUNS):
        # sync(2) commits the journals and writes what they hold to its place: the check does not replay them.
        session.on_each(lab.nodes, lambda each: session.shell(each).succeed("sync", timeout_s=120 * lab.time_scale))
        result = session.shell(node).run(
            # It asks whether it may read a mounted file system; with -n it says no to everything else.
            "echo y | fsck.ocfs2 -n -f /dev/drbd%s 2>&1",
            str(lab.storage.minor),
            timeout_s=FSCK_LIMIT_S * lab.time_scale,
        )
        runs.append((result.returncode, result.stdout))
        if result.returncode == 0 and not fsck_findings(result.stdout):
            break
    return audit_structures(node.name, runs)
