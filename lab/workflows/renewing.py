"""Renewing all secrets of a lab that is up, resumable at any point.

The old secrets and the new ones are both kept, in ``secrets.old`` and ``secrets.new``, until every node is proven to
have the new ones; meanwhile the host's ssh offers both login keys and believes both host keys, so a node is reached
whichever it has. ``renewal.json`` notes which part is under way; each part can be done again from its beginning.

- ``wanted``: nothing has been changed yet.
- ``seeds``: the guests' personal files on the shared storage are being replaced; the nodes have the old secrets.
- ``nodes``: the guests' files are new; the cluster is being stopped and the nodes are being changed.
- ``renewed``: everything is new, and rendered and noted as such; the cluster may be down, as after ``lab.halt``.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lab.core.errors import LabError
from lab.core.model import Node, Secrets
from lab.core.renewal import CURRENT, NEW, OLD, PHASES, NodeChange, Phase, Plan, bridge, plan_of
from lab.doors import files
from lab.doors.clock import Deadline, wait_until
from lab.drivers import fencing, kept_saves, keys, snapshots
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import cluster, guests, halt, host_side, nodes, observe, pending
from lab.workflows.options import Options
from lab.workflows.session import Session, kept_state, rendered, write_rendered

#: Exists from the wish for new secrets until the proof that no old one is left.
MARK = "renewal.json"
_STEP_LIMIT_S = 60.0


@dataclass(frozen=True)
class Renewal:
    """Both sides of a renewal that is under way.

    Args:
        old, new: the secrets.
        old_tree, new_tree: the renderings with them.
        plan: what differs.
    """

    old: Secrets
    new: Secrets
    old_tree: dict[str, bytes]
    new_tree: dict[str, bytes]
    plan: Plan


# The note


def phase_of(folder: Path) -> Phase | None:
    """How far the renewal of the lab in ``build/<lab>`` has come; None when there is none."""
    note = files.read_json(folder / MARK)
    return next((one for one in PHASES if isinstance(note, dict) and note.get("phase") == one), None)


def note(folder: Path, phase: Phase) -> None:
    """Note how far the renewal has come."""
    files.write_json(folder / MARK, {"phase": phase})


def want(folder: Path) -> None:
    """Note that a lab's secrets are to be renewed; one that is under way goes on."""
    if phase_of(folder) is None:
        note(folder, "wanted")


def require_no_given(options: Options, name: str) -> None:
    """Refuse ``--secrets`` for a lab that is about to get new ones, before they are written over those it has."""
    folder = options.build / name
    if options.secrets and (phase_of(folder) is not None or kept_saves.wants_renewal(name)):
        raise LabError(
            f"the secrets of the lab {name} are to be renewed, so none can be given",
            remedy="Leave out --secrets",
            exit_code=2,
        )


def take_over_wish(session: Session) -> None:
    """Note the wish that ``lab.import`` or ``lab.down`` has left with a lab that is down; the lock is held."""
    if kept_saves.wants_renewal(session.lab.name):
        # Where a lab.down was killed there is a note as well, of what its saves know nothing of.
        begin_again(session.folder)
        want(session.folder)


def begin_again(folder: Path) -> None:
    """The nodes are about to be put back to a moment with the old secrets: only the wish stays."""
    if phase_of(folder) in ("seeds", "nodes"):
        note(folder, "wanted")


def end(folder: Path) -> None:
    """Forget the old secrets; the new ones are proven."""
    for name in (NEW, OLD):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / MARK).unlink(missing_ok=True)


def require_none(folder: Path, what: str) -> None:
    """Refuse what would meet a lab between old and new secrets.

    Args:
        folder: ``build/<lab>``.
        what: what cannot be done now, for the message.
    """
    if phase_of(folder) is not None:
        raise LabError(
            f"the secrets of the lab {folder.name} are being renewed, so {what}",
            remedy="./inv lab.up finishes that first",
        )


# The parts


