"""The guests' disks and definitions inside the nodes: copied from the guest store to OCFS2, one by one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from lab.core import addressing
from lab.core.model import Guest, Node
from lab.doors.ssh import Shell
from lab.workflows.session import Session
from lab.workflows.steps import Step, carry_out

STORE = "/dev/disk/by-id/virtio-gueststore"
#: Larger than what OCFS2 keeps beside the inode, where nothing can be written past the page cache.
HEARTBEAT_BYTES = 64 * 1024


def _extract(member: str, target: str) -> str:
    quoted = shlex.quote(target)
    return (
        f"tar -xOf {STORE} --occurrence=1 {member} > {quoted}.new && test -s {quoted}.new && mv {quoted}.new {quoted}"
    )


def kernel_steps(session: Session) -> list[Step]:
    """Kernel and initrd of every suite that the guests are of."""
    mount_point = session.lab.storage.mount_point
    steps = []
    for suite in sorted({guest.image.suite for guest in session.lab.guests}):
        for part in ("vmlinuz", "initrd"):
            name = f"guest-{suite}-{part}"
            steps.append(Step(name, f"test -s {mount_point}/{name}", _extract(name, f"{mount_point}/{name}")))
    return steps


def disk_steps(session: Session, guest: Guest) -> list[Step]:
    """The disk of one guest, at the size that the topology says, written through, and that of its heartbeat.

    QEMU grows a qcow2 file by unwritten extents, and OCFS2 turns an extent into a written one in its journal after a
    direct write. A flush does not wait for that (6.1, fs/ocfs2/aops.c: ocfs2_dio_end_io_write leaves the transactions
    that ocfs2_sync_file looks for as they were), so a node that loses its power takes up to five seconds of what its
    guests have been promised with it. With the attribute S each write is over when the journal is committed.
    """
    target = f"{session.lab.storage.mount_point}/{guest.domain}.qcow2"
    change = _extract(f"{guest.image.recipe}.qcow2", target).replace(
        " && mv ", f" && qemu-img resize -q {target}.new {guest.disk_mib}M && mv "
    )
    heartbeat = shlex.quote(addressing.heartbeat_path(session.lab, guest))
    return [
        Step(f"disk of {guest.name}", f"test -s {target}", change, timeout_s=120),
        Step(f"writes through of {guest.name}", f"lsattr {target} | cut -d' ' -f1 | grep -q S", f"chattr +S {target}"),
        # An empty line and zeros: a guest reads its first line.
        Step(
            f"heartbeat of {guest.name}",
            f"test -s {heartbeat}",
            f"{{ echo; head -c {HEARTBEAT_BYTES - 1} /dev/zero; }} > {heartbeat}.new && mv {heartbeat}.new {heartbeat}",
        ),
    ]


def copy_guests(session: Session, tree: dict[str, bytes]) -> None:
    """Kernels, disks and personal files of all guests to the shared file system; what is there stays.

    Personal files are read anew at every start of a guest, so they are always written.
    """
    node = session.lab.nodes[0]
    shell = session.shell(node)
    with session.reporter.step("copy the guests to OCFS2"):
        carry_out(session, shell, kernel_steps(session))
        for guest in session.lab.guests:
            with session.reporter.step(guest.name):
                carry_out(session, shell, disk_steps(session, guest))
                put_seed(session, shell, guest.domain, tree)
        shell.succeed("sync -f %s", session.lab.storage.mount_point, timeout_s=120 * session.lab.time_scale)


def put_seed(session: Session, shell: Shell, domain: str, tree: Mapping[str, bytes]) -> None:
    """The personal files of one guest to the shared file system; a guest that runs keeps the older file open."""
    target = f"{session.lab.storage.mount_point}/{domain}-seed.tar"
    shell.put(tree[f"guests/{domain}/seed.tar"], target, "0600")


def start_pool(session: Session, node: Node) -> None:
    """Make libvirt on a node know the pool of the guests' disks.

    The guests themselves need no such step: Pacemaker's agent creates each from its file, and would first take back
    whatever libvirt was told before (VirtualDomain, ``verify_undefined``).
    """
    pool = session.lab.storage.pool
    with session.reporter.step("libvirt's pool", node=node.name):
        carry_out(
            session,
            session.shell(node),
            [
                Step(
                    "start the pool",
                    f"virsh -q pool-info {pool} | grep -q 'State: *running'",
                    f"virsh -q pool-info {pool} >/dev/null 2>&1 || "
                    f"virsh -q pool-define /etc/libvirt/storage/{pool}.xml\n"
                    f"virsh -q pool-start {pool}",
                    timeout_s=60,
                ),
            ],
        )
