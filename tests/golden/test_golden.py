"""What the default lab renders to, byte for byte.

After a change that is meant to change the rendering:
    python -m pytest tests/golden --renew-golden
and read the difference in git: it is what a lab's nodes, guests and host will see.
Images (seed.iso, seed.tar) are recorded as a listing with SHA-256 sums.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pycdlib
import pytest

from lab.core.model import Lab
from lab.core.render import is_secret
from lab.doors.process import run
from tests.golden.example import ROOT, example_lab, example_secrets, lab_of, rendered, switch_lab, unlike_lab

HERE = Path(__file__).parent
#: Of the second lab only the files are recorded in which a choice of the topology shows.
CHOICES = (
    "Vagrantfile",
    "cluster/cib.crm",
    "libvirt/domains/brina.xml",
    "nodes/brina/files/etc/corosync/corosync.conf",
    "nodes/brina/files/etc/default/o2cb",
    "nodes/brina/files/etc/drbd.d/vms.res",
    "nodes/brina/files/etc/network/interfaces",
    "nodes/brina/network-config",
)
#: The study's own topology: what its values change.
STUDY = (
    "cluster/cib.crm",
    "nodes/brina/files/etc/corosync/corosync.conf",
    "nodes/brina/files/etc/default/o2cb",
    "nodes/brina/files/etc/drbd.d/vms.res",
)
#: What another system changes; of its nodes every file that is written differently or is nowhere else.
UBUNTU = (
    "cluster/cib.crm",
    "libvirt/domains/brina.xml",
    "nodes/brina/files/etc/corosync/corosync.conf",
    "nodes/brina/files/etc/default/corosync",
    "nodes/brina/files/etc/network/interfaces",
    "nodes/brina/files/etc/ssh/ssh_host_ed25519_key.pub",
    "nodes/brina/files/usr/local/sbin/lab-mend-filesystem-agent",
    "nodes/brina/files/usr/local/sbin/lab-packages",
    "nodes/brina/meta-data",
    "nodes/brina/user-data",
)
#: And of the third, those in which its switch shows: bonds, tagged bridges, and where the guests live.
SWITCHED = (
    "guests/passata/domain.xml",
    "guests/simplesip/domain.xml",
    "known_hosts",
    "libvirt/domains/brina.xml",
    "libvirt/domains/piova.xml",
    "libvirt/networks/service.xml",
    "nodes/brina/files/etc/hosts",
    "nodes/brina/files/etc/lab/lab.json",
    "nodes/brina/files/etc/network/interfaces",
    "nodes/brina/network-config",
    "ssh_config",
)


def listing(path: str, content: bytes) -> bytes:
    """An image as text: its sum, then what is in it."""
    entries = iso_entries(content) if path.endswith(".iso") else tar_entries(content)
    lines = [f"sha256 {hashlib.sha256(content).hexdigest()}", f"bytes {len(content)}", *entries]
    return ("\n".join(lines) + "\n").encode()


def tar_entries(content: bytes) -> Iterator[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for entry in archive:
            data = archive.extractfile(entry)
            assert data is not None
            digest = hashlib.sha256(data.read()).hexdigest()
            yield f"{entry.mode:04o} {entry.uid}:{entry.gid} {entry.mtime} {digest} {entry.name}"


def iso_entries(content: bytes) -> Iterator[str]:
    image = pycdlib.PyCdlib()
    image.open_fp(io.BytesIO(content))
    for child in image.list_children(rr_path="/"):
        if child.is_file():
            name = child.rock_ridge.name().decode()
            out = io.BytesIO()
            image.get_file_from_iso_fp(out, rr_path=f"/{name}")
            yield f"{hashlib.sha256(out.getvalue()).hexdigest()} {name}"
    image.close()


def recorded_form(tree: dict[str, bytes]) -> dict[str, bytes]:
    """The tree as it is kept in the repository."""
    return {
        (f"{path}.listing" if path.endswith((".iso", ".tar")) else path): (
            listing(path, content) if path.endswith((".iso", ".tar")) else content
        )
        for path, content in tree.items()
    }


def compare(folder: Path, tree: dict[str, bytes], renew: bool) -> None:
    now = recorded_form(tree)
    if renew:
        shutil.rmtree(folder, ignore_errors=True)
        for path, content in now.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    recorded = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert sorted(now) == sorted(recorded)
    for path, content in now.items():
        assert content.decode() == recorded[path].decode(), path


@pytest.fixture
def renew(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--renew-golden", default=False))


def test_default_lab_renders_to_the_recorded_tree(renew: bool) -> None:
    compare(HERE / "two-node", rendered(example_lab()), renew)


def test_every_choice_renders_to_the_recorded_files(renew: bool) -> None:
    tree = rendered(unlike_lab())
    compare(HERE / "two-node-kvm-unfenced", {path: tree[path] for path in CHOICES}, renew)


@pytest.mark.parametrize(("topology", "paths"), [("study", STUDY), ("ubuntu-14.04", UBUNTU)])
def test_other_topologies_render_to_the_recorded_files(topology: str, paths: tuple[str, ...], renew: bool) -> None:
    tree = rendered(lab_of(topology))
    compare(HERE / topology, {path: tree[path] for path in paths}, renew)


def test_lab_with_a_switch_renders_to_the_recorded_files(renew: bool) -> None:
    tree = rendered(switch_lab())
    compare(HERE / "switch", {path: tree[path] for path in SWITCHED}, renew)
    with tarfile.open(fileobj=io.BytesIO(tree["guests/simplesip/seed.tar"])) as archive:
        told = {entry.name: (archive.extractfile(entry) or io.BytesIO()).read().decode() for entry in archive}
    vlan = switch_lab().network.vlans[0].subnet
    assert told["etc/lab/network"] == f"ADDRESS={vlan[22]}/24\nGATEWAY={vlan[1]}\nDOMAIN=provider.example\n"
    # Nobody else lives there, and there is no way out.
    assert "passata" not in told["etc/hosts"] and "brina" not in told["etc/hosts"]
    assert "nameserver" not in told["etc/resolv.conf"]


@pytest.mark.parametrize(
    ("time_zone", "hash_seed"), [("UTC", "0"), ("Pacific/Kiritimati", "1"), ("America/St_Johns", "4294967295")]
)
def test_same_bytes_everywhere(time_zone: str, hash_seed: str, tmp_path: Path) -> None:
    """Another process, folder, time zone, hash seed and locale, and a later second, make no difference."""
    script = (
        "import hashlib\n"
        "from tests.golden.example import example_lab, rendered\n"
        "for path, content in rendered(example_lab()).items():\n"
        "    print(hashlib.sha256(content).hexdigest(), path)\n"
    )
    environment = {"TZ": time_zone, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    elsewhere = run([sys.executable, "-c", script], timeout_s=60, env=environment, cwd=tmp_path)
    here = [f"{hashlib.sha256(content).hexdigest()} {path}" for path, content in rendered(example_lab()).items()]
    assert elsewhere.stdout.splitlines() == here


@pytest.mark.parametrize(
    "lab", [example_lab(), unlike_lab(), lab_of("study")], ids=["two-node", "kvm-unfenced", "study"]
)
def test_secrets_stay_in_secret_files(lab: Lab) -> None:
    secrets = example_secrets(lab)
    needles = [
        b"fake+private",
        base64.b64encode(secrets.corosync_authkey),
        base64.b64encode(secrets.fence_key),
        secrets.drbd_shared_secret.encode(),
        secrets.radius_secret.encode(),
        secrets.radius_password.encode(),
        secrets.database_password.encode(),
        secrets.console_password.encode(),
        *(password.encode() for password in secrets.sip_passwords.values()),
    ]
    tree = rendered(lab)
    leaks = [path for path, content in tree.items() if not is_secret(path) and any(one in content for one in needles)]
    assert leaks == []
    # Without fencing in it, Ubuntu 14.04 has no key for it either.
    others = rendered(lab_of("ubuntu-14.04"))
    assert not [path for path, content in others.items() if not is_secret(path) and any(n in content for n in needles)]
    for needle in needles:
        assert any(needle in content for content in tree.values()), f"{needle!r} is used nowhere"


def test_paths_are_sorted_and_stay_below_the_tree() -> None:
    paths = list(rendered(example_lab()))
    assert paths == sorted(paths)
    assert not [path for path in paths if path.startswith("/") or ".." in path.split("/")]
