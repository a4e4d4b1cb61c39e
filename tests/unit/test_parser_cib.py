"""The parser of Pacemaker's configuration on the CIB of a running lab (see recorded/README.md) and on changed ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.cib import INFINITY, Colocation, Location, Operation, Order, parse_cib

TEXT = (Path(__file__).parent / "recorded" / "lab-cib.xml").read_text()
CIB = parse_cib(TEXT)


def test_options_and_defaults() -> None:
    assert CIB.properties["stonith-enabled"] == "true"
    assert CIB.properties["no-quorum-policy"] == "stop"
    assert CIB.resource_defaults == {"resource-stickiness": "0"}


def test_resources() -> None:
    assert set(CIB.primitives) == {
        *("DRBD", "OCFS_MOUNT", "FENCE_BRINA", "FENCE_PIOVA"),
        *(f"VM_{number}" for number in range(1, 6)),
    }
    guest = CIB.primitives["VM_1"]
    assert (guest.agent, guest.parameters["config"]) == ("ocf:heartbeat:VirtualDomain", "/etc/libvirt/qemu/passata.xml")
    assert guest.meta == {"allow-migrate": "true", "migration-threshold": "5"}
    assert guest.operation("monitor") == Operation("monitor", 10, 90)
    assert guest.operation("promote") is None
    assert CIB.primitives["FENCE_BRINA"].agent == "stonith:fence_virt"


def test_a_resource_in_a_clone_has_its_operations_by_role() -> None:
    drbd = CIB.primitives["DRBD"]
    assert drbd.operation("monitor", "Promoted") == Operation("monitor", 20, 720, "Promoted")
    assert drbd.operation("monitor", "Unpromoted") == Operation("monitor", 30, 720, "Unpromoted")
    assert {clone.name: clone.resource for clone in CIB.clones.values()} == {
        "MS_DRBD": "DRBD",
        "OCFS_MOUNT_CLONE": "OCFS_MOUNT",
    }
    assert CIB.clones["MS_DRBD"].meta["promoted-max"] == "2"


def test_constraints() -> None:
    assert CIB.locations["VM_1_ON_PIOVA"] == Location("VM_1_ON_PIOVA", "VM_1", "piova", INFINITY)
    assert CIB.locations["VM_1_ON_BRINA"].score == 100
    assert CIB.locations["FENCE_BRINA_ELSEWHERE"].score == -INFINITY
    assert CIB.colocations["VM_1_WITH_OCFS"] == Colocation("VM_1_WITH_OCFS", "VM_1", "OCFS_MOUNT_CLONE", INFINITY)
    assert CIB.colocations["OCFS_WITH_DRBD"].with_role == "Promoted"
    assert CIB.orders["OCFS_AFTER_DRBD"] == Order(
        "OCFS_AFTER_DRBD", "MS_DRBD", "OCFS_MOUNT_CLONE", "promote", "start", "Mandatory"
    )
    assert len(CIB.constraint_names) == 2 + 2 + 5 * 4


def test_words_of_older_tools_mean_the_same() -> None:
    text = TEXT.replace('with-rsc-role="Promoted"', 'with-rsc-role="Master"').replace(
        'role="Promoted"', 'role="Master"'
    )
    assert parse_cib(text) == CIB


def test_the_studys_set_is_a_clone_too() -> None:
    """crmsh writes "ms" as an element of its own, "master"."""
    cib = parse_cib((Path(__file__).parent / "recorded" / "study-cib.xml").read_text())
    assert {clone.name: clone.resource for clone in cib.clones.values()} == {
        "MS_DRBD": "DRBD",
        "OCFS_MOUNT_CLONE": "OCFS_MOUNT",
    }
    assert cib.clones["MS_DRBD"].meta["master-max"] == "2"
    assert cib.primitives["DRBD"].operation("monitor", "Promoted") == Operation("monitor", 20, 240, "Promoted")
    assert cib.colocations["OCFS_WITH_DRBD"].with_role == "Promoted"


def test_a_rule_that_a_fence_handler_left_behind_is_seen() -> None:
    # Written after what crm-fence-peer.sh of drbd-utils adds; not recorded.
    rule = """<rsc_location rsc="MS_DRBD" id="drbd-fence-by-handler-vms-MS_DRBD">
      <rule role="Master" score="-INFINITY" id="r"><expression attribute="#uname" operation="ne" value="brina" id="e"/>
      </rule></rsc_location></constraints>"""
    cib = parse_cib(TEXT.replace("</constraints>", rule))
    assert cib.locations["drbd-fence-by-handler-vms-MS_DRBD"].by_rule
    assert cib.constraint_names - CIB.constraint_names == {"drbd-fence-by-handler-vms-MS_DRBD"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("20", 20), ("20s", 20), ("3min", 180), ("1h", 3600), ("500ms", 0.5), ("2 m", 120)]
)
def test_durations(text: str, seconds: float) -> None:
    old = 'name="monitor" interval="10" timeout="90" id="VM_1-monitor-10"'
    assert old in TEXT
    operation = parse_cib(TEXT.replace(old, old.replace('"90"', f'"{text}"'))).primitives["VM_1"].operation("monitor")
    assert operation is not None
    assert operation.timeout_s == seconds


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("<cib ", "<other ", "not XML"),
        ('timeout="90"', 'timeout="soon"', "'soon' is no duration"),
        ('timeout="90"', 'timeout="5 parsecs"', "'5 parsecs' is no duration"),
        ('score="100"', 'score="much"', "'much' is no score"),
        ('type="VirtualDomain"', "", "no attribute type in <primitive>"),
        ('score="100" node="piova"', 'score="100"', "no attribute node in <rsc_location>"),
        ("configuration>", "settings>", "without a configuration"),
    ],
)
def test_what_cannot_be_read_is_named(old: str, new: str, fault: str) -> None:
    assert old in TEXT
    with pytest.raises(LabError) as caught:
        parse_cib(TEXT.replace(old, new))
    assert fault in caught.value.message


@pytest.mark.parametrize("text", ["", "Could not connect to the CIB manager: Transport endpoint is not connected"])
def test_plain_text_is_no_configuration(text: str) -> None:
    with pytest.raises(LabError, match="not XML"):
        parse_cib(text)


@given(st.integers(0, len(TEXT.rstrip()) - 1))
def test_an_output_cut_short_anywhere_is_an_error(length: int) -> None:
    with pytest.raises(LabError):
        parse_cib(TEXT[:length])
