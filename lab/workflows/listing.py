"""All labs of this host, found by asking libvirt."""

from __future__ import annotations

from lab.core.outcome import Outcome
from lab.drivers import kept_saves
from lab.drivers.hypervisor import Hypervisor
from lab.workflows.options import Options
from lab.workflows.session import kept_state


def list_labs(options: Options) -> Outcome:
    """Every lab that has a domain on this host, with the state of its nodes; then those that only saves are kept of."""
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
            "driver": next(domain.driver for domain in domains if domain.lab == name),
            "accelerator": state.get("accelerator", "unknown"),
            "topology": state.get("topology", "unknown"),
        }
    lines = [
        f"{name:<12} {lab['accelerator']:<5} "
        + ", ".join(f"{node} {state}" for node, state in lab["nodes"].items())  # type: ignore[attr-defined]
        + f"  ({lab['topology']}{', by Vagrant' if lab['driver'] == 'vagrant' else ''})"
        for name, lab in labs.items()
    ]
    kept = {name: kept_saves.find(name) for name in kept_saves.names() if name not in labs}
    for name, one in kept.items():
        what = f"down; its save {one.save} is kept" if one else "half of what was kept is left; lab.down removes it"
        lines.append(f"{name:<12} {one.note.accelerator if one else '-':<5} {what}")
    document = {
        name: {"save": one.save, "created_s": one.note.created_s} if one else None for name, one in kept.items()
    }
    return Outcome("\n".join(lines) or "There is no lab on this host.", {"labs": labs, "kept": document})
