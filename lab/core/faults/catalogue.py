"""The catalogue of faults: all of them, by name."""

from __future__ import annotations

from lab.core.errors import LabError
from lab.core.faults.cluster_faults import CLUSTER_FAULTS
from lab.core.faults.fault import Fault, FaultOrder, FaultPlan, planned_fault
from lab.core.faults.network_faults import NETWORK_FAULTS
from lab.core.faults.node_faults import NODE_FAULTS
from lab.core.faults.process_faults import PROCESS_FAULTS
from lab.core.faults.storage_faults import STORAGE_FAULTS
from lab.core.model import Lab
from lab.core.topology_checks import nearest

FAULTS: tuple[Fault, ...] = (*NODE_FAULTS, *NETWORK_FAULTS, *PROCESS_FAULTS, *STORAGE_FAULTS, *CLUSTER_FAULTS)
NAMES = tuple(fault.name for fault in FAULTS)


def fault_named(name: str) -> Fault:
    """The fault of a name.

    Raises:
        LabError: there is none (exit code 2).
    """
    found = next((fault for fault in FAULTS if fault.name == name), None)
    if found is None:
        hint = nearest(name, NAMES)
        raise LabError(
            f"there is no fault {name!r}",
            remedy=f"{hint}./inv lab.faults describes them: {', '.join(NAMES)}",
            exit_code=2,
        )
    return found


def planned(lab: Lab, order: FaultOrder) -> FaultPlan:
    """The fault that an order comes to.

    Raises:
        LabError: no such fault, node or guest, or they do not go together (exit code 2).
    """
    return planned_fault(lab, fault_named(order.name), order)
