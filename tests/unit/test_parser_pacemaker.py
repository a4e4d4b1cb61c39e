"""The parser of crm_mon's XML on recorded outputs (see recorded/README.md) and on written ones, marked as such."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.pacemaker import INFINITY, FailCount, FencingEvent, parse_cluster_status

RECORDED = Path(__file__).parent / "recorded"
BOTH = ("brina", "piova")


def recorded(name: str) -> str:
    return (RECORDED / f"crm_mon-{name}.xml").read_text()


def test_a_healthy_cluster() -> None:
    status = parse_cluster_status(recorded("healthy"))
    assert status.quorum and status.fencing_enabled and not status.maintenance_mode
    assert status.coordinator == "brina"
    assert status.version.startswith("2.1.5")
    assert status.online == BOTH
    assert [(node.coordinator, node.running) for node in status.nodes] == [(True, 4), (False, 4)]
    assert status.places("MS_DRBD", "Promoted") == BOTH
    assert status.places("DRBD") == BOTH
    assert status.places("OCFS_MOUNT_CLONE") == BOTH
    assert (status.places("VM_1"), status.places("VM_2")) == (("piova",), ("brina",))
    assert status.places("FENCE_brina", "Started") == ("brina",)
    assert (status.failed_actions, status.fail_counts, status.fencing) == ((), (), ())
    assert {one.agent for one in status.instances("MS_DRBD")} == {"ocf:linbit:drbd"}


def test_a_running_lab() -> None:
    status = parse_cluster_status((RECORDED / "lab-crm_mon.xml").read_text())
    assert status.quorum and status.fencing_enabled
    assert status.online == BOTH
    assert status.places("MS_DRBD", "Promoted") == status.places("OCFS_MOUNT_CLONE", "Started") == BOTH
    assert {f"VM_{number}": status.places(f"VM_{number}", "Started") for number in range(1, 6)} == {
        "VM_1": ("piova",),
        "VM_2": ("brina",),
        "VM_3": ("piova",),
        "VM_4": ("brina",),
        "VM_5": ("piova",),
    }
    assert (status.places("FENCE_BRINA"), status.places("FENCE_PIOVA")) == (("piova",), ("brina",))
    assert {one.agent for one in status.instances("FENCE_BRINA")} == {"stonith:fence_virt"}
    assert (status.failed_actions, status.fail_counts, status.fencing) == ((), (), ())


def test_failures_are_told_with_their_reasons() -> None:
    status = parse_cluster_status(recorded("failed"))
    monitor, start = status.failed_actions
    assert (monitor.operation, monitor.node, monitor.exit_code) == ("VM_1_monitor_10000", "piova", 7)
    assert (monitor.exit_status, monitor.status) == ("not running", "complete")
    assert monitor.reason == "domain 'passata' is not running"
    assert (start.operation, start.reason) == ("VM_2_start_0", "no memory")
    assert status.fail_counts == (FailCount("VM_1", "piova", 2, 5), FailCount("VM_2", "piova", INFINITY, 5))


def test_a_node_on_standby_has_nothing_and_may_have_nothing() -> None:
    status = parse_cluster_status(recorded("standby"))
    brina, piova = status.nodes
    assert brina.online and brina.standby and not brina.ready
    assert piova.ready
    assert status.online == ("piova",)
    assert status.places("MS_DRBD", "Promoted") == ("piova",)
    assert [one.role for one in status.instances("OCFS_MOUNT_CLONE")] == ["Started", "Stopped"]
    assert status.places("VM_2") == ("piova",)


def test_what_a_lost_node_ran_is_not_taken_for_running() -> None:
    status = parse_cluster_status(recorded("unclean"))
    brina, piova = status.nodes
    assert not status.quorum
    assert brina.maintenance and not brina.ready
    assert piova.unclean and not piova.online and not piova.ready
    assert status.places("VM_1") == ()
    (guest,) = status.instances("VM_1")
    assert (guest.role, guest.doubtful_nodes) == ("Started", ("piova",))
    assert not status.instances("VM_2")[0].managed


def test_a_node_without_pacemaker_is_told() -> None:
    with pytest.raises(LabError, match="crm_mon failed: Not connected; error: Could not connect to launcher") as caught:
        parse_cluster_status(recorded("down"))
    assert caught.value.remedy


def test_an_error_with_status_0_is_an_error_too() -> None:
    # Recorded with CIB_file naming no file.
    text = """<pacemaker-result api-version="2.25" request="crm_mon --output-as=xml -r -f">
      <status code="0" message="OK">
        <errors><error>Could not connect to the CIB: No such device or address</error></errors>
      </status>
    </pacemaker-result>"""
    with pytest.raises(LabError, match="Could not connect to the CIB"):
        parse_cluster_status(text)


# Written after xml/api/fence-event-2.15.rng of Pacemaker; not recorded.
FENCING = """
  <fence_history status="0">
    <fence_event action="reboot" target="piova" client="pacemaker-controld.812" origin="brina" status="success"
                 delegate="brina" completed="2026-11-23 18:00:00Z"/>
    <fence_event action="reboot" target="brina" client="stonith_admin.9" origin="piova" status="failed"
                 exit-reason="no answer"/>
  </fence_history>
