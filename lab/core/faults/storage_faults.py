"""Faults of storage: full, slow and broken disks."""

from __future__ import annotations

from lab.core.faults.fault import Amount, Fault, Script

#: Of the root file system.
ROOT_FOLDER = "/var/tmp"  # noqa: S108 (of a node, and the file is not secret)
#: Leaves this much free, so that the node can still be spoken to.
_LEFT_KIB = 2048


def _filling(folder: str) -> Script:
    return Script(
        inject=(
            f"free=$(df -k --output=avail {folder} | tail -1)\n"
            f"test $free -gt {_LEFT_KIB * 2} || exit 2\n"
            f"fallocate -l $((free - {_LEFT_KIB}))K {folder}/lab-fault-filler 2>/dev/null || true\n"
            "# Where the file system cannot give so much in one piece: piece by piece.\n"
            f"for piece in 1 2 3 4 5 6 7 8; do free=$(df -k --output=avail {folder} | tail -1)\n"
            f"test $free -gt {_LEFT_KIB * 4} || break\n"
            f"fallocate -l $((free / 2))K {folder}/lab-fault-filler.$piece || true; done; sync -f {folder}"
        ),
        proof=(
            f'free=$(df -k --output=avail {folder} | tail -1); echo "$free KiB left in {folder}"\n'
            f"ls {folder}/lab-fault-filler* > /dev/null && test $free -le {_LEFT_KIB * 16}"
        ),
    )


def _full(name: str, folder: str, teaches: str, expected: str) -> Fault:
    return Fault(
        name,
        "storage",
        "node",
        "shell",
        lasting=True,
        summary=f"{'The root file system' if folder == '/' else 'The shared OCFS2'} is filled up to a few MiB.",
        teaches=teaches,
        expected=expected,
        undo="the filler files are removed",
        proof="df shows next to nothing free, and the filler is there",
        absence="no file lab-fault-filler* is there",
        hold_s=10,
        script=_filling(ROOT_FOLDER if folder == "/" else folder),
        quick=True,
    )


STORAGE_FAULTS = (
    _full(
        "root-full",
        "/",
        "Logs, the CIB and libvirt's state need room to be written.",
        "What runs goes on; changes of the cluster's configuration may fail on this node.",
    ),
    _full(
        "shared-full",
        "@MOUNT@",
        "Guests' disks with holes need room when they are written.",
        "Guests go on; one whose disk needs to grow is paused by QEMU.",
    ),
    Fault(
        "slow-disk",
        "storage",
        "node",
        "throttle",
        lasting=True,
        summary="The disk under DRBD on the node is held to so many operations a second, by QEMU's block throttle.",
        teaches="With protocol C both nodes write as fast as the slower one.",
        expected="Nothing moves; writes of all guests get slower. Far below what heartbeats need, OCFS2 gives up.",
        undo="the throttle of the domain's disk is taken off",
        proof="reading past the cache takes as long as the throttle says",
        absence="libvirt knows of no throttle on any disk of the lab",
        hold_s=10,
        amount=Amount("operations/s", 40, 10, 10000),
        detail="vdb",
        quick=True,
    ),
    Fault(
        "disk-errors",
        "storage",
        "node",
        "shell",
        lasting=True,
        summary="Every read and write of the volume under DRBD on the node fails (device mapper, target error).",
        teaches="DRBD detaches a broken disk and serves the node from the other one's.",
        expected="DRBD goes diskless on the node, guests run on over the network; nobody is fenced.",
        undo="lvchange --refresh loads the volume's true table, DRBD attaches the disk and resynchronises",
        proof="the volume's table is of target error, and DRBD is diskless",
        absence="the volume's table is linear, and DRBD is up to date on both sides",
        hold_s=10,
        script=Script(
            inject=(
                "name=$(dmsetup info -c --noheadings -o name /dev/@GROUP@/@VOLUME@) || exit 2\n"
                "size=$(blockdev --getsz /dev/@GROUP@/@VOLUME@)\n"
                'dmsetup load "$name" --table "0 $size error" && dmsetup suspend --noflush "$name" '
                '&& dmsetup resume "$name"\n'
                "# Something has to be written for anybody to notice.\n"
                "date > @MOUNT@/lab-fault-touch; sync -f @MOUNT@; rm -f @MOUNT@/lab-fault-touch"
            ),
            proof=(
                "for turn in 1 2 3 4 5 6 7 8 9 10; do\n"
                "state=$(sed -n 's/^ *@MINOR@: .* ds:\\([A-Za-z]*\\).*/\\1/p' /proc/drbd)\n"
                "dmsetup table /dev/@GROUP@/@VOLUME@ | grep -q ' error' && test \"$state\" = Diskless && "
                "{ echo 'the table is of target error, DRBD is Diskless'; exit 0; }; sleep 1; done; exit 1"
            ),
        ),
    ),
    Fault(
        "split-brain",
        "storage",
        "lab",
        "shell-everywhere",
        lasting=True,
        summary="Each node writes alone to its side of DRBD while the other one does not see it.",
        teaches="What fencing is there to prevent: two truths. A person has to say which one is thrown away.",
        expected="DRBD notices when the nodes meet again, connects no more, and throws nothing away by itself.",
        undo="the side that wrote nothing is overwritten; where both wrote, the one that --discard names",
        proof="DRBD does not connect, and its kernel module says `Split-Brain detected`",
        absence="DRBD is connected and up to date on both sides",
        hold_s=5,
        detail="split",
        in_campaigns=False,
    ),
)
