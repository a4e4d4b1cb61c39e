"""Bringing a lab up, until every service has answered a client; goes on wherever an earlier run ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from lab.core.errors import LabError
from lab.core.model import Node
from lab.core.outcome import Outcome
from lab.core.parsers.pacemaker import ClusterStatus
from lab.core.service_result import ProbeResult, all_served
from lab.doors import files
from lab.doors.clock import now_s
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import (
    cluster,
    guests,
    host_side,
    keeping,
    nodes,
    observe,
    pending,
    renewal_proof,
    renewing,
    serving,
    snapshot,
    storage,
    switching,
    vagrant_side,
)
from lab.workflows.bake import bake_lab
from lab.workflows.doctor import examine
from lab.workflows.evidence import keep_evidence, problems_seen
from lab.workflows.options import Options, load_lab, shown_path
from lab.workflows.render import rendered_to_build
from lab.workflows.renewal_proof import Trial
from lab.workflows.session import Session, open_session


def up(options: Options, save: bool = True, fresh: bool = False) -> Outcome:
    """Bring the lab up and prove it; then keep it as the save ``ready``, unless ``save`` is False.

    Args:
        options: what was asked for.
        save: keep the finished lab as ``ready``.
        fresh: boot, although an earlier ``lab.down`` has kept a save.

    Raises:
        LabError: bad input, a host that is not ready, or a step that failed; the next run goes on from there.
    """
    started_s = now_s()
    lab = load_lab(options)
    renewing.require_no_given(options, lab.name)
    if options.driver == "vagrant":
        vagrant_side.require(lab, options)
    examination = examine(lab, options)
    examination.require()
    chosen = examination.choice
    with (
        open_session(options, "up", accelerator=chosen.accelerator, make_secrets=True) as session,
        files.locked(session.folder / "lock", busy=f"another run is working on the lab {lab.name}"),
        _hypervisor() as hypervisor,
    ):
        session.reporter.note(f"Lab {lab.name}: {chosen.reason}")
        session.reporter.fact("accelerator", {"accelerator": chosen.accelerator, "reason": chosen.reason})
        for finding in examination.warnings:
            session.reporter.warn(f"{finding.name}: {finding.message}")
        try:
            answers, trials = _bring_up_renewed(session, hypervisor, save=save, fresh=fresh)
        except LabError as error:
            seen = problems_seen(session)
            kept = keep_evidence(session, hypervisor)
            where = [f"kept in {shown_path(session.folder / 'logs')}: {', '.join(kept)}"] if kept else []
            error.details = (*error.details, *seen, *where)
            raise
        return _outcome(session, answers, trials, now_s() - started_s)


@contextmanager
def _hypervisor() -> Iterator[Hypervisor]:
    hypervisor = Hypervisor()
    try:
        yield hypervisor
    finally:
        hypervisor.close()


def _bring_up_renewed(
    session: Session, hypervisor: Hypervisor, *, save: bool, fresh: bool
) -> tuple[Sequence[ProbeResult], Sequence[Trial]]:
    """Bring the lab up, with its secrets renewed if that is wanted or an earlier run was killed while it did so.

    Returns:
        What clients saw, and what proves that no old secret is left; nothing of the latter without a renewal.
    """
    folder = session.folder
    renewing.take_over_wish(session)
    session = renewing.resumed(session, hypervisor)
    if renewing.phase_of(folder) is None:
        return _bring_up(session, hypervisor, save=save, fresh=fresh), []
    # A save that is made before all is new would have to be forgotten at once.
    answers = _bring_up(session, hypervisor, save=False, fresh=fresh)
    if renewing.phase_of(folder) == "wanted":
        observe.wait_healthy(session)
        session = renewing.changed(session, hypervisor)
        answers = _bring_up(session, hypervisor, save=False, fresh=False)
    trials = renewal_proof.require(session)
    if save:
        snapshot.save_ready(session, hypervisor)
    renewing.end(folder)
    return answers, trials


def _bring_up(session: Session, hypervisor: Hypervisor, *, save: bool, fresh: bool) -> Sequence[ProbeResult]:
    by_vagrant = vagrant_side.chosen(session.options, session.lab.name, hypervisor) == "vagrant"
    # What is kept is of nodes that were defined without it.
    kept = keeping.offered(session, hypervisor, fresh=fresh or by_vagrant)
    tree = rendered_to_build(session, hypervisor)
    if (
        kept is not None
        and keeping.can_start(session, hypervisor, tree, kept)
        and keeping.start(session, hypervisor, tree, kept)
    ):
        _, answers = snapshot.wait_back(session, thorough=True)
        if not all_served(answers):
            answers = serving.wait_served(session)
        if save:
            snapshot.save_ready(session, hypervisor)
        return answers
    bake_lab(session.lab, session.reporter)
    with _nodes_on(session, hypervisor, tree, by_vagrant=by_vagrant) as started:
        if not started and not observe.look(session).problems(session.lab):
            answers = serving.ask(session, thorough=True)
            if all_served(answers) or not session.lab.guests:
                session.reporter.note("The lab is up already; nothing was changed.")
                return answers
        with session.reporter.step("nodes and cluster"):
            _build_cluster(session, hypervisor, tree)
    answers = serving.wait_served(session)
    _wait_whole(session)
    if save:
        snapshot.save_ready(session, hypervisor)
    return answers


@contextmanager
def _nodes_on(
    session: Session, hypervisor: Hypervisor, tree: dict[str, bytes], *, by_vagrant: bool
) -> Iterator[list[str]]:
    """What the nodes need on the host, and the nodes switched on; yields the names of those that were off."""
    with ExitStack() as beside:
        with session.reporter.step("host: networks, disks, nodes"):
            host_side.ensure_networks(session, hypervisor, tree)
            host_side.ensure_cached_images(session, hypervisor)
            if not by_vagrant:
                host_side.ensure_domains(session, hypervisor, tree)
            pending.settle(session, hypervisor)
            host_side.ensure_fencing(session)
            made = beside.enter_context(vagrant_side.making_missing(session, hypervisor, tree)) if by_vagrant else []
            started = [*made, *host_side.start_domains(session, hypervisor)]
        yield started


def _wait_whole(session: Session) -> None:
    """Wait for what no client asks for: a healthy cluster, and guests that ssh gets into, looked at side by side."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        reachable = pool.submit(serving.wait_reachable, session)
        with session.reporter.step("cluster healthy"):
            observe.wait_healthy(session)
            switching.wait_negotiated(session)
        reachable.result()


