"""Renewing secrets on nodes in memory: killed at every point and gone on with, and nothing is lost on the way."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from lab.core.errors import LabError
from lab.core.model import LabImages, Secrets
from lab.doors import files
from lab.doors.process import Result
from lab.doors.ssh import Shell
from lab.drivers import kept_saves, keys, snapshots
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import cluster, halt, host_side, nodes, observe, render, renewing, session
from lab.workflows.options import Options
from lab.workflows.session import Session
from tests.drivers.lab_here import ROOT, Quiet, lab_of
from tests.unit.kept_examples import KEPT

LAB = lab_of("smoke")
IMAGES = LabImages(
    node_volume=dict.fromkeys(LAB.node_names, "node.qcow2"),
    kernel_volume=dict.fromkeys(LAB.node_names, "vmlinuz"),
    initrd_volume=dict.fromkeys(LAB.node_names, "initrd"),
    guest_store_volume="store.tar",
)


#: What a killed run may leave in two kinds.
DECISIVE = (
    *("state.json", "renewal.json", "ssh_config", "known_hosts"),
    *(keys.VALUES_FILE, keys.LOGIN_KEY_FILE, keys.FENCE_KEY_FILE),
)


class Killed(Exception):
    """The run was killed here."""


@dataclass
class World:
    """Two nodes and the host's libvirt in memory; the run is killed before or after any effect on them."""

    folder: Path
    effects_left: int = 10_000
    effects: int = 0
    mounted: bool = True
    joined: bool = True
    on: bool = True
    node_files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, bytes] = field(default_factory=dict)
    saves: list[str] = field(default_factory=lambda: ["before", "ready"])

    def effect(self, change: Callable[[], object]) -> None:
        if self.effects_left == 0:
            raise Killed
        self.effects_left -= 1
        self.effects += 1
        change()
        if self.effects_left == 0:
            raise Killed

    # What a shell does

    def put(self, host: str, path: str, content: bytes) -> None:
        assert self.on
        assert self.mounted or not path.startswith(LAB.storage.mount_point)
        assert path.startswith(LAB.storage.mount_point) or not self.joined, f"{path} while the cluster runs"
        self.effect(lambda: self.node_files.setdefault(host, {}).update({path: content}))

    def run(self, host: str, line: str, stdin: bytes | None) -> None:
        assert self.on
        if line == "chpasswd":
            self.effect(lambda: self.passwords.update({host: (stdin or b"").decode()}))
        elif line.startswith("systemctl stop"):
            self.effect(lambda: setattr(self, "joined", False))
        else:
            assert line.startswith(("sync -f ", "systemctl reload ssh"))
            self.effect(lambda: None)

    def stop_cluster(self, _session: Session) -> None:
        if self.joined:
            self.effect(lambda: setattr(self, "mounted", False))

    def start_cluster(self) -> None:
        for path in ("/etc/corosync/authkey", "/etc/drbd.d/vms.res"):
            assert len({self.node_files.get(name, {}).get(path) for name in LAB.node_names}) == 1, "two kinds of keys"
        self.joined = self.mounted = True


NOWHERE = World(Path())
FIRST, SECOND = keys.make_secrets(LAB), keys.make_secrets(LAB)


@dataclass(frozen=True)
class ShellInMemory(Shell):
    world: World = field(default_factory=lambda: NOWHERE)

    def run(self, command: str, *arguments: str, timeout_s: float = 60, stdin: bytes | None = None) -> Result:
        self.world.run(self.host, command % arguments if arguments else command, stdin)
        return Result((command,), 0, "", "")

    def put(self, content: bytes, path: str, mode: str = "0644", owner: str = "") -> None:
        self.world.put(self.host, path, content)

    def wait_reachable(self, *_words: Any) -> None:
        require_reachable(self.world, self.host)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class SessionInMemory(Session):
    world: World = field(default_factory=lambda: NOWHERE)

    def shell(self, member: Any) -> Shell:
        name = member if isinstance(member, str) else member.name
        return ShellInMemory(name, self.folder / "ssh_config", ROOT, self.world)

    def on_each(self, items: Any, work: Any) -> list[Any]:
        return [work(item) for item in items]


def offered_keys(folder: Path) -> set[str]:
    """The keys that the host offers a node now."""
    lines = (folder / "ssh_config").read_text().splitlines()
    places = [Path(line.split()[1]) for line in lines if line.strip().startswith("IdentityFile")]
    return {place.read_text() for place in places if place.exists()}