"""


def test_fencing_is_remembered() -> None:
    text = recorded("healthy").replace("<node_history>", FENCING + "<node_history>", 1)
    assert parse_cluster_status(text).fencing == (
        FencingEvent("piova", "reboot", "success", "brina", "pacemaker-controld.812", "2026-11-23 18:00:00Z", ""),
        FencingEvent("brina", "reboot", "failed", "", "stonith_admin.9", "", "no answer"),
    )


def test_roles_of_pacemaker_2_0_and_numbered_instances_have_todays_names() -> None:
    text = (
        recorded("healthy").replace('role="Promoted"', 'role="Master"').replace('id="OCFS_MOUNT"', 'id="OCFS_MOUNT:1"')
    )
    status = parse_cluster_status(text)
    assert status.places("MS_DRBD", "Promoted") == BOTH
    assert status.places("OCFS_MOUNT") == BOTH


def test_a_guest_that_runs_twice_is_seen_twice() -> None:
    single = '<node name="piova" id="2" cached="true"/>\n    </resource>\n    <resource id="VM_2"'
    text = recorded("healthy")
    assert single in text
    doubled = text.replace(single, '<node name="brina" id="1" cached="true"/>' + single)
    assert parse_cluster_status(doubled).places("VM_1") == BOTH


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('online="true"', 'online="perhaps"', "online='perhaps'"),
        ('online="true" ', "", "no attribute online in <node>"),
        ('resources_running="4"', 'resources_running="-4"', "resources_running='-4'"),
        ("current_dc", "current", "no element summary/current_dc"),
        ("cluster_options", "options", "no element summary/cluster_options"),
        ('role="Started" ', "", "no attribute role in <resource>"),
        ("pacemaker-result", "other", "<other>"),
        ("</nodes>", "", "not XML"),
        ('<status code="0"', '<state code="0"', "crm_mon failed: no status"),
    ],
)
def test_what_cannot_be_read_is_named(old: str, new: str, fault: str) -> None:
    text = recorded("healthy")
    assert old in text
    with pytest.raises(LabError) as caught:
        parse_cluster_status(text.replace(old, new))
    assert fault in caught.value.message


@pytest.mark.parametrize("text", ["", "crm_mon: Error: cluster is not available on this node"])
def test_plain_text_is_not_a_status(text: str) -> None:
    with pytest.raises(LabError, match="not XML"):
        parse_cluster_status(text)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    with pytest.raises(LabError):
        parse_cluster_status(text)


@given(st.data())
def test_an_output_cut_short_anywhere_is_an_error(data: st.DataObject) -> None:
    text = recorded("failed").rstrip()
    length = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(LabError):
        parse_cluster_status(text[:length])
