"""Storage inside the nodes: LVM, DRBD and OCFS2, up to a shared mount that Pacemaker takes over as it finds it.

Names are the study's; the first synchronisation is skipped, because both disks are blank (drbdsetup(8),
``new-current-uuid --clear-bitmap``).
"""

from __future__ import annotations

from lab.core.model import Node
from lab.core.software import lab_software
from lab.doors.clock import Deadline, wait_until
from lab.workflows.session import Session
from lab.workflows.steps import Step, carry_out

DISK = "/dev/disk/by-id/virtio-drbd"
#: Every node's journal is written in full, through DRBD; mkfs.ocfs2(8) would take 256 MiB each for this use.
JOURNAL_MIB = 32
#: OCFS2 hands out space in clusters. Where one is larger than a block, the kernel loses direct writes of a guest's QEMU
#: beside a flush (6.1; tests/lab/direct_writes.py tells how and shows it).
CLUSTER_KIB = 4
#: Prints the numbers of the nodes whose lock managers know each other, on one line.
LOCK_MANAGERS = "sed -n 's/^Domain Map: //p' /sys/kernel/debug/o2dlm/*/dlm_state"


def block_steps(session: Session) -> list[Step]:
    """Steps of one node from the blank disk to a DRBD device that is up."""
    storage = session.lab.storage
    group, volume, resource = storage.volume_group, storage.logical_volume, storage.resource
    return [
        Step(
            "LVM group and volume",
            f"lvs {group}/{volume} && test -b /dev/{group}/{volume}",
            f"modprobe dm_mod; test -e {DISK}; vgs {group} || {{ pvcreate -qq {DISK}; vgcreate -qq {group} {DISK}; }}\n"
            f"vgchange -qq -ay {group}; lvs {group}/{volume} || lvcreate -qq -y -W n -l 100%FREE -n {volume} {group}",
        ),
        Step(
            "DRBD metadata",
            f"test -e /proc/drbd && grep -q '^ *{storage.minor}: cs:[^U]' /proc/drbd || drbdadm dump-md {resource}",
            f"modprobe drbd; drbdadm create-md --force {resource}",
        ),
        Step(
            "DRBD device",
            f"grep -q '^ *{storage.minor}: cs:[^U]' /proc/drbd",
            # drbdadm gives each of its commands five seconds, which is not for a busy emulated node to choose; what has
            # been done until then stays, and adjust does the rest.
            f"modprobe drbd; drbdadm up {resource} || drbdadm adjust {resource} || drbdadm adjust {resource}",
        ),
        Step(
            "OCFS2 cluster",
            f"test -d /sys/kernel/config/cluster/{storage.ocfs2_cluster}/node/{session.lab.nodes[-1].name}",
            lab_software(session.lab).init.restart.format(name="o2cb"),
        ),
    ]


def prepare_block_devices(session: Session, node: Node) -> list[str]:
    """LVM, DRBD and O2CB on one node; returns what was changed."""
    with session.reporter.step("LVM, DRBD, O2CB", node=node.name):
        return carry_out(session, session.shell(node), block_steps(session))


def _wait_state(session: Session, node: Node, pattern: str, what: str) -> None:
    def reached() -> bool:
        result = session.shell(node).asked(f"grep -Eq '{pattern}' /proc/drbd")
        return result is not None and result.ok

    wait_until(
        reached,
        what=what,
        deadline=Deadline.after(40 * session.lab.time_scale),
        interval_s=0.5,
        remedy=f"./inv lab.ssh {node.name} and look at `cat /proc/drbd` and `dmesg`",
        details=lambda: _kernel_words(session, node),
    )


def _kernel_words(session: Session, node: Node) -> list[str]:
    result = session.shell(node).asked("cat /proc/drbd; dmesg | grep -i drbd | tail")
    return ["the node does not answer"] if result is None else result.stdout.splitlines()


def prepare_file_system(session: Session) -> None:
    """Both disks declared equal, the first node primary, OCFS2 made and mounted there; each only where missing.

    Raises:
        LabError: the devices do not connect, or a step fails.
    """
    lab, storage = session.lab, session.lab.storage
    first = lab.nodes[0]
    with session.reporter.step("DRBD connected"):
        _wait_state(session, first, "cs:(Connected|SyncSource|SyncTarget)", "DRBD to connect")
    with session.reporter.step("OCFS2"):
        device = f"/dev/drbd{storage.minor}"
        carry_out(
            session,
            session.shell(first),
            [
                Step(
                    "skip the first synchronisation",
                    f"! grep -q '^ *{storage.minor}: .*ds:Inconsistent/Inconsistent' /proc/drbd",
                    f"drbdadm new-current-uuid --clear-bitmap {storage.resource}/0",
                ),
                _primary_step(session),
                Step(
                    "make the file system",
                    f'test "$(blkid -p -o value -s TYPE {device})" = ocfs2',
                    f"mkfs.ocfs2 -q -x --cluster-stack=o2cb --cluster-name={storage.ocfs2_cluster} "
                    f"-N {len(lab.nodes)} -b 4K -C {CLUSTER_KIB}K -J size={JOURNAL_MIB}M -L {storage.pool} {device}",
                    timeout_s=60,
                ),
                _mount_step(session),
            ],
        )


def mount_too(session: Session, node: Node) -> None:
    """Make another node primary and mount the file system there as well."""
    with session.reporter.step("DRBD primary, OCFS2", node=node.name):
        carry_out(session, session.shell(node), [_primary_step(session), _mount_step(session), _shared_step(session)])


def _primary_step(session: Session) -> Step:
    storage = session.lab.storage
    return Step(
        "DRBD primary",
        f"grep -Eq '^ *{storage.minor}: .*ro:Primary/' /proc/drbd",
        f"drbdadm primary {storage.resource}",
    )


def _mount_step(session: Session) -> Step:
    device = f"/dev/drbd/by-res/{session.lab.storage.resource}"
    mount_point = session.lab.storage.mount_point
    block_device = f"/sys/class/block/drbd{session.lab.storage.minor}"
    return Step(
        "OCFS2 mount",
        f"findmnt -n -t ocfs2 {mount_point}",
        f"mkdir -p {mount_point}\n"
        f"test -e {device} || udevadm trigger --settle --action=change {block_device}\n"
        f"mount -t ocfs2 -o noatime {device} {mount_point}",
        timeout_s=60,
        remedy="Look at `dmesg` on both nodes: O2CB must reach the other node on the service network",
    )


def _shared_step(session: Session) -> Step:
    """Nodes whose lock managers do not know each other have the file system to themselves, and damage it."""
    return Step(
        "OCFS2 shared",
        f'test "$({LOCK_MANAGERS} | wc -w)" = {len(session.lab.nodes)}',
        # What is in use stays mounted; the message is the same.
        f"umount {session.lab.storage.mount_point} || true\n"
        "echo 'it was mounted without asking the other node for locks' >&2; exit 1",
        remedy="What the nodes have written since may be damaged: ./inv lab.down, then ./inv lab.up",
    )
