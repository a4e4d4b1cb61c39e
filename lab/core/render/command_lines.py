"""Kernel command lines of nodes and guests (kernel-parameters.txt of Linux)."""

from __future__ import annotations

from lab.core.model import Lab


def guest_command_line(lab: Lab) -> str:
    """Kernel command line of a guest; for words that a node has, too, see :func:`node_command_line`.

    Each time that a guest leaves its processor to the node, an emulated node forgets all addresses it had translated,
    and looks up again every piece of code that it had ready: that was a third of the emulator's time. So under TCG a
    guest is told to leave it less often: a packet that was sent need not interrupt it (``virtio_net.napi_tx``, passed
    to the module by the initrd), and nobody looks several times a second whether memory should be compacted or counted
    (``sysctl.vm.*``). Timers by the tick alone (``highres=off``) made it leave its processor nearly twice as often: at
    each interrupt of a stopped tick the timer is switched off, and soon on again, in three steps each.
    """
    words = ["root=/dev/vda", "rw", "console=ttyS0", "net.ifnames=0", "quiet"]
    words += ["mitigations=off", "init_on_alloc=0", "cryptomgr.notests"]
    if lab.accelerator == "tcg":
        words += ["norandmaps"]
        words += ["virtio_net.napi_tx=0", "sysctl.vm.compaction_proactiveness=0", "sysctl.vm.stat_interval=60"]
    return " ".join(words)


def node_command_line(lab: Lab) -> str:
    """Kernel command line of a node.

    Names eth0 to eth2 are the study's (``net.ifnames=0``); there is no swap to resume from (``nohibernate``,
    ``noresume``).
    An emulated CPU has none of the flaws that ``mitigations`` guard against, only their cost. Timers with a resolution
    below that of the tick make the kernel set the processor's timer again and again, and each time a thread of the
    emulator wakes that needs a processor of the host, too; with a steady tick, which an idle node can afford, it is set
    once (``highres``, ``nohz``). Memory that the kernel hands out to itself need not be cleared (``init_on_alloc``),
    and its ciphers need not be tested at every boot (``cryptomgr.notests``).
    QEMU knows what it has translated by its address in the process, too. A program that is at another address in each
    process is translated again for each, and its address is not left to chance here (``norandmaps``).
    A node bridges the guests' VLANs and must not speak there; IPv6 would, as soon as there is a device
    (kernel-parameters.txt, ``sysctl.*``).
    """
    words = ["root=/dev/vda", "rw", "console=ttyS0", "net.ifnames=0", "quiet", "nohibernate", "noresume"]
    if lab.accelerator == "tcg":
        words += ["mitigations=off", "highres=off", "nohz=off", "norandmaps", "init_on_alloc=0", "cryptomgr.notests"]
    if lab.network.vlans:
        words += ["sysctl.net.ipv6.conf.default.disable_ipv6=1"]
    return " ".join(words)
