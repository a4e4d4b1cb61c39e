"""The running lab as fixtures: what was seen of each machine, once per run.

Tests are made for what the topology has, so nothing is ever skipped: a test with the mark ``fencing(False)`` is left
out where there is fencing, one with ``service("web")`` is made for each guest of that kind.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pytest
import testinfra
from look import Look, guest_questions, node_questions, quoted, take

from lab.core.model import Guest, Lab, Node
from lab.core.parsers.cib import Cib, parse_cib
from lab.core.parsers.pacemaker import ClusterStatus, parse_cluster_status
from lab.core.service_result import ProbeResult
from lab.workflows import serving
from lab.workflows.options import load_lab
from lab.workflows.session import Session, open_session
from lab.workflows.verify import options_of

OPTIONS = options_of(os.environ)
PLAN = load_lab(OPTIONS)
LOOK_LIMIT_S = 80.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "service(kind): made for the guests with this service")
    config.addinivalue_line("markers", "fencing(on): made only for a lab with (or without) fencing")
    config.addinivalue_line("markers", "switch(kind): made only for a lab with this switch")
    config.addinivalue_line("markers", "left_out: the topology has nothing that this test is about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "node" in metafunc.fixturenames:
        metafunc.parametrize("node", PLAN.nodes, ids=PLAN.node_names)
    if "vlan" in metafunc.fixturenames:
        nothing = [pytest.param(None, marks=pytest.mark.left_out)]
        vlans = PLAN.network.vlans
        metafunc.parametrize("vlan", vlans or nothing, ids=[str(vlan.number) for vlan in vlans] or ["none"])
    if "guest" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("service")
        guests = [guest for guest in PLAN.guests if mark is None or guest.service in mark.args]
        nothing = [pytest.param(None, marks=pytest.mark.left_out)]
        metafunc.parametrize("guest", guests or nothing, ids=[guest.domain for guest in guests] or ["none"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def made_for_this_lab(item: pytest.Item) -> bool:
        mark = item.get_closest_marker("fencing")
        switch = item.get_closest_marker("switch")
        if switch is not None and switch.args[0] != PLAN.network.switch:
            return False
        return not item.get_closest_marker("left_out") and (
            mark is None or mark.args[0] == (PLAN.fencing.method != "none")
        )

    left_out = [item for item in items if not made_for_this_lab(item)]
    items[:] = [item for item in items if made_for_this_lab(item)]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """The lab as it was built, with its secrets."""
    with open_session(OPTIONS, "verify") as opened:
        yield opened


@pytest.fixture(scope="session")
def lab(session: Session) -> Lab:
    return session.lab


def machine(session: Session, name: str) -> testinfra.host.Host:
    """Testinfra's view of a node or guest, over the connection that the tool keeps open."""
    return testinfra.get_host(
        f"ssh://{name}",
        ssh_config=str(session.folder / "ssh_config"),
        ssh_extra_args="-o BatchMode=yes",
        timeout=int(10 * max(1.0, session.lab.time_scale)),
    )


@pytest.fixture(scope="session")
def rendered_files(session: Session) -> dict[str, dict[str, Path]]:
    """Per node, the files that rendering gives it: path in the node to the file on the host."""
    found: dict[str, dict[str, Path]] = {}
    for node in session.lab.nodes:
        folder = session.folder / "nodes" / node.name / "files"
        found[node.name] = {f"/{path.relative_to(folder)}": path for path in folder.rglob("*") if path.is_file()}
    return found


@pytest.fixture(scope="session")
def secret_files(session: Session) -> dict[str, bytes]:
    """The files of every node that are not in the rendered tree, because nobody else may read them."""
    secrets = session.secrets
    return {
        "/etc/corosync/authkey": secrets.corosync_authkey,
        "/etc/cluster/fence_xvm.key": secrets.fence_key,
        "/root/.ssh/id_ed25519": secrets.cluster_private_key.strip().encode() + b"\n",
    }


@pytest.fixture(scope="session")
def seed_files(session: Session) -> dict[str, dict[str, bytes]]:
    """Per guest, its personal files: path in the guest to content."""
    found: dict[str, dict[str, bytes]] = {}
    for guest in session.lab.guests:
        with tarfile.open(session.folder / "guests" / guest.domain / "seed.tar") as archive:
            found[guest.domain] = {
                f"/{member.name}": stream.read()
                for member in archive
                if (stream := archive.extractfile(member)) is not None
            }
    return found


