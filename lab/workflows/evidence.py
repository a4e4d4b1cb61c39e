"""What a failed run leaves below ``build/<lab>/logs``: journals, consoles and the cluster's own view."""

from __future__ import annotations

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.model import Node
from lab.doors import files
from lab.doors.process import masked
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import observe
from lab.workflows.session import Session

JOURNAL = "journalctl -b --no-pager -n 3000 -o short-precise"
#: The cluster with every operation that it remembers, and what each guest's QEMU costs.
CLUSTER = "crm_mon -1 -r -f -o -t -n; virsh -c qemu:///system list --all; top -b -n 1 | head -30"
#: Ends of the guests' consoles, which libvirt keeps on the node that runs the guest.
GUEST_CONSOLES = "tail -v -c 8000 /var/log/libvirt/qemu/*-console.log"
PROBLEMS_SHOWN = 12


def problems_seen(session: Session) -> list[str]:
    """What keeps the lab from being healthy at this moment, one line each; never raises."""
    try:
        problems = observe.look(session).problems(session.lab)
    except LabError as error:
        return [f"the cluster could not be looked at: {error.message}"]
    return [f"seen on the way out: {problem}" for problem in problems[:PROBLEMS_SHOWN]]


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
                commands = {"journal": JOURNAL, "cluster": CLUSTER, "guest-consoles": GUEST_CONSOLES}
                for what, command in commands.items():
                    said = session.shell(node).run(command, timeout_s=20 * session.lab.time_scale).stdout
                    if said:
                        kept.append(_write(session, f"{node.name}-{what}.txt", said))
        except LabError as error:
            session.reporter.note(f"{node.name}: nothing more could be kept: {error.message}")
        return kept

    return [name for names in session.on_each(session.lab.nodes, keep) for name in names]


def _write(session: Session, name: str, text: str) -> str:
    files.write_atomically(session.folder / "logs" / name, masked(text).encode(), files.SECRET_MODE)
    return name
