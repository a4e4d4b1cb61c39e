"""The values that a guest's own templates may use (``cloudinit/guests/**``)."""

from __future__ import annotations

from lab.core import addressing
from lab.core.model import Guest, Lab, Secrets
from lab.core.render.facts import Values


def guest_template_values(lab: Lab, guest: Guest, secrets: Secrets) -> Values:
    """Everything that the templates of one guest's personal files say.

    ``peers`` maps every guest's domain, and ``nodes`` every node's name, to its address on the service network. A
    guest in a VLAN sees the guests of that VLAN only, and no node.
    """
    return {
        "lab": lab,
        "guest": guest,
        "secrets": secrets,
        "address": str(addressing.guest_ip(lab, guest)),
        "prefix": addressing.guest_subnet(lab, guest).prefixlen,
        "gateway": str(addressing.guest_gateway(lab, guest)),
        "subnet": str(addressing.guest_subnet(lab, guest)),
        "zone": lab.network.zone,
        "peers": {peer.domain: str(addressing.guest_ip(lab, peer)) for peer in lab.guests if peer.vlan == guest.vlan},
        "nodes": {node.name: str(addressing.node_service_ip(lab, node)) for node in lab.nodes if not guest.vlan},
    }
