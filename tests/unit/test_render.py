"""Pieces of the renderer: text for YAML, tables of modes, scaled times, templates that are wrong."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import InputError, LabError
from lab.core.model import LabImages
from lab.core.render import facts
from lab.core.render.engine import Engine, yaml_block
from lab.core.render.guest_seed import seed_tar
from lab.core.render.modes import FileMode, parse_modes
from tests.golden.example import at_subnets, example_lab, rendered

TOLD_APART_BY = ("name>", "uuid>", "mac ", "bridge ", "ip ")
LINES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp", "Zs"), include_characters=" \t\n#:-'\"{}|>%&*")
)


@given(LINES, st.integers(2, 8))
def test_block_scalar_reads_back_as_the_text(text: str, indent: int) -> None:
    document = f"key:\n{' ' * (indent - 2)}inner: {yaml_block(text, indent)}\nnext: 1\n"
    if indent == 2:
        document = f"inner: {yaml_block(text, indent)}\nnext: 1\n"
    read = yaml.safe_load(document)
    assert (read if indent == 2 else read["key"])["inner"] == text


def test_block_scalar_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(LabError, match=r"holds the character '\\x07'"):
        yaml_block("bell\x07", 2)


@given(st.floats(1, 20), st.integers(1, 10**6))
def test_scaled_times_never_shrink_and_are_never_short(scale: float, value: int) -> None:
    out = facts.scaled(value, scale)
    assert out >= value
    assert out >= value * scale - 1e-5
    assert out < value * scale + 1 + 1e-5


@given(st.floats(1, 20), st.integers(2, 200))
def test_o2cb_time_is_stretched_not_its_threshold(scale: float, threshold: int) -> None:
    lab = replace(example_lab(), detection_scale=scale)
    lab = replace(lab, storage=replace(lab.storage, ocfs2_heartbeat_threshold=threshold))
    out = facts.heartbeat_threshold(lab)
    assert out >= facts.O2CB_LEAST_THRESHOLD
    assert (out - 1) * 2 >= (threshold - 1) * 2 * scale - 1e-5


@given(st.floats(1, 20))
def test_drbd_timeout_stays_below_its_intervals(scale: float) -> None:
    values = facts.drbd_values(replace(example_lab(), time_scale=2 * scale, detection_scale=scale))
    assert values["timeout_ds"] < values["connect_interval_s"] * 10
    assert values["timeout_ds"] < values["ping_interval_s"] * 10


@pytest.mark.parametrize("scale", [1, 1.5, 3])
def test_a_survivors_own_heartbeat_outlasts_the_fencing_of_its_peer(scale: float) -> None:
    """Writing stands still until DRBD has noticed the loss, the delay of a duel is over and the peer is fenced."""
    lab = replace(example_lab(), time_scale=2 * scale, detection_scale=scale)
    drbd, cluster = facts.drbd_values(lab), facts.cluster_values(lab)
    # A silence begins to count with the second interval when the first was not wholly silent.
    noticed_s = 2 * drbd["ping_interval_s"] + drbd["ping_timeout_ds"] / 10
    fencing_s = cluster["fence_delay_s"] + 2 * scale
    assert (facts.heartbeat_threshold(lab) - 1) * 2 >= 1.3 * (noticed_s + fencing_s)


@given(st.floats(1, 20))
def test_corosync_consensus_stays_above_token(scale: float) -> None:
    """corosync.conf(5): consensus has to be at least 1.2 times token."""
    values = facts.cluster_values(replace(example_lab(), detection_scale=scale))
    assert values["consensus_ms"] >= 1.2 * values["token_ms"] - 1.2


def test_a_name_that_nobody_defined_is_an_error() -> None:
    with pytest.raises(LabError, match=r"a\.j2: 'nobody' is undefined"):
        Engine({"a.j2": "{{ nobody }}"}).text("a.j2", {})
    with pytest.raises(LabError, match=r"a\.j2: 'dict object' has no attribute 'nobody'"):
        Engine({"a.j2": "{{ node.nobody }}"}).text("a.j2", {"node": {}})


def test_syntax_and_missing_templates_name_their_place() -> None:
    with pytest.raises(LabError, match=r"a\.j2:2: "):
        Engine({"a.j2": "one\n{% for %}"}).text("a.j2", {})
    with pytest.raises(LabError, match=r"template b\.j2 is missing"):
        Engine({}).text("b.j2", {})


def test_modes_are_read() -> None:
    text = 'etc/key: {mode: "0400", secret: true}\netc/web: {uid: 33, gid: 33}\n'
    assert parse_modes("modes.yaml", text) == {
        "etc/key": FileMode(0o400, secret=True),
        "etc/web": FileMode(0o644, 33, 33),
    }
    assert parse_modes("modes.yaml", "") == {}


def test_all_mistakes_in_modes_are_told_at_once() -> None:
    text = (
        '/etc/a: {mode: "0600"}\n'
        "etc/../b: {}\n"
        "etc/c: 0600\n"
        "etc/d: {mod: 1}\n"
        "etc/e: {mode: 0600}\n"
        'etc/f: {mode: "0800"}\n'
        "etc/g: {uid: www-data}\n"
        'etc/h: {secret: "yes"}\n'
    )
    with pytest.raises(InputError) as caught:
        parse_modes("modes.yaml", text)
    assert [f"{problem.place}: {problem.message}" for problem in caught.value.problems] == [
        "/etc/a: is not a path below the target's root",
        "etc/../b: is not a path below the target's root",
        "etc/c: is not a mapping",
        "etc/d: unknown key mod",
        "etc/e.mode: 384 is not octal digits in quotes",
        "etc/f.mode: '0800' is not octal digits in quotes",
        "etc/g.uid: is not a number",
        "etc/h.secret: is neither true nor false",
    ]


def test_a_services_file_replaces_the_common_one_and_modes_hold() -> None:
    engine = Engine(
        {
            "cloudinit/guests/common/etc/a.j2": "common {{ zone }}",
            "cloudinit/guests/common/etc/b.j2": "b",
            "cloudinit/guests/dns/etc/a.j2": "dns {{ zone }}",
            "cloudinit/guests/web/etc/c.j2": "not for dns",
            "cloudinit/guests/modes.yaml": 'etc/b: {mode: "0600", uid: 7}\n',
        }
    )
    data = seed_tar(engine, {"zone": "z"}, "dns")
    assert len(data) == 1024 * 1024
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        entries = {entry.name: (entry.mode, entry.uid, archive.extractfile(entry).read()) for entry in archive}  # type: ignore[union-attr]
    assert entries == {"etc/a": (0o644, 0, b"dns z"), "etc/b": (0o600, 7, b"b")}


def test_two_labs_share_no_name_address_or_uuid() -> None:
    """All of what a host or a network tells apart by: names, addresses, UUIDs, interfaces."""
    lab = example_lab()
    words: list[set[str]] = []
    for name in ("alpha", "beta"):
        tree = rendered(at_subnets(lab, name))
        found: set[str] = set()
        for path in ("libvirt/domains/brina.xml", "libvirt/networks/service.xml", "libvirt/networks/management.xml"):
            for line in tree[path].decode().splitlines():
                if any(
                    f"<{tag}" in line for tag in ("name>", "uuid>", "mac ", "bridge ", "ip ", "target dev='" + name)
                ):
                    found.add(line.strip())
        words.append(found)
    assert len(words[0]) >= 15
    assert not words[0] & words[1]


def test_names_of_interfaces_fit_the_kernel() -> None:
    tree = rendered(at_subnets(example_lab(), "abcdefghij"))
    text = (tree["libvirt/domains/piova.xml"] + tree["libvirt/networks/service.xml"]).decode()
    names = re.findall("<(?:target dev|bridge name)='(abc[^']*)'", text)
    assert len(names) == 4
    assert max(map(len, names)) <= 15


def test_guest_name_has_a_line_of_its_own() -> None:
    """The resource agent VirtualDomain finds the domain's name by this pattern."""
    tree = rendered(example_lab())
    for guest in example_lab().guests:
        lines = tree[f"guests/{guest.domain}/domain.xml"].decode().splitlines()
        assert [line for line in lines if "<name>" in line and "</name>" in line] == [f"  <name>{guest.domain}</name>"]


