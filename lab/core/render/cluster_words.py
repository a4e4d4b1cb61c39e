"""How the settings of Corosync and Pacemaker are written for the versions that the nodes have."""

from __future__ import annotations

from typing import Any

from lab.core.model import Lab
from lab.core.software import lab_software

#: crmsh and Pacemaker before 2.1; and the study's.
OLD_ROLES = ("Master", "Slave")


def software_values(lab: Lab) -> dict[str, Any]:
    """What templates may say about the software of the nodes, ``software`` and ``crm``, and Corosync's settings."""
    software, cluster = lab_software(lab), lab.cluster
    in_sets = cluster.drbd_set == "ms"
    promoted, unpromoted = OLD_ROLES if in_sets else software.role_words
    return {
        "software": software,
        "corosync": {
            "transport": cluster.transport,
            "secauth": cluster.secauth,
            # Corosync 3 refuses a file that asks for it with another transport (corosync.conf(5), "transport").
            "encrypts": cluster.secauth and (cluster.transport == "knet" or software.corosync < 3),
            "rrp_mode": cluster.rrp_mode,
            "clear_node_high_bit": "yes" if cluster.clear_node_high_bit else "no",
            "service_stanza": cluster.service_stanza,
        },
        "crm": {
            "as_set": in_sets,
            "promoted": promoted,
            "unpromoted": unpromoted,
            "properties": '$id="cib-bootstrap-options"' if software.old_crm else "cib-bootstrap-options:",
            "defaults": '$id="rsc-options"' if software.old_crm else "rsc-options:",
            "mandatory": "inf" if software.old_crm else "Mandatory",
            "optional": "0" if software.old_crm else "Optional",
            # Parameters of the agent that 14.04's does not have.
            "autoset": not software.old_crm,
            # Its Python is too old for the script that asks them.
            "asks_guests": not software.old_crm,
            "delay_by_node": software.delay_by_node,
        },
    }
