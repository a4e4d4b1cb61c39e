"""Faults of what keeps the cluster together: clocks, keys, configuration, and the way to fence."""

from __future__ import annotations

from lab.core.faults.fault import Amount, Fault, Script
from lab.core.faults.traces import CLOCK_TOLERANCE_S, tick_set

#: The raw clock is the only one that adjtimex leaves alone.
_GAINED = """clocks() { python3 -c 'import time; print(time.time(), time.clock_gettime(time.CLOCK_MONOTONIC_RAW))'; }
set -- $(clocks) $(sleep 4; clocks)
echo "$@" | awk '{ gained = 1000 * (($3 - $1) / ($4 - $2) - 1)
printf "the clock gains %.1f ms in each second\\n", gained
exit gained < @AMOUNT@ / 2 }'"""

CLUSTER_FAULTS = (
    Fault(
        "clock-step",
        "cluster",
        "node",
        "shell",
        lasting=True,
        summary="The node's clock jumps forward, and nothing corrects it (chrony is stopped).",
        teaches="Time-outs must not depend on what the clock on the wall says; logs and databases do.",
        expected="Nothing moves and nobody is fenced.",
        undo="the clock is set by that of the host, and chrony is started",
        proof="the node's clock is away from the host's by so much",
        absence=f"the clocks of nodes and host differ by less than {CLOCK_TOLERANCE_S} s",
        hold_s=10,
        script=Script(
            inject='systemctl stop chrony; date -s "@$(($(date +%s) + @AMOUNT@))" > /dev/null',
            proof=(
                'away=$(($(date +%s) - @NOW@)); echo "the clock is $away s ahead of the host\'s"\n'
                "test $away -ge $((@AMOUNT@ - 5))"
            ),
        ),
        amount=Amount("s", 3600, 10, 86400),
        quick=True,
    ),
    Fault(
        "clock-drift",
        "cluster",
        "node",
        "shell",
        lasting=True,
        summary="The node's clock runs too fast, and nothing corrects it (chrony is stopped).",
        teaches="A clock that runs fast makes every time-out of its node shorter, and no other clock shows it at once.",
        expected="Nothing moves and nobody is fenced, as long as what is lost of a time-out is less than its slack.",
        undo="the kernel's tick is set to 10 000 microseconds, the clock by that of the host, and chrony is started",
        proof="within four seconds the clock gains at least half of the amount on the raw clock of the hardware",
        absence=f"the kernel's tick is 10 000 microseconds, and clocks differ by less than {CLOCK_TOLERANCE_S} s",
        hold_s=20,
        script=Script(
            inject=f"systemctl stop chrony; {tick_set('10000 + 10 * @AMOUNT@')}",
            proof=_GAINED,
        ),
        amount=Amount("ms in each second", 50, 5, 100),
        quick=True,
    ),
    Fault(
        "fence-daemon-gone",
        "cluster",
        "lab",
        "fence-daemon",
        lasting=True,
        summary="The fencing daemon on the host is ended: nobody can be switched off.",
        teaches="Fencing that is not tried is not there. Its monitors notice before it is needed.",
        expected="The monitors of the fence devices fail; services run on.",
        undo="the daemon is started with the lab's own configuration",
        proof="no daemon of this lab runs, and nothing answers at its address",
        absence="the daemon runs with the lab's own configuration and answers",
        hold_s=10,
        detail="gone",
        quick=True,
    ),
    Fault(
        "fence-daemon-refuses",
        "cluster",
        "node",
        "fence-daemon",
        lasting=True,
        summary="The fencing daemon runs with a configuration that gives the node no permission.",
        teaches="A device that answers is not a device that obeys.",
        expected="What the node asks of it fails; when the other node is lost, nothing may start.",
        undo="the daemon is replaced by one with the lab's own configuration",
        proof="the node's own `fence_virt -o list` shows no domain",
        absence="the daemon runs with the lab's own configuration and answers",
        hold_s=10,
        detail="refuses",
        quick=True,
    ),
    Fault(
        "wrong-authkey",
        "cluster",
        "node",
        "shell",
        lasting=True,
        summary="Corosync on the node is restarted with another authkey.",
        teaches="A node that cannot prove who it is does not belong.",
        expected="The node leaves in order, its guests move away; it does not come back until it has the right key.",
        undo="the lab's authkey is written and Corosync and Pacemaker are started again",
        proof="the key's sum differs from the lab's, Corosync runs, and the other node is no member for it",
        absence="the key's sum is the lab's on both nodes",
        hold_s=20,
        down="any",
        script=Script(
            inject=(
                "systemctl stop pacemaker corosync && umask 077 && "
                "head -c 256 /dev/urandom > /etc/corosync/authkey && systemctl start corosync"
            ),
            proof=(
                "sum=$(sha256sum < /etc/corosync/authkey | cut -c 1-64); test $sum != @AUTHKEY_SUM@ || exit 1\n"
                "for turn in 1 2 3 4 5 6 7 8 9 10; do\n"
                "members=$(corosync-quorumtool -l 2>/dev/null | grep -c '^ *[0-9]')\n"
                'test "$members" = 1 && { echo "another key, alone in its membership"; exit 0; }; sleep 1; done; exit 1'
            ),
        ),
    ),
    Fault(
        "corrupt-cib",
        "cluster",
        "node",
        "shell",
        lasting=False,
        summary="Pacemaker is stopped on the node, its stored configuration is damaged, and it is started again.",
        teaches="The configuration is checked by its digest and taken from the others.",
        expected="The node discards what it has, takes the cluster's configuration and its guests back.",
        undo="nothing is left; the damaged file is kept beside the new one by Pacemaker",
        proof="pacemaker-based says that the stored configuration was not valid",
        absence="both nodes are online and every resource is in its place",
        hold_s=10,
        script=Script(
            inject=(
                "cib=/var/lib/pacemaker/cib/cib.xml; test -s $cib || exit 2\n"
                "systemctl stop pacemaker && date +%s > /run/lab-fault-cib && "
                "sed -i 's/crm_feature_set/crm_feature_sit/' $cib && systemctl start pacemaker"
            ),
            proof=(
                "for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do\n"
                "journalctl -q --no-pager -o cat -t pacemaker-based --since=@$(cat /run/lab-fault-cib) | "
                "grep -m 1 -iE 'digest|not valid|invalid|unusable|empty config' && exit 0; sleep 1; done; exit 1"
            ),
        ),
    ),
)