def require_reachable(world: World, host: str) -> None:
    """The host's ssh reaches a node with whatever it has, and believes it."""
    secrets = [keys.load_secrets(world.folder / name, LAB) for name in ("secrets", "secrets.old", "secrets.new")]
    known = (world.folder / "known_hosts").read_text()
    have = world.node_files[host]
    holders = [one for one in secrets if one and one.login_public_key.encode() in have["/root/.ssh/authorized_keys"]]
    assert holders, f"{host}: nobody has the key that it lets in"
    assert offered_keys(world.folder) & {one.login_private_key for one in holders}
    assert have["/etc/ssh/ssh_host_ed25519_key.pub"].decode().split()[1] in known


def remember_renderings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same secrets are rendered the same; a test renders them many times."""
    real, known = session.rendered, dict[str, dict[str, bytes]]()

    def rendered(one: Session) -> dict[str, bytes]:
        name = str(vars(one.secrets))
        if name not in known:
            known[name] = real(one)
        return known[name]

    for module in (session, renewing):
        monkeypatch.setattr(module, "rendered", rendered)


def kill_among_writes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing a file that decides is an effect too."""
    real = files.write_atomically

    def write(path: Path, content: bytes, mode: int = files.PLAIN_MODE) -> bool:
        if path.name in DECISIVE and path.is_relative_to(world.folder):
            world.effect(lambda: real(path, content, mode))
            return True
        return real(path, content, mode)

    monkeypatch.setattr(files, "write_atomically", write)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = World(tmp_path / "build" / LAB.name)
    for module in (session, render):
        if hasattr(module, "planned_images"):
            monkeypatch.setattr(module, "planned_images", lambda _lab: IMAGES)
    # Made once, because making them takes longer than all else here.
    monkeypatch.setattr(keys, "make_secrets", lambda _lab: SECOND)
    remember_renderings(monkeypatch)
    kill_among_writes(made, monkeypatch)
    monkeypatch.setattr(halt, "stop_cluster", made.stop_cluster)
    monkeypatch.setattr(host_side, "ensure_host_objects", lambda *_: None)
    monkeypatch.setattr(host_side, "ensure_fencing", lambda *_: True)
    monkeypatch.setattr(host_side, "start_domains", lambda *_: setattr(made, "on", True))
    monkeypatch.setattr(nodes, "wait_booted", lambda _session, _hypervisor, node: require_reachable(made, node.name))
    monkeypatch.setattr(cluster, "start_cluster_software", lambda *_: None)
    monkeypatch.setattr(cluster, "wait_members", lambda *_: None)
    monkeypatch.setattr(cluster, "allow_resources", lambda *_: made.start_cluster())

    def look(_session: Session) -> Any:
        return SimpleNamespace(nodes=dict.fromkeys(LAB.node_names, SimpleNamespace(mount=made.mounted)))

    def parts(*_words: Any, **_named: Any) -> list[Any]:
        return [SimpleNamespace(save=name) for name in made.saves]

    monkeypatch.setattr(observe, "look", look)
    monkeypatch.setattr(snapshots, "parts", parts)
    forget = lambda _hypervisor, _domains, name: made.effect(lambda: made.saves.remove(name))  # noqa: E731
    monkeypatch.setattr(snapshots, "forget", forget)
    return made


def a_lab(world: World) -> SessionInMemory:
    """A lab that is up, with its first secrets everywhere."""
    secrets = FIRST
    one = session_of(world, secrets)
    keys.save_secrets(world.folder / "secrets", secrets)
    tree = session.rendered(one)
    session.write_rendered(one, tree)
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in tree.items()}
    files.write_json(one.state_path, {"tree": digests, "accelerator": "tcg"})
    for node in LAB.node_names:
        world.node_files[node] = dict(node_state(tree, node))
    return one


def session_of(world: World, secrets: Secrets | None = None) -> SessionInMemory:
    """The session of a new run: with the secrets that it finds."""
    found = secrets or keys.load_secrets(world.folder / "secrets", LAB)
    assert found is not None
    options = Options(build=world.folder.parent)
    return SessionInMemory(LAB, options, found, world.folder, cast(Any, Quiet()), world)


def node_state(tree: dict[str, bytes], node: str) -> dict[str, bytes]:
    """What a node made of a rendering holds where secrets are."""
    document = yaml.safe_load(tree[f"nodes/{node}/user-data"])
    found = {
        entry["path"]: base64.b64decode(entry["content"]) if "encoding" in entry else entry["content"].encode()
        for entry in document["write_files"]
    }
    found["/etc/ssh/ssh_host_ed25519_key"] = document["ssh_keys"]["ed25519_private"].encode()
    found["/etc/ssh/ssh_host_ed25519_key.pub"] = document["ssh_keys"]["ed25519_public"].encode() + b"\n"
    for user in document["users"]:
        found[f"/home/{user['name']}/.ssh/authorized_keys"] = "\n".join([*user["ssh_authorized_keys"], ""]).encode()
    return found


