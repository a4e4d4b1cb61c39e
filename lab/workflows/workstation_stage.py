"""What every step on the workstation works with: the user's shell, a log of what was typed, one deadline for all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.core.errors import LabError
from lab.core.proof.cases import Case
from lab.core.workstation import judgement, plan
from lab.doors.clock import Deadline
from lab.doors.process import Result, follow
from lab.doors.ssh import Shell
from lab.drivers.workstation_machine import Workstation

#: The remote side ends a little before this one stops waiting, so that nothing goes on unseen.
MARGIN_S = 15.0


@dataclass(frozen=True)
class Stage:
    """One step on the machine.

    Args:
        machine: the machine.
        shell: the user's shell.
        log: file with everything that is typed and printed in this step.
        deadline: of the step.
        wishes: what was asked for.
    """

    machine: Workstation
    shell: Shell
    log: Path
    deadline: Deadline
    wishes: plan.Wishes

    def typed(self, command: str) -> Result:
        """Type a command as the user, in the clone; what it prints goes into the log line by line.

        Raises:
            LabError: the step's time is over.
        """
        limit_s = self._limit_s()
        line = f"cd {plan.CLONE} && timeout -k 10 {limit_s:.0f} {command}"
        with self.log.open("a") as log:
            log.write(f"$ {command}\n")

            def keep(text: str) -> None:
                log.write(f"{text}\n")
                log.flush()

            argv = [*self.shell.argv("-o", "BatchMode=yes"), "--", line]
            result = follow(argv, timeout_s=limit_s + MARGIN_S, on_line=keep, cwd=self.shell.root)
            log.write(f"exit code {result.returncode} after {result.duration_s:.0f} s\n")
        return result

    def asked(self, command: str) -> Result:
        """Run a shell line as the user and keep the two outputs apart; both go into the log.

        Raises:
            LabError: the step's time is over.
        """
        limit_s = self._limit_s()
        result = self.shell.run(command, timeout_s=limit_s)
        with self.log.open("a") as log:
            log.write(f"$ {command}\n{result.stdout}{result.stderr}exit code {result.returncode}\n")
        return result

    def document(self, command: str) -> tuple[Result, Mapping[str, Any] | None]:
        """Type a command that prints JSON; the document is None when it did not."""
        result = self.asked(f"cd {plan.CLONE} && {command}")
        try:
            document = json.loads(result.stdout)
        except ValueError:
            return result, None
        return result, document if isinstance(document, dict) else None

    def look(self, looks: Mapping[str, str]) -> dict[str, frozenset[str]]:
        """Look at the machine.

        Args:
            looks: shell text by name, such as :data:`lab.core.workstation.judgement.TRACES`.
        """
        return {name: judgement.lines_of(self.asked(text).stdout) for name, text in looks.items()}

    def _limit_s(self) -> float:
        if self.deadline.passed():
            raise LabError(
                f"the step did not end within {self.deadline.allowed_s:.0f} s",
                remedy=f"See {self.log}; another run does the step again",
            )
        return max(20.0, self.deadline.remaining_s())


def command_case(name: str, result: Result) -> Case:
    """Whether a command ended well; with its last lines when not."""
    if result.ok:
        return Case(name, "passed", duration_s=result.duration_s)
    lines = tuple((result.stdout + result.stderr).strip().splitlines()[-25:])
    return Case(name, "failed", f"exit code {result.returncode}", lines, result.duration_s)


def fact_case(name: str, result: Result, expected: str) -> Case:
    """Whether a look printed what it should: every word of ``expected``, one a line."""
    found = judgement.lines_of(result.stdout)
    wanted = judgement.lines_of(expected)
    if result.ok and wanted <= found:
        return Case(name, "passed", "", tuple(sorted(found)), result.duration_s)
    return Case(name, "failed", f"not seen: {', '.join(sorted(wanted - found))}", tuple(sorted(found)))
