"""The time line of a drill out of journals, in the exact forms of the programs (see WORDINGS for their versions)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.drills.record import PHASES, Phase
from lab.core.drills.timeline import IDENTIFIERS, WORDINGS, DomainEvent, phases_of
from lab.core.errors import LabError

FAULT = 1_764_043_200.0
GUESTS = {"VM_1": "Passata", "VM_2": "Speedauth"}
OFFSETS = {"brina": 0.0, "piova": 0.0}

LEFT = "corosync[702]:   [TOTEM ] A new membership (1.2f) was formed. Members left: 2"
FAILED = "corosync[702]:   [TOTEM ] Failed to receive the leave message. failed: 2"
JOINED = "corosync[702]:   [TOTEM ] A new membership (1.33) was formed. Members joined: 2"
#: A restart within the time that Corosync needs to notice.
REJOINED = "corosync[702]:   [TOTEM ] A new membership (1.a3) was formed. Members joined: 2 left: 2"
LOST = "pacemaker-attrd[731]:  notice: Node piova state is now lost"
MEMBER = "pacemaker-controld[733]:  notice: Node piova state is now member"
FENCED = (
    "pacemaker-fenced[730]:  notice: Operation 'reboot' targeting piova by brina for pacemaker-controld.733@brina: "
    "OK (complete)"
)
TERMINATED = (
    "pacemaker-controld[733]:  notice: Peer piova was terminated (reboot) by brina on behalf of "
    "pacemaker-controld.733@brina: OK"
)
RESUMED = "kernel: drbd vms: susp( 1 -> 0 ) "
FAREWELL = "lab-ocfs2-node-down[2177]: said farewell for piova, 0.7 s after it was fenced"
EVICTED = "kernel: o2cb: o2dlm has evicted node 1 from domain 6A3E5C7B9F014D2B8E1A4C6D8F0B2A4C"
END_RECOVERY = "kernel: o2dlm: End recovery on domain 6A3E5C7B9F014D2B8E1A4C6D8F0B2A4C"
BEGIN_REPLAY = "kernel: ocfs2: Begin replay journal (node 1, slot 1) on device (147,0)"
END_REPLAY = "kernel: ocfs2: End replay journal (node 1, slot 1) on device (147,0)"
STARTED = "pacemaker-controld[733]:  notice: Result of start operation for VM_1 on brina: ok"
RESYNC = "kernel: block drbd0: Resync done (total 4 sec; paused 0 sec; 8192 K/sec)"
NOTHING_TO_COPY = (
    "kernel: block drbd0: peer( Unknown -> Secondary ) conn( WFReportParams -> Connected ) "
    "pdsk( DUnknown -> UpToDate ) "
)
PROMOTED = "kernel: block drbd0: role( Secondary -> Primary ) "
MIGRATED = "pacemaker-controld[690]:  notice: Result of migrate_from operation for VM_1 on piova: ok"

POWER_OFF = [
    (3.9, LEFT),
    (3.9, FAILED),
    (4.0, LOST),
    (4.1, "pacemaker-based[728]:  notice: Node piova state is now lost"),
    (4.2, "pacemaker-fenced[730]:  notice: Requesting peer fencing (reboot) targeting piova"),
    (7.0, "pacemaker-fenced[730]:  notice: Operation 'reboot' [1901] targeting piova using FENCE_PIOVA returned 0"),
    (7.1, FENCED),
    (7.2, TERMINATED),
    (7.9, "kernel: drbd vms: fence-peer helper returned 7 (peer was stonithed)"),
    (8.0, RESUMED),
    (8.7, FAREWELL),
    (60.0, EVICTED),
    (60.5, "kernel: o2dlm: Node 0 (he) is the Recovery Master for the dead node 1 in domain 6A3E5C7B9F"),
    (61.0, END_RECOVERY),
    (61.1, BEGIN_REPLAY),
    (62.5, END_REPLAY),
    (75.0, "VirtualDomain(VM_1)[2290]: INFO: Virtual domain passata currently has no state, retrying."),
    (81.0, STARTED),
    (100.0, JOINED),
    (100.4, MEMBER),
    (130.0, RESYNC),
]
RETURNED = [
    (98.0, "corosync[640]:   [MAIN  ] Corosync Cluster Engine  starting up"),
    (99.0, "corosync[640]:   [TOTEM ] A new membership (2.30) was formed. Members joined: 2"),
    (100.1, "corosync[640]:   [TOTEM ] A new membership (1.33) was formed. Members joined: 1"),
    (101.0, "pacemaker-controld[690]:  notice: Node brina state is now member"),
    (130.2, RESYNC),
    (132.0, PROMOTED),
    (160.0, MIGRATED),
]


def journal(lines: list[tuple[float, str]], node: str, clock_s: float = 0.0) -> str:
    """As ``journalctl -o short-unix`` prints it on a node whose clock is ahead of the host's by ``clock_s``."""
    return "".join(f"{FAULT + at_s + clock_s:.6f} {node} {line}\n" for at_s, line in lines)


