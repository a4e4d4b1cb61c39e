"""What new secrets change in a lab: found by comparing renderings, complete, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest
import yaml

from lab.core.errors import LabError
from lab.core.model import Lab, Secrets
from lab.core.render import render_lab
from lab.core.renewal import NodeChange, Plan, bridge, plan_of, with_keys_of, words_of
from lab.doors.templates import load_templates
from tests.golden.example import ROOT, example_images, example_lab, example_secrets

LAB = example_lab()
OLD = example_secrets(LAB)
TEMPLATES = load_templates(ROOT)
GUESTS = {"passata", "speedauth", "masterauth", "soldi", "simplesip"}


def joined(files: Mapping[str, bytes]) -> bytes:
    """A seed whose form does not matter here, quicker than an ISO image."""
    return b"".join(content for _name, content in sorted(files.items()))


def rendered(secrets: Secrets, lab: Lab = LAB) -> dict[str, bytes]:
    return render_lab(lab, secrets, example_images(lab), TEMPLATES, make_iso=joined)


def renewed(value: Any) -> Any:
    """The value as another secret of the same form and length."""
    if isinstance(value, dict):
        return {name: renewed(one) for name, one in value.items()}
    if isinstance(value, bytes):
        return bytes(255 - byte for byte in value)
    return value.replace("fake", "real")


NEW = Secrets(**{field.name: renewed(getattr(OLD, field.name)) for field in fields(Secrets)})
OLD_TREE, NEW_TREE = rendered(OLD), rendered(NEW)
PLAN = plan_of(OLD_TREE, NEW_TREE)


@cache
def with_new(*names: str) -> Plan:
    """The plan when only these secrets are new."""
    return plan_of(OLD_TREE, rendered(replace(OLD, **{name: getattr(NEW, name) for name in names})))


def paths(plan: Plan) -> dict[str, set[str]]:
    return {change.node: {file.path for file in change.files} for change in plan.nodes}


def test_all_new_secrets_change_these_files_of_each_node() -> None:
    modes = {file.path: (file.mode, file.owner) for file in PLAN.nodes[0].files}
    assert modes == {
        "/etc/cluster/fence_xvm.key": ("0600", "root:root"),
        "/etc/corosync/authkey": ("0400", "root:root"),
        "/etc/drbd.d/vms.res": ("0600", "root:root"),
        "/etc/ssh/ssh_host_ed25519_key": ("0600", "root:root"),
        "/etc/ssh/ssh_host_ed25519_key.pub": ("0644", "root:root"),
        "/home/lab/.ssh/authorized_keys": ("0600", "lab:lab"),
        "/root/.ssh/authorized_keys": ("0600", "root:root"),
        "/root/.ssh/id_ed25519": ("0600", "root:root"),
        "/root/.ssh/id_ed25519.pub": ("0644", "root:root"),
        "/root/.ssh/known_hosts": ("0644", "root:root"),
    }
    assert [change.node for change in PLAN.nodes] == ["brina", "piova"]
    assert all(change.passwords == {"root": "real-console-password"} for change in PLAN.nodes)
    assert set(PLAN.guest_seeds) == GUESTS
    assert PLAN.node_seeds == ("brina", "piova")
    assert {"known_hosts"} < set(PLAN.host_files)


def test_contents_are_what_the_programs_read() -> None:
    files = {file.path: file.content for file in PLAN.nodes[1].files}
    assert files["/etc/corosync/authkey"] == NEW.corosync_authkey
    assert files["/etc/cluster/fence_xvm.key"] == NEW.fence_key
    assert files["/etc/ssh/ssh_host_ed25519_key"].decode() == NEW.host_private_keys["piova"]
    assert files["/etc/ssh/ssh_host_ed25519_key.pub"].decode() == NEW.host_public_keys["piova"]
    assert files["/home/lab/.ssh/authorized_keys"].decode() == NEW.login_public_key
    assert b'shared-secret "real-drbd-shared-secret";' in files["/etc/drbd.d/vms.res"]


def carried_out(change: NodeChange) -> dict[str, Any]:
    """What a node with the old secrets is after the change, as the values of its user-data."""
    document = yaml.safe_load(OLD_TREE[f"nodes/{change.node}/user-data"])
    files = {file.path: file for file in change.files}
    for entry in document["write_files"]:
        if file := files.pop(entry["path"], None):
            entry["content"] = file.content.decode() if "encoding" not in entry else entry["content"]
    for user in document["chpasswd"]["users"]:
        user["password"] = change.passwords.get(user["name"], user["password"])
    key = document["ssh_keys"]
    key["ed25519_private"] = files.pop("/etc/ssh/ssh_host_ed25519_key").content.decode()
    key["ed25519_public"] = files.pop("/etc/ssh/ssh_host_ed25519_key.pub").content.decode().strip()
    for user in document["users"]:
        user["ssh_authorized_keys"] = files.pop("/home/lab/.ssh/authorized_keys").content.decode().splitlines()
    assert files == {}
    return dict(document)


@pytest.mark.parametrize("change", PLAN.nodes, ids=lambda change: change.node)
def test_a_changed_node_is_the_one_that_would_be_made_anew(change: NodeChange) -> None:
    wanted = yaml.safe_load(NEW_TREE[f"nodes/{change.node}/user-data"])
    seen = carried_out(change)
    for one in (wanted, seen):
        # Binary files are compared by another test: here they stand in base64.
        one["write_files"] = [entry for entry in one["write_files"] if "encoding" not in entry]
    assert seen == wanted


@pytest.mark.parametrize(
    ("names", "of_nodes", "guests"),
    [
        (("corosync_authkey",), {"/etc/corosync/authkey"}, set()),
        (("fence_key",), {"/etc/cluster/fence_xvm.key"}, set()),
        (("drbd_shared_secret",), {"/etc/drbd.d/vms.res"}, set()),
        (("radius_secret",), None, {"speedauth", "masterauth"}),
        (("radius_password",), None, {"speedauth", "masterauth"}),
        (("database_password",), None, {"soldi"}),
        (("sip_passwords",), None, {"simplesip"}),
        (("console_password",), set(), GUESTS),
        (("login_public_key",), {"/root/.ssh/authorized_keys", "/home/lab/.ssh/authorized_keys"}, GUESTS),
        (
            ("cluster_private_key", "cluster_public_key"),
            {"/root/.ssh/authorized_keys", "/root/.ssh/id_ed25519", "/root/.ssh/id_ed25519.pub"},
            set(),
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_each_secret_changes_what_carries_it(
    names: tuple[str, ...], of_nodes: set[str] | None, guests: set[str]
) -> None:
    plan = with_new(*names)
    assert paths(plan) == ({} if of_nodes is None else dict.fromkeys(("brina", "piova"), of_nodes))
    assert set(plan.guest_seeds) == guests
    assert plan.node_seeds == (() if of_nodes is None else ("brina", "piova"))


def test_every_secret_is_somewhere_in_the_plan_or_on_the_host_only() -> None:
    for field in fields(Secrets):
        plan = with_new(field.name)
        if field.name == "login_private_key":
            assert plan == Plan((), (), (), ())
        else:
            assert plan.nodes or plan.guest_seeds, field.name


def test_same_secrets_change_nothing() -> None:
    assert plan_of(OLD_TREE, OLD_TREE) == Plan((), (), (), ())


def refused(tree: Mapping[str, bytes], old: Mapping[str, bytes] = OLD_TREE) -> list[str]:
    with pytest.raises(LabError, match="cannot be changed in a running lab") as caught:
        plan_of(old, tree)
    assert "lab.down --no-cache" in caught.value.remedy
    return [line.removeprefix("different: ") for line in caught.value.details]


def test_what_is_no_matter_of_secrets_is_refused() -> None:
    other = replace(LAB, storage=replace(LAB.storage, port=7799), cluster=replace(LAB.cluster, monitor_timeout_s=31))
    assert "cluster/cib.crm" in refused(rendered(NEW, other))
    assert refused({**NEW_TREE, "more": b""}) == ["more"]
    fewer = {path: content for path, content in NEW_TREE.items() if path != "known_hosts"}
    assert refused(fewer) == ["known_hosts"]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b"runcmd:\n", b"runcmd2:\n", "runcmd2"),
        (b"hostname: brina\n", b"hostname: other\n", "hostname"),
        (b"shell: /bin/bash", b"shell: /bin/sh", "users"),
        (b"expire: false", b"expire: true", "chpasswd"),
        (b'path: "/etc/hosts"', b'path: "/etc/hosts2"', "/etc/hosts2"),
    ],
)
def test_other_differences_in_what_a_node_is_made_of_are_refused(old: bytes, new: bytes, what: str) -> None:
    name = "nodes/brina/user-data"
    assert old in NEW_TREE[name]
    assert f"{name}: {what}" in refused({**NEW_TREE, name: NEW_TREE[name].replace(old, new, 1)})


def test_in_between_both_keys_are_offered_and_both_hosts_believed() -> None:
    between = bridge(OLD_TREE, NEW_TREE)
    lines = [line.strip() for line in between["ssh_config"].decode().splitlines()]
    offered = [line for line in lines if line.startswith("IdentityFile")]
    assert offered == [f"IdentityFile build/halab/{name}/login_key" for name in ("secrets", "secrets.new")]
    known = between["known_hosts"].decode()
    assert all(key in known for one in (OLD, NEW) for key in (value.strip() for value in one.host_public_keys.values()))
    rest = [line for line in lines if not line.startswith("IdentityFile")]
    whole = [line.strip() for line in NEW_TREE["ssh_config"].decode().splitlines()]
    assert rest == [line for line in whole if not line.startswith("IdentityFile")]
    assert set(between) < set(NEW_TREE)


def test_a_configuration_without_the_labs_key_is_told() -> None:
    with pytest.raises(ValueError, match="no key"):
        with_keys_of(b"Host *\n    IdentityFile ~/.ssh/id\n", ("secrets.old",))


def test_no_rendering_with_new_secrets_holds_a_word_of_the_old_ones() -> None:
    words = words_of(OLD)
    assert all(words)
    assert len(set(words)) == len(words)
    for word in words:
        assert [path for path, content in NEW_TREE.items() if word.encode() in content] == []
        assert [path for path, content in OLD_TREE.items() if word.encode() in content] or word == "fake+private+login"