class Uploads:
    """The volumes of the host's libvirt."""

    def __init__(self, world: World) -> None:
        self.world = world

    def owned_domains(self, _name: str) -> list[Any]:
        return []

    def upload_volume(self, _pool: str, name: str, content: bytes) -> None:
        self.world.effect(lambda: self.world.volumes.update({name: content}))


def hypervisor(world: World) -> Hypervisor:
    return cast(Hypervisor, Uploads(world))


def require_renewed(world: World, old: Secrets) -> Secrets:
    new = keys.load_secrets(world.folder / "secrets", LAB)
    assert new is not None and new == keys.load_secrets(world.folder / "secrets.new", LAB)
    assert keys.load_secrets(world.folder / "secrets.old", LAB) == old
    assert not [name for name, value in vars(new).items() if value == getattr(old, name)]
    tree = session.rendered(session_of(world, new))
    for node in LAB.node_names:
        seeds = {path: content for path, content in world.node_files[node].items() if path.endswith("-seed.tar")}
        assert world.node_files[node] == {**node_state(tree, node), **seeds}
        assert world.passwords[node] == f"root:{new.console_password}\n"
        assert world.volumes[f"{node}-seed.iso"] == tree[f"nodes/{node}/seed.iso"]
    mount_point = LAB.storage.mount_point
    shared = {path: content for found in world.node_files.values() for path, content in found.items()}
    for guest in LAB.guests:
        assert shared[f"{mount_point}/{guest.domain}-seed.tar"] == tree[f"guests/{guest.domain}/seed.tar"]
    assert {path: (world.folder / path).read_bytes() for path in tree} == tree
    state = session.kept_state(world.folder)
    assert state["tree"] == {path: hashlib.sha256(content).hexdigest() for path, content in tree.items()}
    assert state["accelerator"] == "tcg"
    assert world.saves == []
    assert renewing.phase_of(world.folder) == "renewed"
    return new


def test_all_secrets_are_new_everywhere_and_the_old_ones_are_kept_until_the_end(world: World) -> None:
    one = a_lab(world)
    renewing.want(world.folder)
    after = renewing.changed(one, hypervisor(world))
    new = require_renewed(world, one.secrets)
    assert after.secrets == new
    secret = [path for name in ("secrets.old", "secrets.new", "secrets") for path in (world.folder / name).iterdir()]
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    renewing.end(world.folder)
    assert sorted(path.name for path in world.folder.glob("*secret*")) == ["secrets"]
    assert renewing.phase_of(world.folder) is None
    assert renewing.resumed(after, hypervisor(world)) is after


def count_effects(world: World) -> int:
    one = a_lab(world)
    renewing.want(world.folder)
    world.effects = 0
    renewing.changed(one, hypervisor(world))
    return world.effects


@pytest.mark.parametrize("halted", [False, True], ids=["at once", "after a halt"])
def test_killed_at_every_point_the_next_run_finishes(world: World, halted: bool) -> None:
    effects = count_effects(world)
    assert effects > 25
    for number in range(effects + 1):
        renewing.end(world.folder)
        world.__dict__.update(World(world.folder).__dict__)
        one = a_lab(world)
        renewing.want(world.folder)
        world.effects_left = number
        with pytest.raises(Killed):
            renewing.changed(one, hypervisor(world))
        for node in LAB.node_names:
            require_reachable(world, node)
        world.effects_left = 10_000
        if halted:
            world.on = world.joined = world.mounted = False
        now = session_of(world)
        if renewing.phase_of(world.folder) == "wanted":
            assert world.node_files == {node: dict(node_state(session.rendered(one), node)) for node in LAB.node_names}
            renewing.changed(now, hypervisor(world))
        else:
            assert renewing.resumed(now, hypervisor(world)).secrets != one.secrets
        require_renewed(world, one.secrets)


def test_killed_again_and_again_it_comes_to_an_end(world: World) -> None:
    one = a_lab(world)
    renewing.want(world.folder)
    runs = 0
    while renewing.phase_of(world.folder) != "renewed":
        runs += 1
        # Each run comes further than the longest part that has to be done anew.
        world.effects_left = 20 + 3 * runs
        try:
            renewing.changed(session_of(world), hypervisor(world))
        except Killed:
            continue
    assert runs > 1
    require_renewed(world, one.secrets)