def phases(
    brina: list[tuple[float, str]],
    piova: list[tuple[float, str]] | None = None,
    *,
    events: tuple[DomainEvent, ...] = (),
    node: str = "piova",
    offset_error_s: float = 0.0,
) -> tuple[Phase, ...]:
    journals = {"brina": journal(brina, "brina"), "piova": journal(piova or [], "piova")}
    return phases_of(
        journals,
        offsets_s=OFFSETS,
        fault_wall_s=FAULT,
        events=events,
        guests=GUESTS,
        node=node,
        offset_error_s=offset_error_s,
    )


def short(found: tuple[Phase, ...]) -> list[tuple[float, str, str, str]]:
    return [(round(phase.at_s, 3), phase.name, phase.subject, phase.source) for phase in found]


def test_power_off_from_loss_to_failback() -> None:
    assert short(phases(POWER_OFF, RETURNED)) == [
        (3.9, "node lost", "piova", "corosync"),
        (7.1, "fenced", "piova", "pacemaker"),
        (8.0, "storage promoted", "brina", "drbd"),
        (8.7, "heartbeat ended", "piova", "lab"),
        (62.5, "storage recovered", "brina", "ocfs2"),
        (81.0, "guest started", "Passata", "pacemaker"),
        (100.0, "node back", "piova", "corosync"),
        (130.2, "resynchronised", "", "drbd"),
        (132.0, "storage promoted", "piova", "drbd"),
        (160.0, "failed back", "Passata", "pacemaker"),
    ]


def test_details_are_the_programs_own_words() -> None:
    found = phases(POWER_OFF, RETURNED, offset_error_s=0.25)
    assert found[1].detail == (
        "brina: Operation 'reboot' targeting piova by brina for pacemaker-controld.733@brina: OK (complete)"
    )
    assert found[-1].detail == "piova: Result of migrate_from operation for VM_1 on piova: ok"
    assert {phase.uncertainty_s for phase in found} == {0.25}


