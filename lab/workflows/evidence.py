"""What a failed run leaves for inspection: the nodes' journals and consoles, below ``build/<lab>/logs``."""

from __future__ import annotations

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.model import Node
from lab.doors import files
from lab.doors.process import masked
from lab.drivers.hypervisor import Hypervisor
from lab.workflows.session import Session

JOURNAL = "journalctl -b --no-pager -n 3000 -o short-precise"


def keep_evidence(session: Session, hypervisor: Hypervisor) -> list[str]:
    """Fetch journals and consoles of all nodes as far as they can be had; returns the names of the files.

    Never raises: it is called while another error is on its way to the person.
    """

    def keep(node: Node) -> list[str]:
        kept = []
        domain = addressing.domain_name(session.lab.name, node.name)
        try:
            console = hypervisor.console_tail(domain, lines=400)
            if console:
                kept.append(_write(session, f"{node.name}-console.txt", "\n".join(console)))
            if hypervisor.state(domain) == "running":
                journal = session.shell(node).run(JOURNAL, timeout_s=20 * session.lab.time_scale)
                if journal.stdout:
                    kept.append(_write(session, f"{node.name}-journal.txt", journal.stdout))
        except LabError as error:
            session.reporter.note(f"{node.name}: nothing more could be kept: {error.message}")
        return kept

    return [name for names in session.on_each(session.lab.nodes, keep) for name in names]


def _write(session: Session, name: str, text: str) -> str:
    files.write_atomically(session.folder / "logs" / name, masked(text).encode(), files.SECRET_MODE)
    return name
