"""A guest that runs for its node and serves nobody: what is known of it is kept, and a dead one is reset once.

Pacemaker's agent asks libvirt whether a guest's QEMU runs (``VirtualDomain``, monitor), so a kernel that hangs stays
started for ever. Whoever waits for the guest looks closer.
"""

from __future__ import annotations

from lab.core.model import Guest, Node
from lab.doors import files
from lab.doors.process import masked
from lab.workflows import observe
from lab.workflows.options import shown_path
from lab.workflows.session import Session

#: The state with its reason, what QEMU has consumed, and the end of what the kernel said.
_OUTSIDE = """virsh -q domstate --reason %s
virsh -q domstats --vcpu --cpu-total %s
tail -c 4000 /var/log/libvirt/qemu/%s-console.log"""
_PING = 'virsh -q qemu-agent-command --timeout 20 %s \'{"execute":"guest-ping"}\''
_INSIDE = "uptime; free; df; ps; netstat -ltnu; tail -n 30 /var/log/messages /var/log/mysql/error.log"
LINES_SHOWN = 15


def look_after(session: Session, guest: Guest) -> str:
    """Keep what can be known of a guest that does not serve below ``build/<lab>/logs``; reset it if it is dead.

    Returns:
        What was found and done, in words: ``not running``, ``alive``, ``reset`` or ``unknown``.
    """
    node = _node_of(session, guest)
    if node is None:
        _tell(session, guest, "runs on no node", "")
        return "not running"
    shell, limit_s = session.shell(node), 30 * session.lab.time_scale
    outside = shell.asked(_OUTSIDE, guest.domain, guest.domain, guest.domain, timeout_s=limit_s)
    answer = shell.asked(_PING, guest.domain, timeout_s=limit_s)
    if outside is None or answer is None:
        return "unknown"
    if answer.ok:
        inside = session.shell(guest.domain).asked(_INSIDE, timeout_s=limit_s)
        said = inside.stdout if inside else "ssh does not get in"
        _tell(session, guest, f"runs on {node.name}, and its agent answers", f"{outside.stdout}\n{said}")
        return "alive"
    _tell(session, guest, f"runs on {node.name}, but its agent does not answer; it is reset", outside.stdout)
    shell.asked("virsh -q reset %s", guest.domain, timeout_s=limit_s)
    return "reset"


def _node_of(session: Session, guest: Guest) -> Node | None:
    facts = observe.look(session).nodes
    for node in session.lab.nodes:
        seen = facts[node.name]
        if seen and guest.domain in seen.running_guests:
            return node
    return None


def _tell(session: Session, guest: Guest, found: str, said: str) -> None:
    path = session.folder / "logs" / f"{guest.domain}-not-serving.txt"
    files.write_atomically(path, masked(f"{found}\n{said}\n").encode(), files.SECRET_MODE)
    session.reporter.warn(f"{guest.name} has not served for a long time: it {found} ({shown_path(path)})")
    for line in masked(said).splitlines()[-LINES_SHOWN:]:
        session.reporter.note(f"{guest.domain}: {line}")