def test_every_wording_is_a_phase_and_every_program_is_asked_for() -> None:
    for wording in WORDINGS:
        assert wording.phase in (*PHASES, "restarted")
        assert any(wording.program.fullmatch(identifier) for identifier in IDENTIFIERS)
    for identifier in IDENTIFIERS:
        assert any(wording.program.fullmatch(identifier) for wording in WORDINGS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (LEFT, [("node lost", "piova")]),
        (REJOINED, [("node lost", "piova"), ("node back", "piova")]),
        (LOST, [("node lost", "piova")]),
        (LOST.replace("pacemaker-attrd", "pacemakerd"), [("node lost", "piova")]),
        (FENCED, [("fenced", "piova")]),
        (FENCED.replace("reboot", "off"), [("fenced", "piova")]),
        (FENCED.replace("by brina", "by unknown node"), [("fenced", "piova")]),
        (FENCED.replace("@brina:", "@brina (merged):"), [("fenced", "piova")]),
        (FENCED.replace("OK (complete)", "Error occurred (Error: timed out)"), []),
        (FENCED.replace("OK (complete)", "No data available (No fence device)"), []),
        (FENCED.replace("reboot", "on"), []),
        (TERMINATED, [("fenced", "piova")]),
        (TERMINATED.replace("was terminated", "was not terminated"), []),
        (RESUMED, [("storage promoted", "brina")]),
        (RESUMED.replace("1 -> 0", "0 -> 1"), []),
        ("kernel: drbd vms: conn( Connected -> NetworkFailure ) susp( 0 -> 1 ) ", []),
        (PROMOTED, [("storage promoted", "brina")]),
        ("kernel: block drbd0: peer( Secondary -> Primary ) ", []),
        ("kernel: block drbd0: role( Primary -> Secondary ) ", []),
        (FAREWELL, [("heartbeat ended", "piova")]),
        ("lab-ocfs2-node-down: nothing to say for piova", []),
        ("lab-ocfs2-node-down: OCFS2 is left to find out about piova by itself: the storage is not primary here", []),
        (EVICTED, [("storage recovered", "brina")]),
        (END_REPLAY, [("storage recovered", "brina")]),
        (BEGIN_REPLAY, []),
        (RESYNC, [("resynchronised", "")]),
        (RESYNC.replace("Resync done", "Online verify done"), []),
        (NOTHING_TO_COPY, [("resynchronised", "")]),
        (NOTHING_TO_COPY.replace("-> UpToDate", "-> Inconsistent"), []),
        ("kernel: block drbd0: peer( Unknown -> Primary ) conn( WFReportParams -> WFBitMapS ) ", []),
        (STARTED, [("guest started", "Passata")]),
        (STARTED.replace(": ok", ": error (out of memory)"), []),
        (STARTED.replace(": ok", ": Timed Out after 1m30s"), []),
        (STARTED.replace("VM_1", "OCFS_MOUNT"), []),
        (STARTED.replace("start", "stop"), []),
        (STARTED.replace("pacemaker-controld", "my-own-script"), []),
        (MIGRATED, [("failed back", "Passata")]),
        (MIGRATED.replace("on piova", "on brina"), []),
        (MIGRATED.replace("migrate_from", "migrate_to"), []),
        (JOINED, []),
        (MEMBER, []),
    ],
)
def test_one_line(line: str, expected: list[tuple[str, str]]) -> None:
    assert [(phase.name, phase.subject) for phase in phases([(5.0, line)])] == expected


#: What a node of a lab really wrote while it came up for the first time.
FIRST_BOOT = [
    (0.1, "corosync[625]:   [MAIN  ] Corosync Cluster Engine 3.1.7 starting up"),
    (2.9, "corosync[625]:   [QUORUM] Sync joined[1]: 1"),
    (2.9, "corosync[625]:   [TOTEM ] A new membership (1.5) was formed. Members joined: 1"),
    (2.9, "corosync[625]:   [QUORUM] Members[1]: 1"),
    (6.2, "kernel: ocfs2: Registered cluster interface o2cb"),
    (6.6, "pacemaker-fenced[679]:  notice: Node brina state is now member"),
    (10.4, "corosync[625]:   [TOTEM ] A new membership (1.9) was formed. Members joined: 2"),
    (12.1, "pacemaker-attrd[681]:  notice: Node piova state is now member"),
    (12.4, "pacemaker-controld[683]:  notice: Node piova state is now member"),
    (29.6, "kernel: drbd vms: conn( WFConnection -> WFReportParams ) "),
    (
        29.7,
        "kernel: block drbd0: peer( Unknown -> Secondary ) conn( WFReportParams -> Connected ) "
        "pdsk( DUnknown -> Inconsistent ) ",
    ),
    (31.6, "kernel: block drbd0: role( Secondary -> Primary ) "),
    (45.2, "kernel: o2dlm: Joining domain C27FC18216C5474BB373BC9FA72FC5F0 "),
    (45.2, "kernel: ocfs2: Mounting device (147,0) on (node 0, slot 0) with ordered data mode."),
    (58.4, "kernel: o2dlm: Node 1 joins domain C27FC18216C5474BB373BC9FA72FC5F0 "),
    (91.6, "pacemaker-controld[683]:  notice: Result of start operation for FENCE_PIOVA on brina: ok"),
    (153.5, "pacemaker-controld[683]:  notice: Result of start operation for VM_2 on brina: ok"),
]


