"""The lab's objects on the host: networks, pools, volumes, domains and the fencing daemon, made where missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.model import Node
from lab.doors.clock import Deadline, wait_until
from lab.drivers import fencing
from lab.drivers.hypervisor import CACHE_POOL, Hypervisor
from lab.drivers.lab_images import CACHE_POOL_PATH, image_files, planned_images
from lab.workflows import switching
from lab.workflows.options import ROOT
from lab.workflows.session import Session

#: Names end with this while a volume is filled; a killed run leaves one that nobody trusts.
COMPLETE_MARK = ".complete"
CACHE_POOL_XML = f"<pool type='dir'><name>{CACHE_POOL}</name><target><path>{CACHE_POOL_PATH}</path></target></pool>"


def ensure_networks(session: Session, hypervisor: Hypervisor, tree: dict[str, bytes]) -> None:
    """The service network first: starting it also makes libvirt's own folder for network state."""
    for role in ("service", "management"):
        hypervisor.ensure_network(tree[f"libvirt/networks/{role}.xml"].decode())
    switching.ensure(session)


def ensure_host_objects(session: Session, hypervisor: Hypervisor, tree: Mapping[str, bytes]) -> None:
    """Networks and pools of a lab whose disks are there; after a restart of the host libvirt has them switched off.

    Args:
        session: the lab.
        hypervisor: the connection.
        tree: the rendered files by path, those of the host at least.
    """
    for role in ("service", "management"):
        hypervisor.ensure_network(tree[f"libvirt/networks/{role}.xml"].decode())
    switching.ensure(session)
    hypervisor.ensure_pool(CACHE_POOL_XML)
    hypervisor.ensure_pool(tree["libvirt/pool.xml"].decode())


def written_host_files(folder: Path) -> dict[str, bytes]:
    """The files of libvirt as an earlier run has written them to ``build/<lab>``."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "libvirt").rglob("*.xml")}


def ensure_cached_images(session: Session, hypervisor: Hypervisor) -> None:
    """The images of this lab as volumes of the cache pool.

    A volume counts when a second, tiny volume says that its upload was completed.
    """
    hypervisor.ensure_pool(CACHE_POOL_XML)
    there = hypervisor.volume_names(CACHE_POOL)
    for name, path in image_files(planned_images(session.lab)).items():
        if {name, name + COMPLETE_MARK} <= there:
            continue
        with session.reporter.step(f"upload {name}"):
            # A mark of an earlier upload must not vouch for this one.
            hypervisor.delete_volume(CACHE_POOL, name + COMPLETE_MARK)
            hypervisor.upload_volume(CACHE_POOL, name, path)
            hypervisor.upload_volume(CACHE_POOL, name + COMPLETE_MARK, b"complete\n")


def ensure_domains(session: Session, hypervisor: Hypervisor, tree: dict[str, bytes]) -> None:
    """Disks and definitions of the nodes; what exists stays as it is."""
    lab = session.lab
    hypervisor.ensure_pool(tree["libvirt/pool.xml"].decode())
    there = hypervisor.volume_names(lab.name)
    for node in lab.nodes:
        domain = addressing.domain_name(lab.name, node.name)
        if hypervisor.state(domain) != "missing":
            continue
        for part in ("system", "storage"):
            if f"{node.name}-{part}.qcow2" not in there:
                hypervisor.create_volume(lab.name, tree[f"libvirt/volumes/{node.name}-{part}.xml"].decode())
        hypervisor.upload_volume(lab.name, f"{node.name}-seed.iso", tree[f"nodes/{node.name}/seed.iso"])
        hypervisor.define_domain(tree[f"libvirt/domains/{node.name}.xml"].decode())


def fence_configuration(folder: Path) -> Path:
    """The configuration file that identifies a lab's fencing daemon."""
    return folder.absolute() / fencing.CONFIGURATION


def ensure_fencing(session: Session) -> bool:
    """The fencing daemon, unless the topology switches fencing off; returns whether it was started now."""
    lab = session.lab
    if lab.fencing.method == "none":
        session.reporter.warn(
            "fencing is OFF in this topology: two primaries without fencing lose data when the link breaks"
        )
        return False
    return fencing.start(
        fence_configuration(session.folder),
        address=str(addressing.management_gateway(lab)),
        port=lab.fencing.port,
        working_folder=ROOT,
        log=session.folder / "logs" / "fence_virtd.log",
    )


def start_domains(session: Session, hypervisor: Hypervisor) -> list[str]:
    """Switch the nodes on; returns the names of those that were off."""
    return [
        node.name for node in session.lab.nodes if hypervisor.start(addressing.domain_name(session.lab.name, node.name))
    ]


def stop_domain(session: Session, hypervisor: Hypervisor, node: Node, limit_s: float) -> bool:
    """Shut a node down by its power button; its power is cut at the limit. Returns whether it went by itself."""
    domain = addressing.domain_name(session.lab.name, node.name)
    if hypervisor.state(domain) in ("off", "missing", "crashed"):
        return True
    hypervisor.shutdown(domain)
    try:
        wait_until(
            lambda: hypervisor.state(domain) in ("off", "missing", "crashed"),
            what=f"{node.name} to shut down",
            deadline=Deadline.after(limit_s),
            interval_s=0.5,
        )
    except LabError:
        hypervisor.power_off(domain)
        return False
    return True
