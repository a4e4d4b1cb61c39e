"""Drills as data: what can be ordered, where guests ran, audits and objectives, and their text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.drills import audits
from lab.core.drills.catalogue import DRILLS, NAMES, Order, drill_named, planned
from lab.core.drills.objectives import judge_objectives
from lab.core.drills.record import (
    AuditResult,
    DrillRecord,
    ObjectiveResult,
    OutageFigure,
    Phase,
    StreamFigures,
    as_document,
    from_document,
)
from lab.core.drills.residence import Residence, overlaps, residences, restarts
from lab.core.errors import LabError
from lab.core.faults.catalogue import FAULTS
from lab.core.health import NodeFacts
from lab.core.model import Lab, Objective
from lab.core.parsers.drbd import parse_proc_drbd
from lab.core.topology import parse_topology
from lab.workflows.drill_judgement import too_many
from lab.workflows.drill_text import text_of

ROOT = Path(__file__).resolve().parents[2]
DRBD = (ROOT / "tests/unit/recorded/lab-proc-drbd.txt").read_text()
MOUNTED = "/dev/drbd0 ocfs2 rw,relatime,heartbeat=local"

LOG = """\
2026-11-25 03:38:10.123+0000: starting up libvirt version: 9.0.0, package: 9.0.0-4+deb12u2, qemu version: 7.2.17
LC_ALL=C \\
/usr/bin/qemu-system-x86_64 \\
-name guest=passata,debug-threads=on \\
-msg timestamp=on
char device redirected to /dev/pts/0 (label charserial0)
2026-11-25 03:50:00.500+0000: initiating migration
2026-11-25 03:50:20.000+0000: shutting down, reason=migrated
2026-11-25T03:50:20.010000Z qemu-system-x86_64: terminating on signal 15 from pid 700 (/usr/sbin/libvirtd)
2026-11-25 03:55:00.000+0000: starting up libvirt version: 9.0.0, package: 9.0.0-4+deb12u2, qemu version: 7.2.17
/usr/bin/qemu-system-x86_64 \\
-incoming defer \\
-msg timestamp=on
"""


@pytest.fixture
def lab() -> Lab:
    path = ROOT / "topologies" / "two-node.yaml"
    return parse_topology(path.read_text(), source=path.name)


def facts(*running: str, boot_id: str = "one", mount: str = MOUNTED, drbd: str = DRBD) -> NodeFacts:
    return NodeFacts(boot_id, 100.0, parse_proc_drbd(drbd), mount, running, None)


# What can be ordered


def test_an_order_becomes_as_many_plans_as_it_says(lab: Lab) -> None:
    plans = planned(lab, Order("power-off", node="piova", repeat=3, seed=7))
    assert [(plan.target, plan.seed) for plan in plans] == [("piova", 7), ("piova", 8), ("piova", 9)]
    assert all(plan.guest is None for plan in plans)


def test_a_drill_on_a_guest_is_about_its_home(lab: Lab) -> None:
    (plan,) = planned(lab, Order("guest-crash", guest="SOLDI"))
    assert (plan.target, plan.node.name) == ("Soldi", "brina")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (Order("power-of"), "there is no drill 'power-of'"),
        (Order("reboot", repeat=0), "--repeat 0 is no number of times"),
        (Order("reboot", node="briana"), "briana is not a node of lab halab"),
        (Order("reboot", guest="soldi"), "reboot is done to a node"),
        (Order("live-migrate", node="brina"), "live-migrate is done to a guest"),
        (Order("live-migrate", guest="soldo"), "soldo is not a guest of lab halab"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(lab: Lab, order: Order, message: str) -> None:
    with pytest.raises(LabError) as caught:
        planned(lab, order)
    assert (caught.value.message, caught.value.exit_code) == (message, 2)
    assert caught.value.remedy


def test_the_nearest_drill_is_offered() -> None:
    with pytest.raises(LabError) as caught:
        drill_named("live-migrat")
    assert "'live-migrate'" in caught.value.remedy
    assert all(name in caught.value.remedy for name in NAMES)


# Where guests ran


def test_a_log_tells_of_processes_migrations_and_ends() -> None:
    first, second = residences(LOG, "passata", "piova")
    assert (first.incoming, first.reason) == (False, "migrated")
    assert first.end_s is not None
    assert round(first.end_s - first.start_s, 3) == 729.877
    assert (second.incoming, second.end_s) == (True, None)


def test_a_node_where_a_guest_never_was_has_nothing_to_tell() -> None:
    assert residences("", "passata", "brina") == ()
    assert residences("no word of a start\n", "passata", "brina") == ()


def test_a_start_without_a_word_about_the_end_before_leaves_it_open() -> None:
    begin, _, rest = LOG.partition("2026-11-25 03:50:00.500")
    log = begin + rest[rest.index("2026-11-25 03:55:00") :]
    assert [one.end_s for one in residences(log, "passata", "piova")] == [None, None]


def ran(node: str, start: float, end: float | None, *, incoming: bool = False, reason: str = "") -> Residence:
    return Residence("passata", node, start, end, incoming, reason)


def found(
    *all_of: Residence, losses: dict[str, list[float]] | None = None, offset_s: float = 0.0, since_s: float = 0.0
) -> list[str]:
    offsets_s = {"piova": offset_s}
    return overlaps(all_of, offsets_s=offsets_s, power_lost_s=losses or {}, tolerance_s=1.0, since_s=since_s)


def test_a_live_migration_is_not_running_twice() -> None:
    source = ran("brina", 0, 120, reason="migrated")
    assert found(source, ran("piova", 100, None, incoming=True)) == []
    # Without the word that the source let go of it, it is.
    assert found(ran("brina", 0, 120, reason="shutdown"), ran("piova", 100, None, incoming=True)) != []


def test_an_abandoned_migration_never_ran() -> None:
    assert found(ran("brina", 0, None), ran("piova", 100, 110, incoming=True, reason="failed")) == []


def test_a_second_start_is_found_and_a_power_loss_ends_the_first() -> None:
    twice = (ran("brina", 0, None), ran("piova", 100, None))
    assert found(*twice) == ["passata ran on brina and on piova at once, for inf s"]
    assert found(*twice, losses={"brina": [99.5]}) == []
    assert found(*twice, losses={"brina": [160.0]}) == ["passata ran on brina and on piova at once, for 60.0 s"]


def test_what_an_earlier_drill_left_in_the_logs_is_no_second_run() -> None:
    """piova lost power at 100, the guest ran on brina until it went home at 365, and then nothing happened to it."""
    earlier = (ran("piova", 0, None), ran("brina", 144, 365, reason="migrated"), ran("piova", 354, None, incoming=True))
    assert found(*earlier, since_s=500) == []
    # Now it moves away and home again, while nobody knows any more when the first process ended.
    later = (
        *(ran("piova", 0, None), ran("brina", 144, 365, reason="migrated")),
        *(
            ran("piova", 354, 620, incoming=True, reason="migrated"),
            ran("brina", 610, 720, incoming=True, reason="migrated"),
        ),
        ran("piova", 710, None, incoming=True),
    )
    assert found(*later, since_s=500) == []
    # A second run in this drill is found as before.
    assert found(*later, ran("brina", 800, 830, reason="destroyed"), since_s=500) == [
        "passata ran on piova and on brina at once, for 30.0 s"
    ]


def test_clocks_are_compared_before_intervals_are() -> None:
    one, other = ran("brina", 0, 100, reason="destroyed"), ran("piova", 95, None)
    assert found(one, other) != []
    # Its clock is ten seconds behind the host's.
    assert found(one, other, offset_s=-10.0) == []


@given(st.lists(st.tuples(st.sampled_from(["brina", "piova"]), st.floats(0, 1000), st.floats(2, 100)), max_size=8))
def test_what_follows_one_another_never_overlaps_and_what_does_is_found(
    pieces: list[tuple[str, float, float]],
) -> None:
    at_s, one_by_one = 0.0, []
    for node, gap_s, length_s in pieces:
        one_by_one.append(ran(node, at_s + gap_s, at_s + gap_s + length_s, reason="shutdown"))
        at_s += gap_s + length_s
    assert found(*one_by_one) == []
    for one in one_by_one:
        other = "piova" if one.node == "brina" else "brina"
        assert found(*one_by_one, replace(one, node=other))


def test_a_few_requests_that_were_not_sent_are_no_problem_and_many_are() -> None:
    assert too_many({"http-read Soldi": 8}, {"http-read Soldi": 950}) == {}
    assert too_many({"http-read Soldi": 200, "dns Passata": 1}, {"http-read Soldi": 750, "dns Passata": 900}) == {
        "http-read Soldi": 200
    }
    assert too_many({"icmp brina": 1}, {}) == {"icmp brina": 1}


def test_a_start_is_a_restart_unless_it_receives_a_migration() -> None:
    before, moved, anew = ran("brina", 0, 120), ran("piova", 100, None, incoming=True), ran("brina", 130, None)
    assert restarts([before, moved], offsets_s={}, since_s=50) == []
    assert restarts([before, moved, anew], offsets_s={}, since_s=50) == [
        "passata was started on brina 80 s after the fault"
    ]
    # Its clock is a hundred seconds ahead of the host's: it was before the fault.
    assert restarts([anew], offsets_s={"brina": 100.0}, since_s=50) == []


# Audits and objectives


def test_a_healthy_lab_passes_the_audits_of_storage_and_guests(lab: Lab) -> None:
    at_home = {name: [guest.domain for guest in lab.guests if guest.home == name] for name in lab.node_names}
    nodes = {name: facts(*guests) for name, guests in at_home.items()}
    assert audits.audit_storage(lab, nodes).ok
    assert audits.audit_file_system(lab, nodes, {}).ok
    assert audits.audit_guests(lab, nodes).ok


def test_each_audit_finds_its_violation(lab: Lab) -> None:
    nodes: dict[str, NodeFacts | None] = {"brina": facts("passata", "soldi"), "piova": facts("passata")}
    assert not audits.audit_guests(lab, nodes).ok
    assert "Passata runs on brina and piova, home is piova" in audits.audit_guests(lab, nodes).findings
    assert not audits.audit_health(lab, nodes).ok
    nodes["piova"] = facts(drbd=DRBD.replace("UpToDate/UpToDate", "UpToDate/Outdated"), mount="")
    assert not audits.audit_storage(lab, nodes).ok
    assert not audits.audit_file_system(lab, nodes, {}).ok
    nodes["piova"] = None
    assert not audits.audit_storage(lab, nodes).ok
    assert not audits.audit_file_system(
        lab, {"brina": facts(), "piova": facts(mount=MOUNTED.replace("rw", "ro"))}, {}
    ).ok


def test_out_of_sync_blocks_and_words_of_the_kernel_count(lab: Lab) -> None:
    nodes = {name: facts(drbd=DRBD.replace("oos:0", "oos:4")) for name in lab.node_names}
    assert not audits.audit_storage(lab, nodes).ok
    kernel = {"brina": "1795579819.5 brina kernel: OCFS2: ERROR (device drbd0): ocfs2_read_locked_inode: bad"}
    sound = {name: facts() for name in lab.node_names}
    assert not audits.audit_file_system(lab, sound, kernel).ok


@pytest.mark.parametrize(
    ("drill", "brina", "piova", "ok"),
    [
        ("power-off", ("a", "b"), ("c", "c"), True),
        ("power-off", ("a", "a"), ("c", "c"), False),
        ("power-off", ("a", "b"), ("c", "d"), False),
        ("power-off", ("a", ""), ("c", "c"), False),
        ("live-migrate", ("a", "a"), ("c", "c"), True),
        ("live-migrate", ("a", "a"), ("c", "d"), False),
    ],
)
def test_exactly_the_intended_node_goes_down(
    drill: str, brina: tuple[str, str], piova: tuple[str, str], *, ok: bool
) -> None:
    node = "brina" if drill_named(drill).node_goes_down else ""
    assert audits.audit_boots(drill_named(drill), node, {"brina": brina, "piova": piova}).ok is ok


@pytest.mark.parametrize(
    ("fault", "changed", "ok"),
    [
        ("freeze", {"brina"}, True),
        ("freeze", set(), False),
        ("freeze", {"piova"}, False),
        ("partition", {"piova"}, True),
        ("partition", {"brina"}, True),
        ("partition", {"brina", "piova"}, False),
        ("partition", set(), False),
        ("both-off", {"brina", "piova"}, True),
        ("both-off", {"brina"}, False),
        ("packet-loss", set(), True),
        ("packet-loss", {"piova"}, False),
        ("legs-down", set(), True),
        ("legs-down", {"brina"}, True),
    ],
)
def test_a_fault_says_who_goes_down(fault: str, changed: set[str], *, ok: bool) -> None:
    boot_ids = {name: ("a", "b" if name in changed else "a") for name in ("brina", "piova")}
    assert audits.audit_boots(drill_named(f"fault:{fault}"), "brina", boot_ids).ok is ok


def test_every_fault_is_a_drill(lab: Lab) -> None:
    for fault in FAULTS:
        (plan,) = planned(lab, Order(f"fault:{fault.name}", seed=3, seconds=7))
        assert plan.faulty is not None
        assert (plan.faulty.fault, plan.hold_s, plan.seed) == (fault, 7, 3)
        assert (plan.guest is not None) == (fault.target == "guest")
        assert plan.drill.name not in NAMES


def test_a_fault_of_a_drill_has_its_amount_and_its_target(lab: Lab) -> None:
    plans = planned(lab, Order("fault:delay", node="piova", amount=30, repeat=2))
    assert [(plan.target, plan.faulty and plan.faulty.amount, plan.seed) for plan in plans] == [
        ("piova", 30, 1),
        ("piova", 30, 2),
    ]


@pytest.mark.parametrize(
    "order",
    [Order("fault:freze"), Order("reboot", amount=3), Order("reboot", seconds=3), Order("fault:reset", amount=3)],
)
def test_a_fault_or_amount_that_cannot_be_meant_is_refused(lab: Lab, order: Order) -> None:
    with pytest.raises(LabError) as caught:
        planned(lab, order)
    assert caught.value.exit_code == 2


def test_nothing_looked_at_proves_nothing() -> None:
    assert not audits.audit_never_twice([], 0).ok
    assert audits.audit_never_twice([], 5).ok
    assert not audits.audit_never_restarted([], 0).ok
    assert audits.audit_never_restarted([], 5).ok
    assert not audits.audit_never_restarted(["passata was started on brina"], 5).ok
    assert not audits.audit_boots(DRILLS[0], "brina", {}).ok


def test_failed_actions_of_the_drill_are_expected_and_others_are_not() -> None:
    ours, strange = "VM_1_monitor_10000 on piova: not running", "DRBD_monitor_20000 on brina: error"
    assert audits.audit_failed_actions([ours], ["VM_1_monitor"]).ok
    assert audits.audit_failed_actions([], []).ok
    assert audits.audit_failed_actions([ours, strange], ["VM_1_monitor"]).findings == (strange,)


def stream(kind: str, target: str, *outages: OutageFigure) -> StreamFigures:
    return StreamFigures(kind, target, "192.0.2.1:53", 0.1, 1.0, 100, 90, 0.9, outages, {"p50": 12.0})


AWAY = OutageFigure(1.0, 41.5, 0.1, 0.2, 300)


def test_a_fault_that_may_cost_next_to_nothing_is_held_to_that() -> None:
    short, endless = OutageFigure(0.2, 1.4, 0.1, 0.1, 12), OutageFigure(50.0, None, 0.1, 0.0, 300)
    assert audits.audit_away(None, [stream("dns", "Passata", AWAY)]) == []
    (fine,) = audits.audit_away(10, [stream("dns", "Passata", short), stream("icmp", "brina")])
    assert (fine.ok, fine.findings) == (True, ("2 streams",))
    (wrong,) = audits.audit_away(10, [stream("dns", "Passata", short, AWAY, endless)])
    assert wrong.findings == (
        "dns Passata was away for 40.5 s, from 1.0 s on",
        "dns Passata was away for 30.0 s, from 50.0 s on",
    )
    (nothing,) = audits.audit_away(10, [])
    assert not nothing.ok


def test_an_objective_is_held_against_the_longest_outage(lab: Lab) -> None:
    wanted = replace(lab, objectives=(Objective("dns", "power-off", 60_000), Objective("radius", "reboot", 1)))
    streams = [stream("dns", "Passata", AWAY), stream("icmp", "Passata", OutageFigure(0, 99, 0, 0, 9))]
    (result,) = judge_objectives(wanted, "power-off", streams)
    assert (result.measured_s, result.ok) == (40.5, True)
    endless = stream("dns", "Passata", AWAY, replace(AWAY, start_s=50, end_s=None))
    (result,) = judge_objectives(wanted, "power-off", [endless])
    assert not result.ok
    # A service that nobody asked did not meet anything.
    assert not judge_objectives(wanted, "power-off", [])[0].ok
    assert judge_objectives(wanted, "live-migrate", streams) == ()


def example() -> DrillRecord:
    return DrillRecord(
        *("20261125T101500-power-off-brina", "power-off", "brina", "", 1, "halab", "tcg", 3.0, "2026-11-25T10:15:05"),
        120.0,
        phases=(Phase("fault", 0.0, "brina", "tool", 0.0, "power cut"),),
        streams=(stream("dns", "Passata", AWAY), stream("icmp", "piova")),
        audits=(AuditResult("lab healthy", ok=True), AuditResult("ledger", ok=False, findings=("3 lost: 4 5 6",))),
        objectives=(ObjectiveResult("dns", "power-off", 30.0, 40.5),),
        boot_ids={"brina": ("a", "b")},
    )


def test_a_record_survives_json_and_carries_its_verdict() -> None:
    document = json.loads(json.dumps(as_document(example())))
    assert document["ok"] is False
    assert from_document(document) == example()
    with pytest.raises(LabError, match="no drill record of format"):
        from_document({**document, "format": 99})
    with pytest.raises(LabError, match="damaged"):
        from_document({**document, "streams": "none"})


def test_a_person_reads_what_was_away_and_what_is_wrong() -> None:
    text = text_of(example(), "build/halab/drills/x")
    assert (
        "dns Passata                    100 requests,   10 without answer; median 12 ms, away 40.5 s at 1.0 s" in text
    )
    assert "icmp piova                     100 requests,   10 without answer; median 12 ms, no outage" in text
    assert "FAILED ledger\n    3 lost: 4 5 6" in text
    assert "MISSED objective: dns away at most 30 s, seen 40.5 s" in text
    assert text.endswith("FAILED; everything is in build/halab/drills/x.")