def test_cib_holds_no_comment() -> None:
    """crmsh would store comments in the CIB."""
    lines = rendered(example_lab())["cluster/cib.crm"].decode().splitlines()
    assert lines
    assert not [line for line in lines if line.lstrip().startswith("#")]


def test_disks_are_files_in_the_directories_of_their_pools() -> None:
    """Where AppArmor confines QEMU, libvirt's helper allows it files; what a pool's volume is it does not know."""
    tree = rendered(example_lab())
    domain = ElementTree.fromstring(tree["libvirt/domains/brina.xml"])
    disks = domain.findall("./devices/disk")
    assert {disk.get("type") for disk in disks} == {"file"}
    pool = ElementTree.fromstring(tree["libvirt/pool.xml"]).findtext("./target/path")
    files = [disk.find("source").attrib["file"] for disk in disks]  # type: ignore[union-attr]
    assert [one.rpartition("/")[0] for one in files] == [pool, pool, LabImages({}, {}, {}, "").cache_pool_path, pool]
    volumes = {
        ElementTree.fromstring(content).findtext("name")
        for path, content in tree.items()
        if path.startswith("libvirt/volumes/brina-")
    }
    own = {one.rpartition("/")[2] for one in files if one.startswith(f"{pool}/")}
    assert own == volumes


def test_a_node_under_kvm_can_be_saved() -> None:
    """A CPU with an invariant TSC blocks savevm, and migratable='off' hands that on from real hardware."""
    tree = rendered(replace(example_lab(), accelerator="kvm"))
    cpu = ElementTree.fromstring(tree["libvirt/domains/brina.xml"]).find("./cpu")
    assert cpu is not None
    assert (cpu.get("mode"), cpu.get("migratable")) == ("host-passthrough", "on")
