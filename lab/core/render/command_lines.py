"""Kernel command lines of nodes and guests (kernel-parameters.txt of Linux)."""

from __future__ import annotations

from lab.core.model import Lab

#: Why each word is there: see :func:`node_command_line`.
GUEST_COMMAND_LINE = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet mitigations=off init_on_alloc=0 cryptomgr.notests"
)


def node_command_line(lab: Lab) -> str:
    """Kernel command line of a node.

    Names eth0 to eth2 are the study's (``net.ifnames=0``); there is no swap to resume from (``nohibernate``,
    ``noresume``).
    An emulated CPU has none of the flaws that ``mitigations`` guard against, only their cost. Timers with a resolution
    below that of the tick make the kernel set the processor's timer again and again, and each time a thread of the
    emulator wakes that needs a processor of the host, too; with a steady tick, which an idle node can afford, it is set
    once (``highres``, ``nohz``). Memory that the kernel hands out to itself need not be cleared (``init_on_alloc``),
    and its ciphers need not be tested at every boot (``cryptomgr.notests``).
    A node bridges the guests' VLANs and must not speak there; IPv6 would, as soon as there is a device
    (kernel-parameters.txt, ``sysctl.*``).
    """
    words = ["root=/dev/vda", "rw", "console=ttyS0", "net.ifnames=0", "quiet", "nohibernate", "noresume"]
    if lab.accelerator == "tcg":
        words += ["mitigations=off", "highres=off", "nohz=off", "init_on_alloc=0", "cryptomgr.notests"]
    if lab.network.vlans:
        words += ["sysctl.net.ipv6.conf.default.disable_ipv6=1"]
    return " ".join(words)