def test_a_lab_that_was_put_back_to_a_save_begins_again(world: World) -> None:
    one = a_lab(world)
    before = {node: dict(found) for node, found in world.node_files.items()}
    renewing.want(world.folder)
    world.effects_left = 20
    with pytest.raises(Killed):
        renewing.changed(one, hypervisor(world))
    assert renewing.phase_of(world.folder) == "nodes"
    world.effects_left = 10_000
    renewing.begin_again(world.folder)
    assert renewing.phase_of(world.folder) == "wanted"
    world.__dict__.update(World(world.folder, node_files=before).__dict__)
    renewing.changed(session_of(world), hypervisor(world))
    require_renewed(world, one.secrets)
    renewing.begin_again(world.folder)
    assert renewing.phase_of(world.folder) == "renewed"


def test_a_lab_of_another_version_is_left_alone(world: World) -> None:
    one = a_lab(world)
    state = session.kept_state(world.folder)
    files.write_json(one.state_path, {**state, "tree": {**state["tree"], "cluster/cib.crm": "0" * 64}})
    renewing.want(world.folder)
    with pytest.raises(LabError, match="another topology, accelerator or version"):
        renewing.changed(one, hypervisor(world))
    assert not (world.folder / "secrets.new").exists()


def test_without_the_kept_secrets_it_does_not_go_on(world: World) -> None:
    one = a_lab(world)
    renewing.want(world.folder)
    world.effects_left = 20
    with pytest.raises(Killed):
        renewing.changed(one, hypervisor(world))
    world.effects_left = 10_000
    (world.folder / "secrets.new" / keys.VALUES_FILE).unlink()
    with pytest.raises(LabError, match=r"secrets\.new is gone"):
        renewing.resumed(session_of(world), hypervisor(world))


def test_new_secrets_that_would_change_the_lab_are_refused_before_anything_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = a_lab(world)
    renewing.want(world.folder)
    real = session.rendered
    trees = iter([real(one), {**real(one), "cluster/cib.crm": b"another"}])
    monkeypatch.setattr(renewing, "rendered", lambda _session: next(trees))
    before = {path: path.read_bytes() for path in world.folder.rglob("*") if path.is_file()}
    nodes_before = {node: dict(found) for node, found in world.node_files.items()}
    with pytest.raises(LabError, match="cannot be changed in a running lab"):
        renewing.changed(one, hypervisor(world))
    assert {path: path.read_bytes() for path in world.folder.rglob("*") if path.is_file()} == before
    assert world.node_files == nodes_before


def test_the_wish_goes_with_what_is_kept(world: World) -> None:
    one = a_lab(world)
    name = KEPT.lab
    kept_saves.store(KEPT, one.secrets)
    assert not kept_saves.wants_renewal(name)
    kept_saves.store(KEPT, one.secrets, renew=True)
    assert kept_saves.wants_renewal(name)
    assert {path.stat().st_mode & 0o777 for path in (kept_saves.place() / name / "secrets").iterdir()} == {0o600}
    options = Options(build=world.folder.parent, secrets=world.folder / "secrets")
    with pytest.raises(LabError, match="are to be renewed") as caught:
        renewing.require_no_given(options, name)
    assert caught.value.exit_code == 2
    renewing.take_over_wish(one)
    assert renewing.phase_of(world.folder) is None
    # A lab.down that was killed leaves its own note, which means disks that the kept saves replace.
    kept_saves.store(replace(KEPT, lab=LAB.name, notes=(replace(KEPT.note, lab=LAB.name),)), one.secrets, renew=True)
    renewing.note(world.folder, "nodes")
    renewing.take_over_wish(one)
    assert renewing.phase_of(world.folder) == "wanted"
    renewing.end(world.folder)
    kept_saves.discard(LAB.name)
    renewing.require_no_given(options, LAB.name)
    kept_saves.discard(name)
    assert not kept_saves.wants_renewal(name)


def test_given_secrets_are_not_written_over_those_of_a_lab_that_is_there(world: World, tmp_path: Path) -> None:
    keys.save_secrets(tmp_path / "given", SECOND)
    options = Options(build=world.folder.parent, secrets=tmp_path / "given")
    assert session.lab_secrets(options, LAB, world.folder) == SECOND
    one = a_lab(world)
    with pytest.raises(LabError, match="built with other secrets") as caught:
        session.lab_secrets(options, LAB, world.folder)
    assert caught.value.exit_code == 2
    assert keys.load_secrets(world.folder / "secrets", LAB) == one.secrets
    keys.save_secrets(tmp_path / "given", FIRST)
    assert session.lab_secrets(options, LAB, world.folder) == FIRST


def test_nothing_is_rendered_over_a_lab_between_two_secrets(world: World) -> None:
    a_lab(world)
    renewing.note(world.folder, "nodes")
    topology = ROOT / "topologies" / "smoke.yaml"
    before = (world.folder / "ssh_config").read_bytes()
    with pytest.raises(LabError, match="are being renewed"):
        render.render(Options(topology=topology, build=world.folder.parent))
    assert (world.folder / "ssh_config").read_bytes() == before
