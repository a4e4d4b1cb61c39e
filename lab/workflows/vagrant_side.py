"""Nodes that Vagrant defines: what it needs beforehand, and ``vagrant up`` for those that are missing.

Networks, pool, seeds, images and fencing are made as without it. Once a node is defined, it is libvirt's domain like
any other: it is switched on and off, saved and fenced by the same means.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.model import Driver, Lab, Node
from lab.core.render.facts import POOLS_ROOT
from lab.core.vagrant_plan import (
    boot_timeout_s,
    box_name,
    catalogue_path,
    is_whole,
    made_volumes,
    thin_copies,
)
from lab.doors import files
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import masked
from lab.drivers import vagrant
from lab.drivers.hypervisor import Hypervisor
from lab.drivers.lab_images import image_files, planned_images
from lab.workflows.options import Options
from lab.workflows.session import Session

LOG = "logs/vagrant.log"
#: Vagrant's own start, boxes and domains, beside the boot.
_BESIDE_BOOT_S = 300.0


def require(lab: Lab, options: Options) -> None:
    """Vagrant can make this lab's nodes on this host.

    Raises:
        LabError: it is missing, or the topology wants what its plugin cannot describe (exit code 2).
    """
    if lab.network.switch != "bridge":
        raise LabError(
            f"Vagrant cannot plug nodes into network.switch {lab.network.switch}",
            remedy="Leave out --driver vagrant, or use a topology with switch: bridge",
            exit_code=2,
        )
    vagrant.require(options.build / lab.name)


def prepare(session: Session, hypervisor: Hypervisor, tree: Mapping[str, bytes]) -> list[str]:
    """Everything that ``vagrant up`` needs for the nodes that are missing; networks and cached images are there.

    Args:
        session: the lab; its lock is held.
        hypervisor: the connection.
        tree: the rendered files by path.

    Returns:
        Names of the nodes that are to be made.
    """
    hypervisor.ensure_pool(tree["libvirt/pool.xml"].decode())
    missing = [node for node in session.lab.nodes if not _is_there(session, hypervisor, node)]
    if missing:
        with session.reporter.step("disks and boxes for Vagrant"):
            for node in missing:
                _clear(session, hypervisor, node)
                _put_disks(session, hypervisor, node, tree)
            _add_boxes(session, missing)
    return [node.name for node in missing]


@contextmanager
def making_missing(session: Session, hypervisor: Hypervisor, tree: Mapping[str, bytes]) -> Iterator[list[str]]:
    """Have Vagrant make and start the nodes that are missing, and go on as soon as they are switched on.

    Vagrant itself waits for its own ssh to them, which lasts some time longer than until they can be worked on. It has
    ended well when the block has; when the block fails, Vagrant is ended too.

    Yields:
        Names of the nodes; none when all are there.

    Raises:
        LabError: Vagrant is missing or failed; what there is stays, and the next run goes on.
    """
    names = prepare(session, hypervisor, tree)
    if not names:
        yield []
        return
    program = _program(session)
    limit_s = boot_timeout_s(session.lab) + _BESIDE_BOOT_S
    domains = [addressing.domain_name(session.lab.name, name) for name in names]
    with ThreadPoolExecutor(max_workers=1) as pool:
        made = pool.submit(_bring_up, session, program, names, limit_s)
        try:
            wait_until(
                lambda: made.done() or all(hypervisor.state(domain) == "running" for domain in domains),
                what="Vagrant to switch on its nodes",
                deadline=Deadline.after(limit_s * len(names)),
                interval_s=0.5,
                remedy=f"See {LOG} of the lab",
            )
            if made.done():
                made.result()
            yield names
        except BaseException:
            program.abandon()
            raise
        made.result()


def _bring_up(session: Session, program: vagrant.Vagrant, names: list[str], limit_s: float) -> None:
    with session.reporter.step("vagrant up"):
        for one in [None] if len(names) == len(session.lab.nodes) else names:
            program.bring_up(one, limit_s)


def chosen(options: Options, lab_name: str, hypervisor: Hypervisor) -> Driver:
    """Who is to define the lab's nodes: who has defined those that exist, else who was asked for.

    Raises:
        LabError: the lab exists and was made the other way (exit code 2).
    """
    there = {domain.driver for domain in hypervisor.owned_domains(lab_name)}
    wanted = options.driver
    if wanted and there - {wanted}:
        raise LabError(
            f"the nodes of the lab {lab_name} were made with --driver {there.pop()}",
            remedy=f"Leave out --driver, or remove the lab with ./inv lab.down --name {lab_name}",
            exit_code=2,
        )
    return there.pop() if there else wanted or "libvirt"


def _program(session: Session) -> vagrant.Vagrant:
    log = session.folder / LOG
    log.parent.mkdir(parents=True, exist_ok=True)

    def tell(line: str) -> None:
        with log.open("a", encoding="utf-8") as stream:
            stream.write(masked(line) + "\n")

    log.touch(files.SECRET_MODE)
    return vagrant.Vagrant(session.folder, tell)


def _is_there(session: Session, hypervisor: Hypervisor, node: Node) -> bool:
    """Whether a node is defined in full; of a killed run's one, which has not run, something may be missing."""
    domain = addressing.domain_name(session.lab.name, node.name)
    state = hypervisor.state(domain)
    return state != "missing" and (state != "off" or is_whole(hypervisor.definition(domain)))


def _clear(session: Session, hypervisor: Hypervisor, node: Node) -> None:
    """Remove what a killed run has left of a node: Vagrant would refuse to make what is there already."""
    hypervisor.remove_domain(addressing.domain_name(session.lab.name, node.name))
    for name in made_volumes(session.lab, node):
        hypervisor.delete_volume(session.lab.name, name)
    shutil.rmtree(session.folder / ".vagrant" / "machines" / node.name, ignore_errors=True)


def _put_disks(session: Session, hypervisor: Hypervisor, node: Node, tree: Mapping[str, bytes]) -> None:
    pool = session.lab.name
    hypervisor.upload_volume(pool, f"{node.name}-seed.iso", tree[f"nodes/{node.name}/seed.iso"])
    for thin in thin_copies(node, planned_images(session.lab), f"{POOLS_ROOT}/{pool}"):
        hypervisor.delete_volume(pool, thin.name)
        hypervisor.create_volume(pool, thin.xml)


def _add_boxes(session: Session, nodes: list[Node]) -> None:
    images = planned_images(session.lab)
    program = _program(session)
    for volume in sorted({images.node_volume[node.name] for node in nodes}):
        catalogue = session.folder / catalogue_path(volume)
        box = catalogue.with_suffix(".box")
        kind = "qcow2" if volume.endswith(".qcow2") else "raw"
        vagrant.pack_box(image_files(images)[volume], (f"{images.cache_pool_path}/{volume}", kind), box)
        vagrant.add_box(program, box_name(session.lab.name, volume), box, catalogue)
