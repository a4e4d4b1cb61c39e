"""What a drill fetches from nodes and guests when it is over: journals, logs of guests, written rows, versions."""

from __future__ import annotations

from dataclasses import dataclass

from lab.core import addressing
from lab.core.drills.heartbeats import Heartbeat, Readings, parse_heartbeat, standing_still
from lab.core.drills.residence import Residence, residences
from lab.core.measurement.numbering import ROWS_PER_RUN, Numbering
from lab.core.model import Guest, Node
from lab.doors.clock import Deadline, pause, wall_s
from lab.doors.process import masked
from lab.workflows.session import Session

PACKAGES = (
    *("pacemaker", "corosync", "crmsh", "resource-agents", "drbd-utils", "ocfs2-tools"),
    *("libvirt-daemon-system", "qemu-system-x86"),
)
#: Two clocks, each asked over ssh, and a log with milliseconds.
CLOCK_TOLERANCE_S = 2.0
#: A guest writes every five seconds.
HEARTBEAT_LIMIT_S = 30
RADIUS_DATABASE = "/var/lib/freeradius/radius.db"


@dataclass(frozen=True)
class NodeEvidence:
    """What one node had to say.

    Args:
        journal: its journal since shortly before the fault, ``short-unix``; what an unclean end took is missing.
        kernel: its kernel's words of the same time, this boot only.
        offset_s: its clock minus the host's, seconds.
        residences: the guests' QEMU processes on it.
        versions: its software.
    """

    journal: str
    kernel: str
    offset_s: float
    residences: tuple[Residence, ...]
    versions: dict[str, str]


def fetch_node(session: Session, node: Node, since_wall_s: float) -> NodeEvidence:
    """Everything of one node.

    Raises:
        LabError: it cannot be asked.
    """
    shell = session.shell(node)
    limit_s = 60 * session.lab.time_scale
    since = f"@{int(since_wall_s)}"
    journal = shell.run("journalctl --no-pager -o short-unix --since=%s", since, timeout_s=limit_s).stdout
    kernel = shell.run("journalctl --no-pager -k -o short-unix --since=%s", since, timeout_s=limit_s).stdout
    asked_s = wall_s()
    there_s = float(shell.succeed("date +%s.%N").strip())
    offset_s = there_s - (asked_s + wall_s()) / 2
    found: list[Residence] = []
    for guest in session.lab.guests:
        log = shell.run("tail -c 400000 %s", f"/var/log/libvirt/qemu/{guest.domain}.log", timeout_s=limit_s).stdout
        found += residences(log, guest.domain, node.name)
    listed = shell.run("dpkg-query -W -f '${Package} ${Version}\\n' " + " ".join(PACKAGES), timeout_s=limit_s).stdout
    versions = dict(line.split(" ", 1) for line in listed.splitlines() if " " in line)
    versions["kernel"] = shell.run("uname -r", timeout_s=limit_s).stdout.strip()
    return NodeEvidence(masked(journal), masked(kernel), offset_s, tuple(found), versions)


def fetch_nodes(session: Session, since_wall_s: float) -> dict[str, NodeEvidence]:
    """Everything of all nodes, side by side."""
    found = session.on_each(session.lab.nodes, lambda node: fetch_node(session, node, since_wall_s))
    return dict(zip(session.lab.node_names, found, strict=True))


def heartbeats(session: Session) -> dict[str, dict[str, Heartbeat | None]]:
    """The guests' heartbeats as each node's copy of the storage has them, by node and guest.

    Raises:
        LabError: a node cannot be asked.
    """
    guests = {addressing.heartbeat_path(session.lab, guest): guest.name for guest in session.lab.guests}
    # A node that has read a file keeps what it read although the other one writes it directly (OCFS2).
    look = 'for file; do echo "$file $(dd if="$file" bs=4096 count=1 iflag=direct status=none | head -n 1)"; done'

    def of(node: Node) -> dict[str, Heartbeat | None]:
        command = f"sh -c %s sh {' '.join('%s' for _ in guests)}"
        text = session.shell(node).succeed(command, look, *guests, timeout_s=60 * session.lab.time_scale)
        lines = dict(line.partition(" ")[::2] for line in text.splitlines())
        return {guest: parse_heartbeat(lines.get(path, "")) for path, guest in guests.items()}

    found = session.on_each(session.lab.nodes, of)
    return dict(zip(session.lab.node_names, found, strict=True))


def heartbeats_after(session: Session, before: Readings) -> Readings:
    """The heartbeats when all have gone on, or when that has taken too long for a guest that is well.

    Raises:
        LabError: a node cannot be asked.
    """
    names = [guest.name for guest in session.lab.guests]
    deadline = Deadline.after(HEARTBEAT_LIMIT_S * session.lab.time_scale)
    while standing_still(before, found := heartbeats(session), names) and not deadline.passed():
        pause(1)
    return found


def stored_numbers(session: Session, guest: Guest, kind: str, numbering: Numbering) -> tuple[int, ...]:
    """Numbers of the requests of a run whose rows a guest's database holds, repetitions included.

    Args:
        session: the lab.
        guest: whose database.
        kind: ``radius-accounting`` or ``http-write``.
        numbering: of the run.

    Raises:
        LabError: the database cannot be read.
    """
    shell = session.shell(guest)
    limit_s = 60 * session.lab.time_scale
    if kind == "http-write":
        first = numbering.run * ROWS_PER_RUN
        query = f"SELECT number FROM entries WHERE number BETWEEN {first} AND {first + ROWS_PER_RUN - 1}"  # noqa: S608 (numbers)
        text = shell.succeed("mariadb -N -B lab -e %s", query, timeout_s=limit_s)
        return numbering.numbers_of_rows(int(word) for word in text.split())
    query = f"SELECT acctsessionid FROM radacct WHERE acctsessionid LIKE 'drill-{numbering.run}-%'"  # noqa: S608 (a number)
    text = shell.succeed("sqlite3 %s %s", RADIUS_DATABASE, query, timeout_s=limit_s)
    return numbering.numbers_of_sessions(text.split())
