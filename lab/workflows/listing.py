"""All labs of this host, found by asking libvirt."""

from __future__ import annotations

from lab.core.outcome import Outcome
from lab.drivers.hypervisor import Hypervisor
from lab.workflows.options import Options
from lab.workflows.session import kept_state


def list_labs(options: Options) -> Outcome:
    """Every lab that has a domain on this host, with the state of its nodes."""
    hypervisor = Hypervisor()
    try:
        domains = hypervisor.owned_domains()
    finally:
        hypervisor.close()
    labs: dict[str, dict[str, object]] = {}
    for name in sorted({domain.lab for domain in domains}):
        state = kept_state(options.build / name)
        labs[name] = {
            "nodes": {domain.node: domain.state for domain in domains if domain.lab == name},
            "accelerator": state.get("accelerator", "unknown"),
            "topology": state.get("topology", "unknown"),
        }
    lines = [
        f"{name:<12} {lab['accelerator']:<5} "
        + ", ".join(f"{node} {state}" for node, state in lab["nodes"].items())  # type: ignore[attr-defined]
        + f"  ({lab['topology']})"
        for name, lab in labs.items()
    ]
    return Outcome("\n".join(lines) or "There is no lab on this host.", {"labs": labs})
