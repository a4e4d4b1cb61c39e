"""What happened during a drill, in the words of the cluster's own logs and of libvirt on the host.

Logs are the output of ``journalctl -o short-unix`` on each node, which may span several boots. Only lines of
:data:`IDENTIFIERS` matter; everything else, and everything that is not understood, is passed over.

How lines become phases:

- The two sides of a split both lose the other one. What a node saw before it was fenced itself is not believed.
- A node is back when it had been lost before and joins again, in the eyes of one that stayed.
- Several lines about one thing (each daemon of Pacemaker reports a lost node) are one phase: the first line where
  something begins to be true, the last line where something ends.
- Guests that start and guests that move to the node of the drill are a phase each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.core.drills.record import Phase
from lab.core.errors import LabError

#: Syslog identifiers of the lines that are understood, for ``journalctl --identifier``.
IDENTIFIERS = (
    "kernel",
    "corosync",
    "pacemakerd",
    "pacemaker-attrd",
    "pacemaker-based",
    "pacemaker-controld",
    "pacemaker-fenced",
    "lab-ocfs2-node-down",
)

#: Lines about one thing that are not further apart than this are one phase, seconds.
SAME_S = 60.0
#: How much later than the end of fencing libvirt's event may be seen, seconds.
LIBVIRT_LAG_S = 5.0
DETAIL_LENGTH = 160

_LINE = re.compile(r"(?P<at>\d+\.\d+) \S+ (?P<program>\S+?)(?:\[\d+\])?: (?P<text>.*)")
_SEVERITY = re.compile(r"^\s*(?:(?:notice|info|warning|error): )?\s*")

#: Not a phase: the one who writes has been restarted and knows nothing of before.
_RESTARTED = "restarted"


@dataclass(frozen=True)
class DomainEvent:
    """A lifecycle event that libvirt on the host reported of a node's domain.

    Args:
        wall_s: host's wall clock, seconds since 1970.
        node: name of the node, not of its domain.
        event: libvirt's word for it, such as ``started``, ``stopped``, ``crashed``.
        detail: libvirt's word for the reason, such as ``booted``, ``destroyed``; may be empty.
    """

    wall_s: float
    node: str
    event: str
    detail: str = ""


@dataclass(frozen=True)
class _Wording:
    """How a program says that a phase was reached.

    Args:
        phase: one of :data:`lab.core.drills.record.PHASES`, or :data:`_RESTARTED`.
        source: as in :class:`Phase`.
        program: the whole syslog identifier.
        text: found anywhere in the message. The group ``node`` is the subject; ``resource`` is a guest's resource;
            ``on`` the node where it is. Without any of them the subject follows from the phase, see :func:`_subject`.
    """

    phase: str
    source: str
    program: re.Pattern[str]
    text: re.Pattern[str]


def _wording(phase: str, source: str, program: str, text: str) -> _Wording:
    return _Wording(phase, source, re.compile(program), re.compile(text))


_NODE = r"(?P<node>[\w.-]+)"
_KERNEL = "kernel"

#: Every wording that is understood. The sources of these very versions were read for it, and the modules of Debian 12's
#: kernel; Pacemaker leaves out of the journal what follows a bar in its own log file.
WORDINGS = (
    # Corosync 3.1.7, exec/main.c and exec/totemsrp.c (memb_state_operational_enter): members by number only.
    _wording(_RESTARTED, "corosync", "corosync", r"Corosync Cluster Engine .*starting up"),
    _wording(
        "node lost", "corosync", "corosync", r"A new membership \(\S+\) was formed\. Members(?: joined:[ \d]+)? left:"
    ),
    _wording("node back", "corosync", "corosync", r"A new membership \(\S+\) was formed\. Members joined:"),
    # Pacemaker 2.1.5, lib/cluster/membership.c (update_peer_state_iter): each daemon for itself.
    _wording("node lost", "pacemaker", r"pacemaker(?:d|-\w+)", rf"Node {_NODE} state is now lost"),
    _wording("node back", "pacemaker", r"pacemaker(?:d|-\w+)", rf"Node {_NODE} state is now member"),
    # Pacemaker 2.1.5, daemons/fenced/fenced_remote.c (finalize_op) and daemons/controld/controld_fencing.c.
    _wording(
        "fenced",
        "pacemaker",
        "pacemaker-fenced",
        rf"Operation '(?:reboot|off)' targeting {_NODE} by .+? for \S+(?: \(merged\))?: OK\b",
    ),
    _wording(
        "fenced",
        "pacemaker",
        "pacemaker-controld",
        rf"Peer {_NODE} was terminated \((?:reboot|off)\) by .+ on behalf of \S+: OK\b",
    ),
    # DRBD 8.4.11 of Linux 6.1, drivers/block/drbd/drbd_state.c (print_state_change): writing goes on after the other
    # node was fenced, or this node may write at all.
    _wording("storage promoted", "drbd", _KERNEL, r"drbd \S+: (?:\w+\( [^)]*\) )*susp\( 1 -> 0 \)"),
    _wording("storage promoted", "drbd", _KERNEL, r"drbd\S*: (?:\w+\( [^)]*\) )*role\( Secondary -> Primary \)"),
    # The same, drbd_worker.c (drbd_resync_finished), and a connection that finds nothing to copy.
    _wording("resynchronised", "drbd", _KERNEL, r"drbd\S*: Resync done \(total \d+ sec"),
    _wording(
        "resynchronised",
        "drbd",
        _KERNEL,
        r"drbd\S*: (?:\w+\( [^)]*\) )*conn\( WFReportParams -> Connected \) .*pdsk\( \w+ -> UpToDate \)",
    ),
    # Our own lab-ocfs2-node-down: OCFS2 need not count any more.
    _wording("heartbeat ended", "lab", "lab-ocfs2-node-down", rf"said farewell for {_NODE}, "),
    # OCFS2 of Linux 6.1, fs/ocfs2/stack_o2cb.c, dlm/dlmrecovery.c and journal.c, in the order in which they appear.
    _wording("storage recovered", "ocfs2", _KERNEL, r"o2cb: o2dlm has evicted node \d+ from domain"),
    _wording("storage recovered", "ocfs2", _KERNEL, r"o2dlm: End recovery on domain"),
    _wording("storage recovered", "ocfs2", _KERNEL, r"ocfs2: End replay journal \(node \d+, slot \d+\) on device"),
    # Pacemaker 2.1.5, daemons/controld/controld_execd.c (log_executor_event).
    _wording(
        "guest started",
        "pacemaker",
        "pacemaker-controld",
        r"Result of start operation for (?P<resource>\S+) on (?P<on>[\w.-]+): ok\b",
    ),
    _wording(
        "failed back",
        "pacemaker",
        "pacemaker-controld",
        r"Result of migrate_from operation for (?P<resource>\S+) on (?P<on>[\w.-]+): ok\b",
    ),
)

_LIBVIRT_OFF = ("stopped", "crashed")
_KEEP_LAST = ("storage recovered", "resynchronised")
_KEEP_EACH = ("guest started", "failed back")
_MEMBERSHIP = ("node lost", "node back", _RESTARTED)


@dataclass(frozen=True)
class _Sighting:
    """A line that says something, as a phase to be, and the node whose journal it is in."""

    phase: Phase
    observer: str


def phases_of(
    journals: Mapping[str, str],
    *,
    offsets_s: Mapping[str, float],
    fault_wall_s: float,
    events: Sequence[DomainEvent],
    guests: Mapping[str, str],
    node: str,
    offset_error_s: float = 0.0,
) -> tuple[Phase, ...]:
    """The phases that logs and libvirt tell of, from the fault on, in order of time.

    Args:
        journals: per node name, the output of ``journalctl -o short-unix`` there.
        offsets_s: per node name, its clock minus the host's, seconds.
        fault_wall_s: the fault on the host's wall clock, seconds since 1970.
        events: libvirt's lifecycle events of the nodes' domains.
        guests: per resource, such as ``VM_1``, the guest's name.
        node: the node that the drill is done to; empty for a drill without one (then nothing can fail back).
        offset_error_s: how far the offsets may be wrong, seconds; the uncertainty of what nodes say.

    Raises:
        LabError: the offset of a node is missing.
    """
    names = {*journals, node} - {""}
    sightings: list[_Sighting] = []
    for observer, journal in journals.items():
        if observer not in offsets_s:
            raise LabError(f"the clock of {observer} was not compared with the host's", remedy="Run the drill again")
        origin_s = fault_wall_s + offsets_s[observer]
        others = names - {observer}
        peer = others.pop() if len(others) == 1 else ""
        for sighting in _sightings(journal, observer, peer, origin_s, offset_error_s):
            if sighting.phase.at_s >= -offset_error_s:
                sightings.append(sighting)
    sightings.sort(key=lambda sighting: sighting.phase.at_s)
    found = _merged(_others(sightings, guests, node))
    fenced = [phase for phase in found if phase.name == "fenced"]
    found += _membership(sightings, fenced)
    found += _confirmations(found, events, fault_wall_s)
    return tuple(sorted(found, key=lambda phase: phase.at_s))


def _sightings(journal: str, observer: str, peer: str, origin_s: float, error_s: float) -> Iterator[_Sighting]:
    for line in journal.splitlines():
        parts = _LINE.fullmatch(line)
        if parts is None:
            continue
        for wording in WORDINGS:
            if not wording.program.fullmatch(parts["program"]):
                continue
            match = wording.text.search(parts["text"])
            if match is None:
                continue
            subject = _subject(wording, match, observer, peer)
            detail = f"{observer}: {_SEVERITY.sub('', parts['text']).strip()}"[:DETAIL_LENGTH]
            at_s = float(parts["at"]) - origin_s
            yield _Sighting(Phase(wording.phase, at_s, subject, wording.source, error_s, detail), observer)


def _subject(wording: _Wording, match: re.Match[str], observer: str, peer: str) -> str:
    groups = match.groupdict()
    if "node" in groups:
        return str(groups["node"])
    if "resource" in groups:
        return f"{groups['resource']} {groups['on']}"
    if wording.phase in ("node lost", "node back"):
        # Corosync names numbers; of two nodes, the one that comes or goes is the other one.
        return peer
    # A resynchronisation is of both.
    return "" if wording.phase == "resynchronised" else observer


def _membership(sightings: Iterable[_Sighting], fenced: Sequence[Phase]) -> list[Phase]:
    """Nodes that were lost and came back, in the eyes of those that stayed."""
    found: list[Phase] = []
    lost: dict[str, set[str]] = {}
    for sighting in sightings:
        phase, observer = sighting.phase, sighting.observer
        gone = lost.setdefault(observer, set())
        if phase.name == _RESTARTED:
            gone.clear()
        elif phase.name not in _MEMBERSHIP or phase.subject in ("", observer):
            continue
        elif phase.name == "node lost" and phase.subject not in gone:
            gone.add(phase.subject)
            if not any(one.subject == observer and one.at_s >= phase.at_s for one in fenced):
                found.append(phase)
        elif phase.name == "node back" and phase.subject in gone:
            gone.remove(phase.subject)
            found.append(phase)
    return found


def _others(sightings: Iterable[_Sighting], guests: Mapping[str, str], node: str) -> Iterator[Phase]:
    """Everything but membership, guests by their names."""
    for phase in (sighting.phase for sighting in sightings):
        if phase.name in _MEMBERSHIP:
            continue
        if phase.name not in _KEEP_EACH:
            yield phase
            continue
        resource, _, place = phase.subject.partition(" ")
        if resource in guests and (phase.name == "guest started" or place == node):
            yield replace(phase, subject=guests[resource])


def _merged(phases: Iterable[Phase]) -> list[Phase]:
    """One phase for lines of the same name and subject that follow each other closely; phases are in order of time."""
    kept: list[Phase] = []
    newest: dict[tuple[str, str], tuple[int, float]] = {}
    for phase in phases:
        key = (phase.name, phase.subject)
        place, before_s = newest.get(key, (-1, float("-inf")))
        if phase.name in _KEEP_EACH or phase.at_s - before_s > SAME_S:
            place = len(kept)
            kept.append(phase)
        elif phase.name in _KEEP_LAST:
            kept[place] = phase
        newest[key] = (place, phase.at_s)
    return kept


def _confirmations(found: Sequence[Phase], events: Sequence[DomainEvent], fault_wall_s: float) -> list[Phase]:
    """Libvirt's own word for each fencing: when the node's machine was really switched off, by the host's clock.

    A machine that the drill itself switched off was off before the cluster lost it; that is no fencing.
    """
    confirmed: dict[Phase, None] = {}
    for fenced in (phase for phase in found if phase.name == "fenced"):
        lost_s = [
            phase.at_s
            for phase in found
            if phase.name == "node lost" and phase.subject == fenced.subject and phase.at_s <= fenced.at_s
        ]
        earliest_s = max(lost_s, default=fenced.at_s - SAME_S)
        during = [
            event
            for event in events
            if event.node == fenced.subject
            and event.event.lower() in _LIBVIRT_OFF
            and earliest_s - fenced.uncertainty_s <= event.wall_s - fault_wall_s
            and event.wall_s - fault_wall_s <= fenced.at_s + fenced.uncertainty_s + LIBVIRT_LAG_S
        ]
        if during:
            event = max(during, key=lambda event: event.wall_s)
            words = f"{event.event} ({event.detail})" if event.detail else event.event
            confirmed[Phase("fenced", event.wall_s - fault_wall_s, event.node, "libvirt", 0.0, words)] = None
    return list(confirmed)