def test_a_first_boot_is_neither_a_loss_nor_a_return() -> None:
    assert short(phases(FIRST_BOOT)) == [
        (31.6, "storage promoted", "brina", "drbd"),
        (153.5, "guest started", "Speedauth", "pacemaker"),
    ]


def test_what_was_before_the_fault_does_not_count() -> None:
    before = [(at_s - 1000, line) for at_s, line in POWER_OFF]
    assert phases(before) == ()
    assert short(phases([(-0.2, STARTED)], offset_error_s=0.25)) == [(-0.2, "guest started", "Passata", "pacemaker")]


def test_a_node_that_was_never_lost_cannot_come_back() -> None:
    assert phases([(5.0, JOINED), (6.0, MEMBER)]) == ()


def test_the_daemons_of_pacemaker_suffice_without_corosync() -> None:
    assert short(phases([(4.0, LOST), (4.1, LOST), (90.0, MEMBER), (90.5, MEMBER)])) == [
        (4.0, "node lost", "piova", "pacemaker"),
        (90.0, "node back", "piova", "pacemaker"),
    ]


def test_lost_twice_is_told_twice() -> None:
    lines = [(4.0, LEFT), (5.0, LOST), (50.0, JOINED), (51.0, MEMBER), (60.0, LEFT), (110.0, JOINED)]
    assert [(at_s, name) for at_s, name, _, _ in short(phases(lines))] == [
        (4.0, "node lost"),
        (50.0, "node back"),
        (60.0, "node lost"),
        (110.0, "node back"),
    ]


def test_the_fenced_side_of_a_split_is_not_believed() -> None:
    mirrored = [(3.8, LEFT), (4.2, LOST.replace("piova", "brina"))]
    found = short(phases([(3.9, LEFT), (4.0, LOST), (9.0, FENCED)], mirrored, node="brina"))
    assert found == [(3.9, "node lost", "piova", "corosync"), (9.0, "fenced", "piova", "pacemaker")]


def test_without_fencing_both_sides_are_told() -> None:
    found = short(phases([(3.9, LEFT)], [(4.2, LOST.replace("piova", "brina"))]))
    assert found == [(3.9, "node lost", "piova", "corosync"), (4.2, "node lost", "brina", "pacemaker")]


def test_a_restarted_observer_has_lost_nobody() -> None:
    piova = [(3.0, LOST.replace("piova", "brina")), *RETURNED]
    assert [phase for phase in phases([], piova) if phase.name == "node back"] == []


def test_corosync_alone_names_nobody_among_three() -> None:
    journals = {"piova": "", "terza": ""} | {"brina": journal([(4.0, LEFT), (5.0, LOST)], "brina")}
    offsets = dict.fromkeys(journals, 0.0)
    found = phases_of(journals, offsets_s=offsets, fault_wall_s=FAULT, events=(), guests=GUESTS, node="piova")
    assert short(found) == [(5.0, "node lost", "piova", "pacemaker")]


def test_each_start_of_a_guest_is_told() -> None:
    found = phases([(40.0, STARTED), (55.0, STARTED), (56.0, STARTED.replace("VM_1", "VM_2"))])
    assert [(phase.at_s, phase.subject) for phase in found] == [(40, "Passata"), (55, "Passata"), (56, "Speedauth")]


def test_nothing_fails_back_without_a_node() -> None:
    assert phases([], RETURNED[-1:], node="") == ()


def event(at_s: float, word: str, detail: str = "", node: str = "piova") -> DomainEvent:
    return DomainEvent(FAULT + at_s, node, word, detail)


def test_libvirt_confirms_fencing() -> None:
    events = (event(6.2, "stopped", "destroyed"), event(6.4, "started", "booted"), event(6.1, "stopped", "", "brina"))
    found = [phase for phase in phases(POWER_OFF, events=events) if phase.name == "fenced"]
    assert [(round(phase.at_s, 3), phase.subject, phase.source, phase.detail) for phase in found] == [
        (6.2, "piova", "libvirt", "stopped (destroyed)"),
        (7.1, "piova", "pacemaker", found[1].detail),
    ]
    assert found[0].uncertainty_s == 0


