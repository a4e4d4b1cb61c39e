"""The values that a guest's own templates may use (``cloudinit/guests/**``)."""

from __future__ import annotations

from lab.core import addressing
from lab.core.model import Guest, Lab, Secrets
from lab.core.render.facts import Values


def guest_template_values(lab: Lab, guest: Guest, secrets: Secrets) -> Values:
    """Everything that the templates of one guest's personal files say.

    ``peers`` maps every guest's domain, and ``nodes`` every node's name, to its address on the service network.
    """
    return {
        "lab": lab,
        "guest": guest,
        "secrets": secrets,
        "address": str(addressing.guest_ip(lab, guest)),
        "prefix": lab.network.service_subnet.prefixlen,
        "gateway": str(addressing.service_gateway(lab)),
        "subnet": str(lab.network.service_subnet),
        "zone": lab.network.zone,
        "peers": {peer.domain: str(addressing.guest_ip(lab, peer)) for peer in lab.guests},
        "nodes": {node.name: str(addressing.node_service_ip(lab, node)) for node in lab.nodes},
    }
