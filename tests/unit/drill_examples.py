"""Records of drills for tests of reports, with figures reckoned from requests like those of a real drill."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.core.drills.migrations import with_humps
from lab.core.drills.record import AuditResult, DrillRecord, MigrationFigure, ObjectiveResult, Phase
from lab.core.measurement.outages import figures
from lab.core.measurement.samples import Recording, Sample, StreamKind, StreamSpec

HOMES = {
    "Masterauth": "piova",
    "Passata": "piova",
    "SimplesIP": "piova",
    "Soldi": "brina",
    "Speedauth": "brina",
}
KINDS: dict[str, tuple[StreamKind, ...]] = {
    "Masterauth": ("radius-access", "radius-accounting"),
    "Passata": ("dns",),
    "SimplesIP": ("sip-options",),
    "Soldi": ("http-read", "http-write"),
    "Speedauth": ("radius-access", "radius-accounting"),
}
ADDRESSES = {
    name: f"10.81.26.{last}"
    for name, last in {
        "brina": 11,
        "piova": 12,
        "Passata": 21,
        "Speedauth": 22,
        "Masterauth": 23,
        "Soldi": 24,
        "SimplesIP": 25,
    }.items()
}
Dark = Sequence[tuple[float, float]]
HOSTILE = (
    "</pre></script><script>alert('x')</script><img src=x onerror=\"alert(1)\"> & $\\frac{1}{0}$ "
    "\x00\x1b[31m ]]> {{ 7*7 }}"
)


def recording(
    kind: StreamKind, target: str, start_s: float, end_s: float, dark: Dark = (), humps: Dark = ()
) -> Recording:
    """Requests twice a second: unanswered in ``dark``, slow in ``humps``, quick elsewhere."""
    spec = StreamSpec(kind, target, ADDRESSES.get(target, "10.81.26.99"), 0.5, 1.0)
    samples = []
    for place in range(int((end_s - start_s) / spec.interval_s)):
        sent_s = start_s + place * spec.interval_s
        ok = not any(begin <= sent_s < end for begin, end in dark)
        latency_s = 0.012 + 0.004 * math.sin(place * 1.7)
        for begin, end in humps:
            if begin <= sent_s < end:
                latency_s += 0.25 * math.sin(math.pi * (sent_s - begin) / (end - begin)) ** 2
        lasts_s = latency_s if ok else spec.timeout_s
        samples.append(Sample(place + 1, sent_s, sent_s + lasts_s, ok, "" if ok else "no answer"))
    return Recording(spec, tuple(samples))


def record(
    drill: str,
    node: str = "",
    guest: str = "",
    *,
    number: int = 1,
    length_s: float = 300.0,
    dark: Mapping[str, Dark] | None = None,
    humps: Mapping[str, Dark] | None = None,
    phases: tuple[Phase, ...] = (),
    moves: tuple[MigrationFigure, ...] = (),
) -> DrillRecord:
    """A drill with all streams of the default lab; ``dark`` and ``humps`` by target."""
    dark, humps = dark or {}, humps or {}
    start_s, end_s = -20.0, length_s - 20
    asked: list[tuple[StreamKind, str]] = [("icmp", name) for name in ("brina", "piova", *HOMES)]
    asked += [(kind, guest_name) for guest_name, kinds in KINDS.items() for kind in kinds]
    recordings = [
        recording(kind, name, start_s, end_s, dark.get(name, ()), humps.get(name, ())) for kind, name in asked
    ]
    streams = tuple(figures(one, 0.0) for one in recordings)
    return DrillRecord(
        identifier=f"20261125T10{number:02}00-{drill}-{(guest or node).lower()}",
        drill=drill,
        node=node,
        guest=guest,
        seed=number,
        lab="halab",
        accelerator="tcg",
        time_scale=3.0,
        fault_at=f"2026-11-25T10:{number:02}:00+00:00",
        duration_s=length_s,
        phases=phases,
        streams=streams,
        audits=(
            AuditResult("DRBD up to date on both nodes", True, ("brina: UpToDate/UpToDate, 0 bytes out of sync",)),
            AuditResult("every acknowledged row is there once", True, ("412 of 412 rows of Soldi",)),
        ),
        objectives=(ObjectiveResult("dns", drill, 120.0, 81.5),),
        boot_ids={"brina": ("6f1c", "9b22" if node == "brina" else "6f1c"), "piova": ("77aa", "77aa")},
        homes=HOMES,
        topology="name: halab\nnodes:\n  brina: {}\n  piova: {}\n",
        versions={"pacemaker": "2.1.5", "kernel": "6.1.0-40-amd64"},
        migrations=with_humps(moves, recordings, 0.0),
    )


def power_off_phases(node: str, outage_s: float) -> tuple[Phase, ...]:
    other = "piova" if node == "brina" else "brina"
    guests = [name for name, home in HOMES.items() if home == node]
    return (
        Phase("fault", 0.0, node, "tool", 0.0, "power cut"),
        Phase("node lost", 9.1, node, "corosync", 0.4, "A processor failed, forming new configuration"),
        Phase("fenced", 16.4, node, "libvirt", 0.1, "stopped: destroyed"),
        Phase("storage promoted", 17.2, other, "drbd", 0.4, "fence-peer helper returned 7"),
        Phase("storage recovered", outage_s - 30, other, "ocfs2", 0.5, "recovery of the journal of node 0"),
        *(Phase("guest started", outage_s - 20 + n, guest, "libvirt") for n, guest in enumerate(guests)),
        *(Phase("service answering", outage_s - 1 + n / 2, guest, "probe", 0.5) for n, guest in enumerate(guests)),
        Phase("node back", outage_s + 40, node, "corosync", 0.4),
        Phase("resynchronised", outage_s + 60, "", "drbd", 0.4),
        Phase("failed back", outage_s + 100, guests[0], "libvirt", 0.1),
        Phase("healthy", outage_s + 130, "", "tool", 5.0),
    )


def power_off(node: str, number: int, node_s: float, guest_s: float) -> DrillRecord:
    dark: dict[str, Dark] = {guest: [(0.2, guest_s)] for guest, home in HOMES.items() if home == node}
    dark[node] = [(0.2, node_s)]
    phases = power_off_phases(node, guest_s)
    return record("power-off", node, number=number, length_s=guest_s + 160, dark=dark, phases=phases)


def live_migration() -> DrillRecord:
    phases = (Phase("fault", 0.0, "Passata", "pacemaker", 0.4), Phase("failed back", 62.0, "Passata", "libvirt", 0.1))
    return record(
        "live-migrate",
        "piova",
        "Passata",
        number=8,
        length_s=120.0,
        dark={"Passata": [(11.0, 11.5), (70.0, 70.5)]},
        humps={"Passata": [(2.0, 20.0), (60.0, 79.0)]},
        phases=phases,
        moves=(
            MigrationFigure("Passata", "piova", "brina", 2.0, 20.0, 1.0),
            MigrationFigure("Passata", "brina", "piova", 60.0, 79.0, 1.0),
        ),
    )


def maintenance(node: str, number: int, node_s: float) -> DrillRecord:
    """A maintenance whose guests leave one after the other and come home again, with a hump each time."""
    other = "piova" if node == "brina" else "brina"
    guests = [name for name, home in HOMES.items() if home == node]
    humps: dict[str, Dark] = {}
    moves = []
    for place, guest in enumerate(guests):
        leaves_s, returns_s = 5.0 + 18 * place, 80 + node_s + 18 * place
        humps[guest] = [(leaves_s, leaves_s + 16), (returns_s, returns_s + 17)]
        moves.append(MigrationFigure(guest, node, other, leaves_s, leaves_s + 16, 1.0))
        moves.append(MigrationFigure(guest, other, node, returns_s, returns_s + 17, 1.0))
    return record(
        "maintenance",
        node,
        number=number,
        length_s=node_s + 180,
        dark={node: [(62.2, 62.2 + node_s)]},
        humps=humps,
        moves=tuple(moves),
    )


def drills() -> tuple[DrillRecord, ...]:
    """One of everything: power-offs of both nodes, reboot, maintenance, migration, an open outage, hostile words."""
    maintenance: dict[str, Dark] = {"brina": [(80.0, 225.0)]}
    reboot: dict[str, Dark] = {"brina": [(30.0, 168.0)], "Soldi": [(20.0, 29.5)]}
    failed = replace(
        power_off("piova", 4, 170.0, 85.0),
        audits=(AuditResult("every guest exactly once", False, ("Passata runs twice", "since 12.5 s")),),
        objectives=(
            ObjectiveResult("dns", "power-off", 60.0, 84.8),
            ObjectiveResult("telephony", "power-off", 60, None),
        ),
        problems=("the lab was not healthy within 900 s",),
    )
    return (
        power_off("brina", 1, 124.0, 81.0),
        power_off("brina", 2, 130.0, 91.0),
        power_off("piova", 3, 171.0, 75.0),
        failed,
        record("reboot", "brina", number=5, dark=reboot),
        record("maintenance", "brina", number=6, dark=maintenance),
        replace(record("maintenance", "piova", number=7, dark={"piova": [(70.0, 243.0)]}), objectives=()),
        live_migration(),
    )


def open_ended() -> DrillRecord:
    """A drill in which a guest never came back."""
    return record("guest-crash", "piova", "SimplesIP", number=9, length_s=100.0, dark={"SimplesIP": [(0.0, 1000.0)]})


def hostile() -> DrillRecord:
    """A drill that has markup wherever it has words."""
    good = live_migration()
    stream = replace(good.streams[3], kind=HOSTILE, target=HOSTILE, address=HOSTILE)
    return replace(
        good,
        identifier=HOSTILE,
        drill=HOSTILE,
        node=HOSTILE,
        guest=HOSTILE,
        lab=HOSTILE,
        accelerator=HOSTILE,
        fault_at=HOSTILE,
        topology=HOSTILE,
        phases=(Phase("fault", 0.0, HOSTILE, HOSTILE, 1.0, HOSTILE), Phase(HOSTILE, 3.0)),
        streams=(stream, *good.streams[:2]),
        audits=(AuditResult(HOSTILE, False, (HOSTILE,)),),
        objectives=(ObjectiveResult(HOSTILE, HOSTILE, 1.0, 2.0),),
        boot_ids={HOSTILE: (HOSTILE, HOSTILE)},
        homes={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        problems=(HOSTILE,),
    )