def test_the_power_off_of_the_drill_is_no_fencing() -> None:
    events = (event(0.1, "stopped", "destroyed"), event(20.0, "stopped", "destroyed"))
    assert [phase.source for phase in phases(POWER_OFF, events=events) if phase.name == "fenced"] == ["pacemaker"]


def test_libvirt_alone_says_nothing() -> None:
    assert phases([(3.9, LEFT)], events=(event(6.2, "stopped", "destroyed"),)) == phases([(3.9, LEFT)])


def test_fencing_by_hand_is_confirmed_too() -> None:
    found = phases([(7.1, FENCED), (8.0, LEFT)], events=(event(6.9, "Stopped"),))
    assert short(found) == [
        (6.9, "fenced", "piova", "libvirt"),
        (7.1, "fenced", "piova", "pacemaker"),
        (8.0, "node lost", "piova", "corosync"),
    ]


def test_a_clock_that_was_not_compared_is_an_error() -> None:
    with pytest.raises(LabError, match="the clock of brina was not compared"):
        phases_of({"brina": ""}, offsets_s={}, fault_wall_s=FAULT, events=(), guests=GUESTS, node="piova")


SHIFTS = st.floats(-5000, 5000).map(lambda value: round(value, 3))


@given(brina=SHIFTS, piova=SHIFTS, host=SHIFTS)
def test_clocks_that_are_off_make_no_difference(brina: float, piova: float, host: float) -> None:
    """Offsets are taken away, and the host's own clock only counts from the fault on."""
    journals = {
        "brina": journal(POWER_OFF, "brina", host + brina),
        "piova": journal(RETURNED, "piova", host + piova),
    }
    found = phases_of(
        journals,
        offsets_s={"brina": brina, "piova": piova},
        fault_wall_s=FAULT + host,
        events=(DomainEvent(FAULT + host + 6.2, "piova", "stopped"),),
        guests=GUESTS,
        node="piova",
    )
    straight = phases(POWER_OFF, RETURNED, events=(event(6.2, "stopped"),))
    assert [(phase.name, phase.subject) for phase in found] == [(phase.name, phase.subject) for phase in straight]
    assert [phase.at_s for phase in found] == pytest.approx([phase.at_s for phase in straight], abs=1e-3)


LINES = [line for _, line in [*POWER_OFF, *RETURNED]]


@given(
    st.lists(st.tuples(st.floats(0, 600), st.sampled_from(LINES))),
    st.lists(st.tuples(st.floats(0, 600), st.sampled_from(LINES))),
)
def test_always_in_order_and_never_before_the_fault(
    brina: list[tuple[float, str]], piova: list[tuple[float, str]]
) -> None:
    found = phases(brina, piova)
    times = [phase.at_s for phase in found]
    assert times == sorted(times)
    assert all(at_s >= -1e-5 for at_s in times)
    # Who was fenced is not believed, and who was restarted does not remember.
    if any(phase.name == "fenced" for phase in found) or any("starting up" in line for _, line in [*brina, *piova]):
        return
    for subject in ("brina", "piova"):
        turns = [phase.name for phase in found if phase.name in ("node lost", "node back") and phase.subject == subject]
        assert all(first != second for first, second in pairwise(["node back", *turns]))


@given(st.lists(st.text(max_size=200)), st.integers(0, 20))
def test_lines_that_say_nothing_change_nothing(noise: list[str], place: int) -> None:
    lines = journal(POWER_OFF, "brina").splitlines(keepends=True)
    place = min(place, len(lines))
    noisy = (
        "".join(lines[:place]) + "".join(f"{text}\n" for text in ["-- Boot 5f0c --", *noise]) + "".join(lines[place:])
    )
    found = phases_of(
        {"brina": noisy, "piova": ""}, offsets_s=OFFSETS, fault_wall_s=FAULT, events=(), guests=GUESTS, node="piova"
    )
    assert found == phases(POWER_OFF)