def _build_cluster(session: Session, hypervisor: Hypervisor, tree: dict[str, bytes]) -> None:
    """Nodes, storage and cluster software, as much side by side as they allow.

    cloud-init writes every file before sshd starts, so storage does not wait for its later stages; their result is
    waited for before anything is built on it.
    """
    lab = session.lab
    session.on_each(lab.nodes, lambda node: nodes.wait_booted(session, hypervisor, node))
    with ThreadPoolExecutor(max_workers=2 * len(lab.nodes)) as pool:
        personalised = [pool.submit(nodes.wait_personalised, session, node) for node in lab.nodes]
        joining = pool.submit(_join, session)
        if not cluster.manages_storage(session):
            session.on_each(lab.nodes, lambda node: storage.prepare_block_devices(session, node))
            storage.prepare_file_system(session)
            # The node that copies is busy; the others join the file system and meet the guests meanwhile.
            defining = [pool.submit(_follow, session, node) for node in lab.nodes[1:]]
            guests.copy_guests(session, tree)
            guests.start_pool(session, lab.nodes[0])
            for defined in defining:
                defined.result()
        for future in personalised:
            future.result()
        joined = joining.result()
    cluster.allow_resources(session)
    if not cluster.configured(session, joined):
        cluster.load_resources(session, tree["cluster/cib.crm"])


def _follow(session: Session, node: Node) -> None:
    storage.mount_too(session, node)
    guests.start_pool(session, node)


def _join(session: Session) -> ClusterStatus:
    session.on_each(session.lab.nodes, lambda node: cluster.start_cluster_software(session, node))
    return cluster.wait_members(session)


def _outcome(session: Session, answers: Sequence[ProbeResult], trials: Sequence[Trial], seconds: float) -> Outcome:
    lab = session.lab
    lines = [
        *(answer.as_line() for answer in answers),
        "",
        f"Lab {lab.name} is up: {len(lab.nodes)} nodes, {len(lab.guests)} guests, {lab.accelerator}, "
        f"time scale {lab.time_scale:g}, {seconds:.0f} s.",
        f"./inv lab.status shows it, ./inv lab.ssh {lab.nodes[0].name} opens a shell, ./inv lab.down removes it.",
    ]
    if trials:
        lines.append(
            f"All its secrets are new: {len(trials)} trials found every old one refused or gone. "
            "Saves that were made with the old ones are forgotten."
        )
    if lab.fencing.method == "none":
        lines.append("WARNING: fencing is OFF; this lab can lose data.")
    return Outcome(
        "\n".join(lines),
        {
            "lab": lab.name,
            "accelerator": lab.accelerator,
            "time_scale": lab.time_scale,
            "duration_s": round(seconds, 1),
            "services": [answer.as_document() for answer in answers],
            "renewed": [trial.what for trial in trials],
        },
    )
