"""Waiting for the nodes: switched on, reachable, personalised by cloud-init without an error."""

from __future__ import annotations

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.model import Node
from lab.core.parsers.cloudinit import parse_result
from lab.doors.clock import Deadline, wait_until
from lab.drivers.hypervisor import Hypervisor
from lab.workflows.session import Session

BOOT_LIMIT_S = 150.0
CLOUD_INIT_LIMIT_S = 120.0
#: Below /run there is only a link to it, and that only after a boot with cloud-init, which is the first one.
RESULT = "/var/lib/cloud/data/result.json"


def wait_booted(session: Session, hypervisor: Hypervisor, node: Node) -> None:
    """Wait until a node answers ssh.

    Raises:
        WaitError: it was switched off meanwhile, or does not answer in time; with the last lines of its console.
    """
    domain = addressing.domain_name(session.lab.name, node.name)

    def hopeless() -> str:
        state = hypervisor.state(domain)
        return "" if state in ("running", "paused") else f"the node is {state}"

    with session.reporter.step("boot", node=node.name):
        try:
            session.shell(node).wait_reachable(Deadline.after(BOOT_LIMIT_S * session.lab.time_scale), hopeless)
        except LabError as error:
            raise LabError(
                f"{node.name} did not boot: {error.message}",
                remedy=f"Look at its console with ./inv lab.console {node.name}; ./inv lab.up tries again",
                details=hypervisor.console_tail(domain),
            ) from error


def wait_personalised(session: Session, node: Node) -> None:
    """Wait for cloud-init's own result.

    Raises:
        LabError: cloud-init reports errors, or does not end in time; with the stage and its last lines.
    """
    shell = session.shell(node)
    with session.reporter.step("cloud-init", node=node.name):

        def look() -> str | None:
            result = shell.asked(f"cat {RESULT}")
            return result.stdout if result is not None and result.ok and result.stdout.strip() else None

        def details() -> list[str]:
            words = "cloud-init status --long; tail -n 15 /var/log/cloud-init-output.log"
            status = shell.asked(words, timeout_s=60)
            return ["the node does not answer"] if status is None else (status.stdout + status.stderr).splitlines()

        text = wait_until(
            look,
            what=f"cloud-init of {node.name}",
            deadline=Deadline.after(CLOUD_INIT_LIMIT_S * session.lab.time_scale),
            interval_s=1.0,
            remedy=f"./inv lab.ssh {node.name} and look at /var/log/cloud-init.log",
            details=details,
        )
        result = parse_result(text)
        if result.errors:
            raise LabError(
                f"cloud-init of {node.name} ended with {len(result.errors)} error(s)",
                remedy=f"./inv lab.ssh {node.name} and look at /var/log/cloud-init.log",
                details=[*result.errors, *details()],
            )
