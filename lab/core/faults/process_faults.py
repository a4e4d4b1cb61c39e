"""Faults of single processes: killed, or stopped so that they look alive."""

from __future__ import annotations

from lab.core.faults.fault import Fault, Script

_STOPPED = "the process is in state T in /proc"
_STOPPED_GONE = "no process of the cluster, of libvirt or of a guest is in state T"

#: comm(5) of the kernel holds 15 characters: the name of QEMU is cut.
_PIDS = {
    "corosync": "pidof -s corosync",
    "pacemakerd": "pidof -s pacemakerd",
    "pacemaker-controld": "pidof -s pacemaker-controld",
    "pacemaker-execd": "pidof -s pacemaker-execd",
    "pacemaker-fenced": "pidof -s pacemaker-fenced",
    "libvirtd": "pidof -s libvirtd",
    "qemu": "cat /run/libvirt/qemu/@GUEST@.pid",
}


def _stopping(program: str) -> Script:
    return Script(
        inject=f"pid=$({_PIDS[program]}) && kill -STOP $pid",
        proof=(
            f"pid=$({_PIDS[program]}) && state=$(sed 's/.*) //' /proc/$pid/stat | cut -d ' ' -f 1)\n"
            'echo "process $pid is in state $state"; test "$state" = T'
        ),
    )


def _killing(program: str) -> Script:
    return Script(
        inject=(
            f"pid=$({_PIDS[program]}) || exit 2\n"
            "echo $pid $(sed 's/.*) //' /proc/$pid/stat | cut -d ' ' -f 20) > /run/lab-fault-killed; kill -9 $pid"
        ),
        proof=(
            "read pid started < /run/lab-fault-killed || exit 1\n"
            "now=$(sed 's/.*) //' /proc/$pid/stat 2>/dev/null | cut -d ' ' -f 20)\n"
            'echo "process $pid is gone"; test "$now" != "$started"'
        ),
    )


def _killed(
    program: str,
    name: str,
    teaches: str,
    expected: str,
    *,
    fences: bool,
    quick: bool = False,
    undo: str = "what does not start again by itself is started, failures are cleaned up",
) -> Fault:
    return Fault(
        f"kill-{name}",
        "process",
        "guest" if program == "qemu" else "node",
        "shell",
        lasting=False,
        summary=f"SIGKILL to {'the QEMU of a guest' if program == 'qemu' else program} on the node.",
        teaches=teaches,
        expected=expected,
        undo=undo,
        proof="the process that was killed is no longer there",
        absence="the services of the node are active and nothing failed is noted",
        hold_s=15,
        down="target" if fences else "none",
        fences=fences,
        script=_killing(program),
        quick=quick,
    )


def _stopped(program: str, name: str, teaches: str, expected: str, *, fences: bool) -> Fault:
    return Fault(
        f"stop-{name}",
        "process",
        "guest" if program == "qemu" else "node",
        "shell",
        lasting=True,
        summary=f"SIGSTOP to {'the QEMU of a guest' if program == 'qemu' else program} on the node.",
        teaches=teaches,
        expected=expected,
        undo="SIGCONT",
        proof=_STOPPED,
        absence=_STOPPED_GONE,
        hold_s=30,
        down="target" if fences else "any",
        fences=fences,
        script=_stopping(program),
    )


_HANGING = Fault(
    "guest-hang",
    "process",
    "guest",
    "shell-in-guest",
    lasting=True,
    summary="The kernel of a guest panics and hangs; its QEMU runs on.",
    teaches="Who looks at a process only does not see that nobody is at home.",
    expected="The service is silent; libvirt calls the guest running, Pacemaker believes that, and nobody acts.",
    undo="a guest that runs and is silent on a healthy cluster is reset",
    proof="libvirt on the node calls the guest running, and it answers neither a ping nor, in a VLAN, its agent",
    absence="the guest's service answers a client",
    hold_s=10,
    script=Script(
        inject=(
            "test -w /proc/sysrq-trigger || exit 2\n"
            "echo 0 > /proc/sys/kernel/panic; echo 1 > /proc/sys/kernel/sysrq\n"
            "(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 < /dev/null &"
        ),
        proof=(
            "state=$(virsh domstate @GUEST@)\n"
            'for turn in 1 2 3 4 5 6; do @GUEST_QUESTION@ > /dev/null 2>&1 || { test "$state" = running && '
            '{ echo "libvirt: $state; no answer from inside"; exit 0; }; }; sleep 1; done; exit 1'
        ),
    ),
)

_WRITTEN_AGAIN = "the attribute daemon is told to write what it holds (attrd_updater -R)"

PROCESS_FAULTS = (
    _killed(
        "corosync",
        "corosync",
        "A node without membership is no member, however well it works.",
        "The node is fenced; its guests start on the other one.",
        fences=True,
    ),
    _stopped(
        "corosync",
        "corosync",
        "A process that exists is not a process that works.",
        "The token is lost, the node is fenced; its guests start on the other one.",
        fences=True,
    ),
    _killed(
        "pacemakerd",
        "pacemakerd",
        "The parent of Pacemaker's daemons can be replaced under them.",
        "Another one is started by systemd and adopts the daemons; nothing moves.",
        fences=False,
        quick=True,
    ),
    _stopped(
        "pacemakerd",
        "pacemakerd",
        "Its daemons work on without their parent; only who watches it notices.",
        "Nothing moves.",
        fences=False,
    ),
    _killed(
        "pacemaker-controld",
        "controld",
        "The controller speaks for its node: with it go the node's attributes, and with these DRBD's right to lead.",
        "Another one is started and the node joins again; its storage is demoted and its guests leave, until the "
        "attributes are written again, which Pacemaker 2.1.5 does not do by itself.",
        fences=False,
        undo=_WRITTEN_AGAIN,
    ),
    _stopped(
        "pacemaker-controld",
        "controld",
        "A node whose controller hears nothing is a member for Corosync and deaf for the cluster.",
        "Guests run on; what the cluster asks of the node is not done until the controller goes on or is replaced.",
        fences=False,
    ),
    _killed(
        "pacemaker-execd",
        "execd",
        "A controller that has lost the hands which run its agents gives up, too.",
        "Both are started anew, and the node joins again; then as after kill-controld.",
        fences=False,
        undo=_WRITTEN_AGAIN,
    ),
    _killed(
        "pacemaker-fenced",
        "fenced",
        "Fencing has a daemon of its own on every node, which can fail like any other.",
        "Pacemaker's parent starts another one, and the fence devices are registered again; nothing moves.",
        fences=False,
    ),
    _killed(
        "libvirtd",
        "libvirtd",
        "Guests live in processes of their own.",
        "Another one is started by systemd and finds the guests, which run on.",
        fences=False,
        quick=True,
    ),
    _stopped(
        "libvirtd",
        "libvirtd",
        "Who cannot ask about a guest must not take it for dead.",
        "Monitors run into their time-outs; the node that cannot stop its guests is fenced at last.",
        fences=False,
    ),
    _killed(
        "qemu",
        "guest",
        "A dead guest is noticed by the next monitor only.",
        "Pacemaker's next monitor notices it, and the guest is started again on the same node.",
        fences=False,
        quick=True,
    ),
    _stopped(
        "qemu",
        "guest",
        "The monitor asks libvirt about a process, not a client about the service.",
        "The guest is silent; libvirt still calls it running, and Pacemaker believes that.",
        fences=False,
    ),
    _HANGING,
)