@pytest.fixture(scope="session")
def node_looks(
    session: Session, rendered_files: dict[str, dict[str, Path]], secret_files: dict[str, bytes]
) -> dict[str, Look]:
    """What was seen of each node, with one command per node."""

    def look(node: Node) -> Look:
        files = sorted({*rendered_files[node.name], *secret_files})
        limit_s = LOOK_LIMIT_S * max(1.0, session.lab.time_scale)
        return take(machine(session, node.name), node_questions(session.lab, node, files), limit_s)

    return dict(zip(session.lab.node_names, session.on_each(session.lab.nodes, look), strict=True))


@pytest.fixture
def seen(node: Node, node_looks: dict[str, Look]) -> Look:
    """What was seen of the node that the test is about."""
    return node_looks[node.name]


@pytest.fixture(scope="session")
def cluster(session: Session, node_looks: dict[str, Look]) -> ClusterStatus:
    """The cluster in the eyes of the first node."""
    return parse_cluster_status(node_looks[session.lab.nodes[0].name].text("cluster"))


@pytest.fixture(scope="session")
def cib(session: Session, node_looks: dict[str, Look]) -> Cib:
    """The cluster's configuration."""
    return parse_cib(node_looks[session.lab.nodes[0].name].text("cib"))


@pytest.fixture(scope="session")
def answers(session: Session) -> list[ProbeResult]:
    """What clients of all services were answered: everything that "served" means."""
    return serving.ask(session, thorough=True)


@pytest.fixture(scope="session")
def guest_looks(
    session: Session, seed_files: dict[str, dict[str, bytes]], answers: list[ProbeResult]
) -> dict[str, Look]:
    """What was seen of each guest after clients were served, with one command per guest."""
    assert answers, "no service was asked"

    def look(guest: Guest) -> Look:
        limit_s = LOOK_LIMIT_S * max(1.0, session.lab.time_scale)
        return take(machine(session, guest.domain), guest_questions(guest, sorted(seed_files[guest.domain])), limit_s)

    guests = session.lab.guests
    return dict(zip([guest.domain for guest in guests], session.on_each(guests, look), strict=True))


@pytest.fixture
def inside(guest: Guest, guest_looks: dict[str, Look]) -> Look:
    """What was seen of the guest that the test is about."""
    return guest_looks[guest.domain]


@pytest.fixture
def served(guest: Guest, answers: list[ProbeResult]) -> dict[str, list[ProbeResult]]:
    """What clients of the guest that the test is about were answered, by what they asked for."""
    found: dict[str, list[ProbeResult]] = {}
    for answer in answers:
        if answer.guest == guest.name:
            found.setdefault(answer.service, []).append(answer)
    return found


@dataclass(frozen=True)
class Exchange:
    """Files written by every node to the shared file system.

    Args:
        token: what was written, new in every run.
        read: per reading node and writing node, what was read.
        left: per node, the files of the kind that are there after the last node has removed them.
    """

    token: str
    read: dict[str, dict[str, str]]
    left: dict[str, list[str]]


@pytest.fixture(scope="session")
def exchange(session: Session) -> Exchange:
    """What the nodes read of each other on the shared file system; nothing stays behind."""
    token = token_hex(8)
    names = session.lab.node_names
    prefix = f"{session.lab.storage.mount_point}/.verify-{token}-"
    everything = quoted(prefix + name for name in names)

    def ask(name: str, text: str) -> list[str]:
        seen = take(machine(session, name), {"files": text}, LOOK_LIMIT_S)
        return seen.lines("files")

    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        try:
            list(pool.map(lambda name: ask(name, f"echo {name} {token} > {prefix}{name}"), names))
            read = list(pool.map(lambda name: ask(name, f"cat {everything}"), names))
        finally:
            ask(names[-1], f"rm -f {everything}")
        left = list(pool.map(lambda name: ask(name, f"ls -d {prefix}* 2>/dev/null || true"), names))
    return Exchange(
        token,
        {name: dict(line.split() for line in lines) for name, lines in zip(names, read, strict=True)},
        dict(zip(names, left, strict=True)),
    )
