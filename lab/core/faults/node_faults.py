"""Faults of whole nodes: power, freezing, resets, panics."""

from __future__ import annotations

from lab.core.faults.fault import Fault, Script

_BOOTED = "the node shows another boot id than before"
_BACK = "every domain of the lab runs, and the node answers over the management network"

NODE_FAULTS = (
    Fault(
        "freeze",
        "node",
        "node",
        "power",
        lasting=True,
        summary="The node stops in the middle of what it does, memory kept, and may go on later: the zombie.",
        teaches="Silence is not death. Without fencing the node wakes up and writes to storage that has moved on.",
        expected="The other node fences it, so that it can never wake up, and then starts its guests.",
        undo="the domain is resumed; one that was fenced meanwhile runs already",
        proof="libvirt says that the domain is paused",
        absence="no domain of the lab is paused",
        hold_s=40,
        down="target",
        fences=True,
        detail="suspend",
    ),
    Fault(
        "reset",
        "node",
        "node",
        "power",
        lasting=False,
        summary="The reset button of the node is pressed.",
        teaches="A node that comes back quickly must be fenced all the same before its guests start elsewhere.",
        expected="The other node loses it, fences it, recovers the storage and starts its guests; the node rejoins.",
        undo="nothing is left; the node boots by itself",
        proof=_BOOTED,
        absence=_BACK,
        hold_s=5,
        down="target",
        fences=True,
        detail="reset",
    ),
    Fault(
        "power-off",
        "node",
        "node",
        "power",
        lasting=True,
        summary="The node's power is cut and stays away.",
        teaches="The plainest failure: everything of the node is gone at once.",
        expected="The other node fences it, recovers the storage and starts its guests.",
        undo="the domain is started",
        proof="libvirt says that the domain is off",
        absence="every domain of the lab runs",
        hold_s=40,
        down="target",
        fences=True,
        detail="off",
    ),
    Fault(
        "kernel-panic",
        "node",
        "node",
        "shell",
        lasting=False,
        summary="The node's kernel panics (SysRq c); by kernel.panic it restarts after 5 s.",
        teaches="A panicked node is silent but on. It must be fenced, although it restarts by itself.",
        expected="The other node fences it, recovers the storage and starts its guests; the node rejoins.",
        undo="nothing is left; the node boots by itself",
        proof=_BOOTED,
        absence=_BACK,
        hold_s=5,
        down="target",
        fences=True,
        script=Script(
            inject=(
                "test -w /proc/sysrq-trigger && test $(cat /proc/sys/kernel/panic) -gt 0 || exit 2\n"
                "echo 1 > /proc/sys/kernel/sysrq\n"
                "(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 < /dev/null &"
            ),
            proof="",
        ),
        detail="next boot",
    ),
    Fault(
        "both-off",
        "node",
        "lab",
        "power",
        lasting=True,
        summary="The power of both nodes is cut at once, as when a rack loses its supply.",
        teaches="Nobody is left to decide. Both must meet again before anything starts (wait_for_all).",
        expected="When power is back the nodes find each other, storage comes up on both, every guest starts once.",
        undo="both domains are started",
        proof="libvirt says that both domains are off",
        absence="every domain of the lab runs",
        hold_s=5,
        down="both",
        detail="all off",
    ),
)