def resumed(session: Session, hypervisor: Hypervisor) -> Session:
    """Finish the changes of a run that was killed among them; the session with the secrets that count now."""
    return changed(session, hypervisor) if phase_of(session.folder) in ("seeds", "nodes") else session


def changed(session: Session, hypervisor: Hypervisor) -> Session:
    """Replace the secrets everywhere; the cluster is down afterwards, as after ``lab.halt``.

    The lock is held, and unless an interrupted renewal goes on, the lab is healthy.

    Returns:
        The session with the new secrets.

    Raises:
        LabError: new secrets would change something else too, or a step failed; the next run goes on from there.
    """
    with session.reporter.step("new secrets"):
        renewal = prepared(session)
        if phase_of(session.folder) == "wanted":
            note(session.folder, "seeds")
        _nodes_on(session, hypervisor, renewal)
        if phase_of(session.folder) == "seeds":
            _replace_seeds(session, renewal)
            note(session.folder, "nodes")
        _stop_cluster(session)
        with session.reporter.step("keys and passwords of the nodes"):
            by_name = {change.node: change for change in renewal.plan.nodes}
            session.on_each(session.lab.nodes, lambda node: change_node(session, node, by_name.get(node.name)))
        _replace_on_host(session, hypervisor, renewal)
        note(session.folder, "renewed")
    return replace(session, secrets=renewal.new)


def prepared(session: Session) -> Renewal:
    """Old and new secrets, both on the disk, and ssh that reaches nodes with either.

    Raises:
        LabError: new secrets would change something else too; nothing is changed then.
    """
    folder, lab = session.folder, session.lab
    fresh = phase_of(folder) == "wanted"
    old = session.secrets if fresh else kept_secrets(session, OLD)
    new = (keys.load_secrets(folder / NEW, lab) or keys.make_secrets(lab)) if fresh else kept_secrets(session, NEW)
    for one in (old, new):
        keys.mask_secrets(one)
    before, after = rendered(replace(session, secrets=old)), rendered(replace(session, secrets=new))
    if kept_state(folder).get("tree") not in (digests_of(before), digests_of(after)):
        raise LabError(
            f"the lab {lab.name} was built from another topology, accelerator or version",
            remedy="Renew its secrets with the topology and version that it was built from",
        )
    renewal = Renewal(old, new, before, after, plan_of(before, after))
    keys.save_secrets(folder / OLD, old)
    keys.save_secrets(folder / NEW, new)
    write_rendered(session, bridge(before, after))
    return renewal


