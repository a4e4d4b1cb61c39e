"""The record of one drill: everything that reports, tables and objectives are drawn from.

Times are seconds from the moment of the fault (:attr:`DrillRecord.fault_at`), negative before it. The record is stored
as ``record.json`` beside ``samples.jsonl`` in a directory of its own under ``build/<lab>/drills/``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lab.core.errors import LabError

FORMAT = 1


@dataclass(frozen=True)
class Phase:
    """Something that happened during a drill.

    Args:
        name: one of :data:`PHASES`.
        at_s: when, seconds from the fault.
        subject: the node, guest or stream it is about; empty for the cluster as a whole.
        source: who says so: ``tool``, ``libvirt``, ``pacemaker``, ``corosync``, ``drbd``, ``ocfs2``, ``lab`` (a program
            of ours on a node), ``probe``.
        uncertainty_s: how far the true moment may be away, seconds.
        detail: the source's own words, shortened.
    """

    name: str
    at_s: float
    subject: str = ""
    source: str = "tool"
    uncertainty_s: float = 0.0
    detail: str = ""


#: The phases in the order in which a failover goes through them.
PHASES = (
    "fault",
    "node lost",
    "fenced",
    "storage promoted",
    "heartbeat ended",
    "storage recovered",
    "guest started",
    "service answering",
    "node back",
    "resynchronised",
    "failed back",
    "healthy",
)


@dataclass(frozen=True)
class OutageFigure:
    """One outage of one stream, seconds from the fault.

    Args:
        start_s: when the first request without a valid answer was sent.
        end_s: when the first valid answer after it was there; None when none came before the recording ended.
        start_uncertainty_s: gap back to the last request that was answered.
        end_uncertainty_s: gap back from the first answer to the sending of the last request that was not answered.
        requests_lost: requests without a valid answer in it.
    """

    start_s: float
    end_s: float | None
    start_uncertainty_s: float
    end_uncertainty_s: float
    requests_lost: int


@dataclass(frozen=True)
class StreamFigures:
    """What a client saw of one stream.

    Args:
        kind, target, address, interval_s, timeout_s: as in :class:`lab.core.measurement.samples.StreamSpec`.
        requests, answered: counts.
        availability: answered time as a share of the recorded time, 0 to 1.
        outages: all of them, in order.
        latency_ms: percentiles of answered requests: ``p50``, ``p90``, ``p99``, ``max``; empty without an answer.
        curve: (seconds from the fault, latency in ms or None for no answer), thinned for drawing.
    """

    kind: str
    target: str
    address: str
    interval_s: float
    timeout_s: float
    requests: int
    answered: int
    availability: float
    outages: tuple[OutageFigure, ...]
    latency_ms: dict[str, float] = field(default_factory=dict)
    curve: tuple[tuple[float, float | None], ...] = ()

    @property
    def name(self) -> str:
        """Such as ``dns Passata``."""
        return f"{self.kind} {self.target}"


@dataclass(frozen=True)
class AuditResult:
    """One check after (or throughout) a drill.

    Args:
        name: such as ``DRBD up to date on both nodes``.
        ok: whether it holds.
        findings: what is wrong, or the evidence that nothing is; one sentence each.
    """

    name: str
    ok: bool
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectiveResult:
    """A declared limit for the longest outage of a service, and what was measured.

    Args:
        service: kind of guest service or stream, such as ``dns``.
        drill: name of the drill.
        limit_s, measured_s: longest outage allowed and seen, seconds; measured is None when it did not end.
    """

    service: str
    drill: str
    limit_s: float
    measured_s: float | None

    @property
    def ok(self) -> bool:
        """Whether the objective was met."""
        return self.measured_s is not None and self.measured_s <= self.limit_s


@dataclass(frozen=True)
class HumpFigure:
    """What one stream noticed of one live migration.

    Args:
        stream: its name, such as ``icmp Passata``.
        calm_ms: median latency shortly before; None where nothing was answered.
        median_ms, highest_ms: latencies of the requests that were answered during it; None where none was.
        raised_s: for how long requests took longer than all of the calm, an interval for each; None without a calm.
        requests, lost: sent during it, and of these without a valid answer.
        longest_pause_s: the longest outage that began during it and ended, seconds.
    """

    stream: str
    calm_ms: float | None
    median_ms: float | None
    highest_ms: float | None
    raised_s: float | None
    requests: int
    lost: int
    longest_pause_s: float


@dataclass(frozen=True)
class MigrationFigure:
    """A live migration that came to its end, seconds from the fault.

    Args:
        guest: name of the guest.
        source, target: names of the nodes.
        start_s, end_s: when Pacemaker began it on the source, and when it was done on the target.
        uncertainty_s: how far both may be wrong, because the nodes' clocks are not the host's.
        streams: what the streams of the guest noticed.
    """

    guest: str
    source: str
    target: str
    start_s: float
    end_s: float
    uncertainty_s: float = 0.0
    streams: tuple[HumpFigure, ...] = ()


@dataclass(frozen=True)
class DrillRecord:
    """One drill, from fault to health.

    Args:
        identifier: name of its directory, such as ``20261125T101500-power-off-brina``.
        drill: name of the drill, such as ``power-off``.
        node: the node it was done to; empty for a drill without one.
        guest: the guest it was done to; empty for a drill without one.
        seed: of everything random in it.
        lab, accelerator, time_scale: what it was done on.
        fault_at: wall clock of the fault, ISO 8601 with offset.
        duration_s: from the start of the recording to its end, seconds.
        phases: the time line, in order of time.
        streams: what clients saw.
        audits: the checks afterwards.
        objectives: the topology's limits that apply.
        boot_ids: per node name, its boot id before and after.
        homes: per guest name, the node that is its home.
        topology: text of the topology document.
        versions: software by name, such as ``pacemaker``, ``corosync``, ``kernel``, ``qemu on the host``.
        problems: why the drill failed, apart from audits and objectives; empty when it went well.
        migrations: live migrations during it, in order.
    """

    identifier: str
    drill: str
    node: str
    guest: str
    seed: int
    lab: str
    accelerator: str
    time_scale: float
    fault_at: str
    duration_s: float
    phases: tuple[Phase, ...] = ()
    streams: tuple[StreamFigures, ...] = ()
    audits: tuple[AuditResult, ...] = ()
    objectives: tuple[ObjectiveResult, ...] = ()
    boot_ids: dict[str, tuple[str, str]] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)
    topology: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    migrations: tuple[MigrationFigure, ...] = ()
    format: int = FORMAT

    @property
    def sound(self) -> bool:
        """Whether it left a healthy lab and every audit holds: what it measured counts, however long it took."""
        return not self.problems and all(audit.ok for audit in self.audits)

    @property
    def ok(self) -> bool:
        """Whether it left a healthy lab, every audit holds and every objective was met."""
        return self.sound and all(objective.ok for objective in self.objectives)

    def stream(self, name: str) -> StreamFigures | None:
        """The stream of this name, such as ``icmp brina``."""
        return next((stream for stream in self.streams if stream.name == name), None)

    def longest_outage_s(self, name: str) -> float | None:
        """Longest outage of a stream in seconds, 0 without any, None when one did not end or there is no stream."""
        stream = self.stream(name)
        if stream is None or any(outage.end_s is None for outage in stream.outages):
            return None
        return max(
            (outage.end_s - outage.start_s for outage in stream.outages if outage.end_s is not None), default=0.0
        )


_ADAPTER: TypeAdapter[DrillRecord] = TypeAdapter(DrillRecord)


def as_document(record: DrillRecord) -> dict[str, Any]:
    """The record as JSON knows it, with its verdict as ``ok``; ready for ``json.dumps``."""
    document: dict[str, Any] = _ADAPTER.dump_python(record, mode="json")
    return {**document, "ok": record.ok}


def from_document(document: dict[str, Any]) -> DrillRecord:
    """The record of a document of :func:`as_document`.

    Raises:
        LabError: it is not one, or it is of another format.
    """
    if document.get("format") != FORMAT:
        raise LabError(
            f"this is no drill record of format {FORMAT}", remedy="Run the drill again with this version of the lab"
        )
    try:
        return _ADAPTER.validate_python({key: value for key, value in document.items() if key != "ok"})
    except ValidationError as error:
        raise LabError(
            f"this drill record is damaged: {error.errors()[0]['msg']}", remedy="Run the drill again"
        ) from error
