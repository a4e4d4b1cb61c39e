"""The libvirt driver: networks, pools, volumes and domains of labs, through libvirt's own objects.

Everything a lab owns is found by asking libvirt: domains by the metadata element that rendering puts into them or,
where Vagrant defined them, by a UUID that follows from their name; networks and pools by their names. Host paths are
never touched behind libvirt's back, so the connection may be remote.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from lab.core.addressing import node_of_domain
from lab.core.errors import LabError
from lab.core.model import Driver
from lab.drivers import volume_stream

METADATA_URI = "urn:ha-lab:1"
DEFAULT_URI = "qemu:///system"
CACHE_POOL = "ha-lab-cache"

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
}


@dataclass(frozen=True)
class OwnedDomain:
    """A domain that belongs to a lab.

    Args:
        name: libvirt name.
        lab: name of the lab.
        node: name of the node.
        state: ``running``, ``paused``, ``off`` and so on.
        driver: who defined it, ``libvirt`` or ``vagrant``.
    """

    name: str
    lab: str
    node: str
    state: str
    driver: Driver = "libvirt"


@contextmanager
def explained(what: str, remedy: str = "") -> Iterator[None]:
    """Turn what libvirt raises in the block into a sentence that says what it means, and what can be done.

    Raises:
        LabError: libvirt has refused, or what it needs of this host is missing.
    """
    try:
        yield
    except libvirt.libvirtError as error:
        raise LabError(f"{what}: {error.get_error_message()}", remedy=remedy) from error
    except OSError as error:
        raise LabError(f"{what}: {error}", remedy=remedy) from error


class Hypervisor:
    """A connection to one libvirt.

    Args:
        uri: libvirt URI; ``qemu:///system`` unless LIBVIRT_DEFAULT_URI says otherwise.

    Raises:
        LabError: libvirt cannot be reached.
    """

    def __init__(self, uri: str = "") -> None:
        self.uri = uri or os.environ.get("LIBVIRT_DEFAULT_URI", DEFAULT_URI)
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        with explained(
            f"libvirt at {self.uri} cannot be reached",
            "Start it (`./inv` does so), or join the group libvirt and log in again",
        ):
            self.connection = libvirt.open(self.uri)

    def close(self) -> None:
        """End the connection."""
        self.connection.close()

    # Networks

    def ensure_network(self, xml: str) -> bool:
        """Define and start a network unless it is there; returns whether anything was done."""
        name = _name_of(xml)
        with explained(f"network {name} cannot be started", "`./inv lab.doctor` looks for clashes of addresses"):
            network = self._find(self.connection.networkLookupByName, name)
            if network is None:
                network = self.connection.networkDefineXML(xml)
            if network.isActive():
                return False
            network.create()
            return True

    # Pools and volumes

    def ensure_pool(self, xml: str) -> Any:
        """Define, build and start a storage pool unless it is there; returns the pool."""
        name = _name_of(xml)
        with explained(f"storage pool {name} cannot be started"):
            pool = self._find(self.connection.storagePoolLookupByName, name)
            if pool is None:
                pool = self.connection.storagePoolDefineXML(xml, 0)
            if not pool.isActive():
                pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
                pool.refresh(0)
            return pool

    def volume_names(self, pool_name: str) -> set[str]:
        """Names of the volumes in a pool; empty when the pool is not there."""
        pool = self._find(self.connection.storagePoolLookupByName, pool_name)
        if pool is None or not pool.isActive():
            return set()
        with explained(f"storage pool {pool_name} cannot be listed"):
            pool.refresh(0)
            return set(pool.listVolumes())

    def create_volume(self, pool_name: str, xml: str) -> None:
        """Create a volume from its XML."""
        with explained(f"volume {_name_of(xml)} cannot be created", "Look at the free space of the pool"):
            self.connection.storagePoolLookupByName(pool_name).createXML(xml, 0)

    def upload_volume(self, pool_name: str, name: str, content: Path | bytes) -> None:
        """Create a raw volume and fill it; a volume of the same name is replaced.

        Args:
            pool_name: the pool.
            name: name of the volume.
            content: a file on this machine (holes stay holes), or bytes.
        """
        with explained(f"volume {name} cannot be filled"):
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
        xml = (
            f"<volume><name>{name}</name><capacity unit='bytes'>{size}</capacity>"
            "<allocation unit='bytes'>0</allocation><target><format type='raw'/>"
            "<permissions><mode>0600</mode></permissions></target></volume>"
        )
        with explained(f"volume {name} cannot be filled", "Look at the free space of the pool"):
            pool = self.connection.storagePoolLookupByName(pool_name)
            old = self._find(pool.storageVolLookupByName, name)
            if old is not None:
                old.delete(0)
            volume = pool.createXML(xml, 0)
            try:
                volume_stream.fill(self.connection, volume, content)
            except BaseException:
                # Half a volume must not be taken for a whole one by the next run.
                with suppress(libvirt.libvirtError):
                    volume.delete(0)
                raise

    def delete_volume(self, pool_name: str, name: str) -> None:
        """Delete a volume; no error when it is not there."""
        pool = self._find(self.connection.storagePoolLookupByName, pool_name)
        volume = self._find(pool.storageVolLookupByName, name) if pool is not None else None
        if volume is not None:
            with explained(f"volume {name} cannot be deleted"):
                volume.delete(0)

    # Domains

    def define_domain(self, xml: str) -> None:
        """Define a domain, or update its definition; unknown elements are refused."""
        with explained(f"domain {_name_of(xml)} cannot be defined"):
            self.connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

    def state(self, name: str) -> str:
        """State of a domain: ``missing``, ``off``, ``running``, ``paused``, ``crashed``, ``shutting down``."""
        with explained(f"the state of domain {name} cannot be told"):
            domain = self._find(self.connection.lookupByName, name)
            return "missing" if domain is None else _STATES.get(domain.state()[0], "unknown")

    def start(self, name: str) -> bool:
        """Start or resume a domain; returns whether anything was done."""
        with explained(f"domain {name} cannot be started", f"See /var/log/libvirt/qemu/{name}.log on that host"):
            domain = self.connection.lookupByName(name)
            state = domain.state()[0]
            if state == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()
                return True
            if domain.isActive():
                return False
            domain.create()
            return True

    def power_off(self, name: str) -> bool:
        """Cut the power of a domain; returns whether it was on."""
        with explained(f"domain {name} cannot be switched off"):
            domain = self._find(self.connection.lookupByName, name)
            if domain is None or not domain.isActive():
                return False
            domain.destroy()
            return True

    def shutdown(self, name: str) -> None:
        """Press the power button of a domain."""
        with explained(f"domain {name} cannot be shut down"):
            self.connection.lookupByName(name).shutdown()

    def definition(self, name: str) -> str:
        """XML of a domain as libvirt keeps it; empty when it is not there."""
        with explained(f"the definition of domain {name} cannot be read"):
            domain = self._find(self.connection.lookupByName, name)
            return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)) if domain is not None else ""

    def console_tail(self, name: str, lines: int = 15) -> list[str]:
        """Last lines of a domain's console from the log that libvirt keeps; empty where it cannot be read."""
        log = ElementTree.fromstring(self.definition(name) or "<domain/>").find("./devices/serial/log")
        try:
            content = Path(log.get("file", "") if log is not None else "").read_bytes()[-20000:]
        except OSError:
            return []
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", content.decode(errors="replace"))
        return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]

    def owned_domains(self, lab_name: str = "") -> list[OwnedDomain]:
        """Domains that are a lab's nodes, of one lab or of all, by name."""
        found = []
        with explained("domains cannot be listed"):
            for domain in self.connection.listAllDomains(0):
                mark = _ownership(domain)
                if mark and lab_name in ("", mark[0]):
                    state = _STATES.get(domain.state()[0], "unknown")
                    found.append(OwnedDomain(domain.name(), mark[0], mark[1], state, mark[2]))
        return sorted(found, key=lambda each: each.name)

    # Removal

    def remove_domain(self, name: str) -> bool:
        """Switch a domain off and forget it with its snapshots; returns whether it was there."""
        with explained(f"domain {name} cannot be removed"):
            domain = self._find(self.connection.lookupByName, name)
            if domain is None:
                return False
            if domain.isActive():
                domain.destroy()
            domain.undefineFlags(
                libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            )
            return True

    def remove_network(self, name: str) -> bool:
        """Stop a network and forget it; returns whether it was there."""
        with explained(f"network {name} cannot be removed"):
            network = self._find(self.connection.networkLookupByName, name)
            if network is None:
                return False
            if network.isActive():
                network.destroy()
            network.undefine()
            return True

    def remove_pool(self, name: str, uuid: str = "") -> bool:
        """Delete a pool with everything in it; returns whether it was there, and was the one of this UUID if given."""
        with explained(f"storage pool {name} cannot be removed"):
            pool = self._find(self.connection.storagePoolLookupByName, name)
            if pool is None or uuid not in ("", pool.UUIDString()):
                return False
            if not pool.isActive():
                pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
            pool.refresh(0)
            for volume in pool.listAllVolumes(0):
                volume.delete(0)
            pool.destroy()
            pool.delete(0)
            pool.undefine()
            return True

    def has_network(self, name: str) -> bool:
        """Whether a network of this name is defined."""
        return self._find(self.connection.networkLookupByName, name) is not None

    def has_pool(self, name: str) -> bool:
        """Whether a storage pool of this name is defined."""
        return self._find(self.connection.storagePoolLookupByName, name) is not None

    @staticmethod
    def _find(lookup: Callable[[str], Any], name: str) -> Any | None:
        missing = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_NO_STORAGE_POOL,
                   libvirt.VIR_ERR_NO_STORAGE_VOL)  # fmt: skip
        try:
            return lookup(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() in missing:
                return None
            raise LabError(f"libvirt does not answer about {name}: {error.get_error_message()}") from error


def _name_of(xml: str) -> str:
    return (ElementTree.fromstring(xml).findtext("name") or "").strip()


def _ownership(domain: Any) -> tuple[str, str, Driver] | None:
    """Lab, node and who defined it: the mark of our own rendering, or a UUID that nobody else would have given."""
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI)
    except libvirt.libvirtError:
        found = node_of_domain(domain.name(), domain.UUIDString())
        return (*found, "vagrant") if found else None
    mark = ElementTree.fromstring(text)
    return mark.get("name", ""), mark.get("node", ""), "libvirt"
