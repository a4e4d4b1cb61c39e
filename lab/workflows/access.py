"""Getting into a lab: a shell on a node or guest, the serial console of a node."""

from __future__ import annotations

import os
import sys

from lab.core import addressing
from lab.core.errors import LabError
from lab.doors.process import hand_over
from lab.doors.ssh import Shell
from lab.drivers.hypervisor import DEFAULT_URI
from lab.workflows.options import ROOT, Options, load_lab


def ssh(options: Options, target: str, command: str) -> int:
    """Open a shell as root, or run one command; returns its exit code.

    Raises:
        LabError: no such node or guest (exit code 2), or the lab is not here.
    """
    lab = load_lab(options)
    known = {name.lower(): name for name in lab.node_names} | {guest.domain: guest.domain for guest in lab.guests}
    host = known.get(target.lower())
    if host is None:
        raise LabError(
            f"{target} is neither a node nor a guest of lab {lab.name}",
            remedy=f"Choose one of: {', '.join(known)}",
            exit_code=2,
        )
    config = options.build / lab.name / "ssh_config"
    if not config.exists():
        raise LabError(f"there is no lab {lab.name} here", remedy=f"Build it with {options.up_command}")
    words = ["-t"] if not command and sys.stdin.isatty() else []
    argv = [*Shell(host, config, ROOT).argv(*words), *(["--", command] if command else [])]
    return hand_over(argv, cwd=ROOT)


def console(options: Options, node: str) -> int:
    """Attach to a node's serial console until Ctrl-].

    Raises:
        LabError: no such node (exit code 2).
    """
    lab = load_lab(options)
    if node not in lab.node_names:
        raise LabError(
            f"{node} is not a node of lab {lab.name}",
            remedy=f"Choose one of: {', '.join(lab.node_names)}; guests are reached with ./inv lab.ssh",
            exit_code=2,
        )
    uri = os.environ.get("LIBVIRT_DEFAULT_URI", DEFAULT_URI)
    argv = ["virsh", "-c", uri, "console", addressing.domain_name(lab.name, node), "--force"]
    return hand_over(argv, cwd=ROOT)