def digests_of(tree: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each rendered file, as ``state.json`` keeps it."""
    return {path: hashlib.sha256(content).hexdigest() for path, content in tree.items()}


def kept_secrets(session: Session, name: str) -> Secrets:
    """The old or the new secrets of a renewal that is under way.

    Raises:
        LabError: somebody has removed them.
    """
    secrets = keys.load_secrets(session.folder / name, session.lab)
    if secrets is None:
        raise LabError(
            f"{session.folder / name} is gone, and the renewal of the lab's secrets cannot go on without it",
            remedy=f"./inv lab.down --no-cache --name {session.lab.name} removes the lab",
        )
    return secrets


def _nodes_on(session: Session, hypervisor: Hypervisor, renewal: Renewal) -> None:
    """The nodes run and answer; somebody may have halted the lab after an earlier run was killed."""
    host_side.ensure_host_objects(session, hypervisor, renewal.old_tree)
    pending.settle(session, hypervisor)
    host_side.start_domains(session, hypervisor)
    session.on_each(session.lab.nodes, lambda node: nodes.wait_booted(session, hypervisor, node))


def _replace_seeds(session: Session, renewal: Renewal) -> None:
    """The personal files of the guests, as long as the shared storage is there; guests read them when they boot."""
    node = _node_with_storage(session)
    shell = session.shell(node)
    with session.reporter.step("personal files of the guests"):
        for domain in renewal.plan.guest_seeds:
            guests.put_seed(session, shell, domain, renewal.new_tree)
        shell.succeed(
            "sync -f %s", session.lab.storage.mount_point, timeout_s=2 * _STEP_LIMIT_S * session.lab.time_scale
        )


def _node_with_storage(session: Session) -> Node:
    """A node with the shared file system; where there is none, the cluster, which still has its old keys, is asked."""

    def mounted() -> Node | None:
        seen = observe.look(session).nodes
        return next((node for node in session.lab.nodes if (facts := seen[node.name]) and facts.mount), None)

    if (node := mounted()) is not None:
        return node
    host_side.ensure_fencing(session)
    session.on_each(session.lab.nodes, lambda one: cluster.start_cluster_software(session, one))
    cluster.wait_members(session)
    cluster.allow_resources(session)
    return wait_until(
        mounted,
        what="the shared storage, where the guests' personal files are",
        deadline=Deadline.after(240 * session.lab.time_scale),
        interval_s=1.0,
        remedy="./inv lab.status shows what is in the way; ./inv lab.up goes on from there",
    )


def _stop_cluster(session: Session) -> None:
    # Connections to guests that are switched off would be waited for when they are back.
    session.on_each(session.lab.guests, lambda guest: session.shell(guest).close())
    halt.stop_cluster(session)
    limit_s = halt.STOP_LIMIT_S * session.lab.time_scale
    # Also where no resources are seen: a node that was restarted meanwhile may have keys that the other one has not.
    session.on_each(
        session.lab.nodes,
        lambda node: session.shell(node).succeed("systemctl stop pacemaker corosync", timeout_s=limit_s),
    )
    # Nobody is to be fenced any more, and its key is about to change.
    fencing.stop(host_side.fence_configuration(session.folder))


def change_node(session: Session, node: Node, change: NodeChange | None) -> None:
    """Put what differs on one node. Its sshd believes the new keys from then on, and the next login uses them."""
    if change is None:
        return
    shell = session.shell(node)
    limit_s = _STEP_LIMIT_S * session.lab.time_scale
    with session.reporter.step(f"{len(change.files)} files", node=node.name):
        for file in change.files:
            shell.put(file.content, file.path, file.mode, file.owner)
        if change.passwords:
            lines = "".join(f"{user}:{password}\n" for user, password in change.passwords.items())
            shell.succeed("chpasswd", stdin=lines.encode(), timeout_s=limit_s)
        # A node that loses its power now must not come back with half of a file.
        shell.succeed("systemctl reload ssh && sync", timeout_s=limit_s)
    shell.close()


def _replace_on_host(session: Session, hypervisor: Hypervisor, renewal: Renewal) -> None:
    """Rendering, secrets and seeds of the host. From here on the old saves are of another build, and they go."""
    folder = session.folder
    with session.reporter.step("keys of the host"):
        # First of all: a lab.down after this keeps no save that was made with the old secrets.
        files.write_json(session.state_path, {**kept_state(folder), "tree": digests_of(renewal.new_tree)})
        keys.save_secrets(folder / CURRENT, renewal.new)
        for name in renewal.plan.node_seeds:
            # What a node would be made of if it were made anew; the one that runs has its seed behind it.
            hypervisor.upload_volume(session.lab.name, f"{name}-seed.iso", renewal.new_tree[f"nodes/{name}/seed.iso"])
        write_rendered(session, renewal.new_tree)
        # Connections that were kept were made with the old keys. Those to guests are closed already.
        session.on_each(session.lab.nodes, lambda node: _log_in_anew(session, node))
    forget_saves(session, hypervisor)


def _log_in_anew(session: Session, node: Node) -> None:
    shell = session.shell(node)
    shell.close()
    shell.wait_reachable(Deadline.after(_STEP_LIMIT_S * session.lab.time_scale))


def forget_saves(session: Session, hypervisor: Hypervisor) -> list[str]:
    """Forget all saves: their memory and disks hold the old secrets. Returns their names."""
    domains = hypervisor.owned_domains(session.lab.name)
    names = sorted({part.save for part in snapshots.parts(hypervisor, domains, sizes=False)})
    for name in names:
        with session.reporter.step(f"forget the save {name}"):
            snapshots.forget(hypervisor, domains, name)
    return names
