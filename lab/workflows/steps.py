"""Steps on nodes: a check and a change, both shell text; a change is made only where the check fails."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass

from lab.core.errors import LabError
from lab.doors.ssh import RemoteError, Shell
from lab.workflows.session import Session

#: Where nodes keep their locks (hier(7)); one for each step.
LOCKS = "/run/lock"


@dataclass(frozen=True)
class Step:
    """One idempotent step.

    Args:
        name: as a person would say it.
        check: shell text; exit code 0 when nothing is to be done.
        change: shell text that makes the check succeed.
        timeout_s: deadline of the change, before the lab's time scale.
        remedy: what to try when it fails.
    """

    name: str
    check: str
    change: str
    timeout_s: float = 30.0
    remedy: str = ""


def script(steps: list[Step]) -> str:
    """Several steps as one shell script, so that a slow node pays for one login and one shell.

    The script prints ``done NAME`` for each change, ``failed NAME`` before the output of one that failed. A change ends
    at its first command that fails. A step waits for the same step of another run: a run that was killed leaves its
    script at work on the node, and two changes at once would disturb each other.
    """
    lines = ["set -u", "export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive"]
    for step in steps:
        name = shlex.quote(step.name)
        lock = f"{LOCKS}/lab-step-{hashlib.sha256(step.name.encode()).hexdigest()[:12]}"
        lines += [
            # What the change starts inherits the lock, so it is held for as long as anything is still at work.
            f"exec 9>{shlex.quote(lock)}; flock 9",
            f"if ! ( {step.check}\n) >/dev/null 2>&1 </dev/null; then",
            # A plain assignment: as part of `... || ...` or `if ...` bash would not heed `set -e` in there.
            f"  output=$( ( set -e\n{step.change}\n) 2>&1 </dev/null)",
            "  status=$?",
            f"  if [ $status -ne 0 ]; then printf 'failed %s\\n%s\\n' {name} \"$output\"; exit 1; fi",
            f"  printf 'done %s\\n' {name}",
            "fi",
            "exec 9>&-",
        ]
    return "\n".join(lines) + "\n"


def carry_out(session: Session, shell: Shell, steps: list[Step]) -> list[str]:
    """Carry out steps on one host, in order; returns the names of those that changed something.

    Raises:
        LabError: a step failed; with host, step, last output and remedy.
    """
    limit_s = sum(step.timeout_s for step in steps) * session.lab.time_scale
    result = shell.run("bash -s", stdin=script(steps).encode(), timeout_s=limit_s)
    lines = result.stdout.splitlines()
    done = [line.removeprefix("done ") for line in lines if line.startswith("done ")]
    if result.ok:
        return done
    failed = next((line.removeprefix("failed ") for line in lines if line.startswith("failed ")), "")
    step = next((each for each in steps if each.name == failed), None)
    if step is None:
        raise RemoteError(shell.host, "bash -s", result)
    output = lines[lines.index(f"failed {failed}") + 1 :] + result.stderr.splitlines()
    raise LabError(
        f"{shell.host}: {step.name} failed",
        remedy=step.remedy or f"./inv lab.ssh {shell.host} and try the command; ./inv lab.up goes on from there",
        details=[f"command: {' '.join(step.change.split())[:300]}", *output[-20:]],
    )
