"""Under KVM a pause of a node is none for its guests' clocks when the node loads what it has just saved.

While a domain is paused, its kvm-clock stands still and its TSC does not: QEMU sets the one back when the domain goes
on (``hw/i386/kvm/clock.c``), nobody the other. A guest inside reads its clock from the TSC, so it is ahead by the
pause, until KVM in the node compares the two, which it does every 300 s (``KVMCLOCK_SYNC_PERIOD`` of Linux), and lets
the guest's clock stand still for as long. Loading sets the TSC, too. An emulated TSC stands still with the domain.
What is left is the time from a node's load to the moment at which all go on, that of the slower node.
"""

from __future__ import annotations

from collections.abc import Sequence

import libvirt
import libvirt_qemu

from lab.core.errors import LabError
from lab.drivers.hypervisor import Hypervisor, OwnedDomain, explained
from lab.drivers.together import side_by_side

#: A snapshot that is no save: :func:`lab.core.saves.save_name` does not know it.
_MOMENT = "lab-moment"


class SwitchedOffError(LabError):
    """The nodes could not go on, and are off."""


def wind_back(hypervisor: Hypervisor, domains: Sequence[OwnedDomain], snapshot: str) -> None:
    """Have paused domains under KVM load, where they are, what they have just saved.

    (``loadvm`` of QEMU's monitor, which does it in the same process.)

    Args:
        hypervisor: the connection.
        domains: the nodes of one lab; all of them are paused.
        snapshot: name of the snapshots in libvirt.

    Raises:
        SwitchedOffError: a domain cannot load it. What it is now nobody knows, and its peer must not meet it, so all
            are off.
    """

    def load(domain: OwnedDomain) -> str:
        handle = hypervisor.connection.lookupByName(domain.name)
        try:
            said = libvirt_qemu.qemuMonitorCommand(
                handle, f"loadvm {snapshot}", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
            )
        except libvirt.libvirtError as error:
            said = error.get_error_message()
        return str(said).strip()

    said = dict(zip((domain.node for domain in domains), side_by_side(domains, load), strict=True))
    if any(said.values()):
        for domain in domains:
            hypervisor.power_off(domain.name)
        raise SwitchedOffError(
            "the nodes cannot go on from what they have just saved, and were switched off",
            remedy="./inv lab.reset puts the lab back to its last save, ./inv lab.up starts the nodes",
            details=[f"{node}: {why}" for node, why in said.items() if why],
        )


def wind_back_to_now(hypervisor: Hypervisor, domains: Sequence[OwnedDomain]) -> None:
    """The same for domains under KVM that are paused for something else than a save: to what they are now.

    Raises:
        SwitchedOffError: as :func:`wind_back`.
        LabError: a domain cannot be saved; all are still paused.
    """

    def forget_it(domain: OwnedDomain) -> None:
        with explained(f"the snapshot {_MOMENT} of node {domain.node} cannot be deleted"):
            for one in hypervisor.connection.lookupByName(domain.name).listAllSnapshots(0):
                if one.getName() == _MOMENT:
                    one.delete(0)

    def save(domain: OwnedDomain) -> None:
        with explained(f"node {domain.node} cannot be saved", "Look at the free space of the lab's disks"):
            document = f"<domainsnapshot><name>{_MOMENT}</name></domainsnapshot>"
            hypervisor.connection.lookupByName(domain.name).snapshotCreateXML(document, 0)

    # One that a killed run has left.
    side_by_side(domains, forget_it)
    try:
        side_by_side(domains, save)
        wind_back(hypervisor, domains, _MOMENT)
    finally:
        side_by_side(domains, forget_it)
