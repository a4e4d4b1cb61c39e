"""What faults leave on a node, found by looking at the node and not by remembering, and how each is undone.

One script looks for all of them at once; a trace that prints nothing is not there. The order is that of undoing: first
what goes on making trouble, then links and packets, then processes and files, then what needs all of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MARK = "==== "
#: Name of a trace that is confirmed and undone in its own way: the look may be late by seconds, and so might a setting.
CLOCK = "clock"
#: Clocks that differ by less are taken for the same.
CLOCK_TOLERANCE_S = 8
#: So many turns of a fifth of a second are waited for a look that hangs.
LOOK_TURNS = 200


@dataclass(frozen=True)
class Trace:
    """Something that a fault leaves on a node.

    Args:
        name: of the trace.
        what: it, in words for a person.
        look: shell that prints a line for each that is there, and nothing otherwise.
        undo: shell that removes all of them, whatever their number; empty for the clock.
        needs_key: whether the undoing script reads the lab's authkey from its standard input.
    """

    name: str
    what: str
    look: str
    undo: str
    needs_key: bool = False


@dataclass(frozen=True)
class Remain:
    """A trace that was found.

    Args:
        trace: which one.
        node: where.
        detail: the node's words.
    """

    trace: Trace
    node: str
    detail: str

    def __str__(self) -> str:
        return f"{self.node}: {self.trace.what}: {self.detail}"


#: Interfaces of the service side, and never the one of management.
_LEGS = "$(cat /sys/class/net/bond0/bonding/slaves)"
_QDISCS = 'tc qdisc show | awk \'($2 == "netem" || $2 == "tbf") && $5 != "eth2" {print $2, $5}\''
_STOPPED = (
    "for file in /proc/[0-9]*/stat; do read -r words < $file || continue; name=${words#*(}; name=${name%)*}\n"
    "state=${words##*) }; case $name in corosync|pacemaker*|libvirtd|qemu-system*) case $state in T*) "
    "pid=${file#/proc/}; echo ${pid%/stat} $name;; esac;; esac; done"
)
#: While a guest arrives by live migration libvirt calls it paused as well.
_PAUSED = (
    "for guest in $(virsh list --state-paused --name); do reason=$(virsh domstate --reason $guest)\n"
    'case $reason in *migrat*|*"starting up"*) ;; *) echo $guest $reason;; esac; done'
)
#: adjtimex(2), without and with ADJ_TICK: how many microseconds each of the kernel's hundred ticks of a second is
#: worth, 10 000 when it tells the truth. The structure's field is at byte 88 on 64-bit machines. As long as chrony runs
#: the tick is its own: it slews by up to 8 in 100.
_TICK = "import ctypes, struct; timex = ctypes.create_string_buffer(208); adjtimex = ctypes.CDLL(None).adjtimex"
_TICK_SHOWN = f"""systemctl -q is-active chrony || python3 -c '{_TICK}
adjtimex(timex); tick = struct.unpack_from("q", timex, 88)[0]
abs(tick - 10000) < 20 or print("a tick of", tick, "microseconds")'"""


def tick_set(microseconds: str) -> str:
    """Shell that sets the kernel's tick; ``microseconds`` is an expression of Python."""
    return f"""python3 -c '{_TICK}
struct.pack_into("I", timex, 0, 0x4000); struct.pack_into("q", timex, 88, {microseconds})
raise SystemExit(adjtimex(timex) < 0)'"""


_FILLERS = "ls -d /var/tmp/lab-fault-filler* @MOUNT@/lab-fault-filler*"
#: When a node's controller is lost, its peer takes the node's attributes out of the configuration; the attribute daemon
#: of Pacemaker 2.1.5 goes on holding them and writes only what changes, so DRBD is never promoted there again.
#: A score that it holds as empty was taken away by DRBD's agent itself, when it stopped.
_LOST_SCORE = (
    "held=$(attrd_updater -Q -n master-DRBD -N $(uname -n) | grep -v 'value=\"\"') && "
    "! cibadmin -Q --xpath \"//node_state[@uname='$(uname -n)']//nvpair[@name='master-DRBD']\" > /dev/null && "
    "echo $held"
)
_SERVICES = (
    "for unit in chrony libvirtd.socket corosync pacemaker; do state=$(systemctl is-active $unit)\n"
    'case $state in active|activating|reloading) ;; *) echo "$unit $state";; esac; done'
)

TRACES = (
    Trace(
        "unit",
        "a unit that makes a fault again and again",
        "systemctl list-units --plain --no-legend --all 'lab-fault-*' | awk '{print $1, $3}'",
        "systemctl stop 'lab-fault-*'; systemctl reset-failed 'lab-fault-*' 2>/dev/null\n"
        f"for leg in {_LEGS}; do ip link set $leg up; done",
    ),
    Trace(
        "leg",
        "a leg of the bond is set down",
        f"for leg in {_LEGS}; do test $(($(cat /sys/class/net/$leg/flags) & 1)) = 1 || echo $leg; done",
        f"for leg in {_LEGS}; do ip link set $leg up; done",
    ),
    Trace(
        "filter",
        "packets are dropped by the chain LABFAULT",
        "iptables -w -S | grep -c LABFAULT | grep -v '^0$' | sed 's/$/ rules/'",
        "for chain in INPUT OUTPUT; do while iptables -w -D $chain -j LABFAULT 2>/dev/null; do :; done; done\n"
        "iptables -w -F LABFAULT; iptables -w -X LABFAULT",
    ),
    Trace(
        "shaping",
        "a queueing discipline disturbs packets",
        _QDISCS,
        f"{_QDISCS} | while read kind interface; do tc qdisc del dev $interface root; done",
    ),
    Trace(
        "stopped process",
        "a process stands still",
        _STOPPED,
        f"({_STOPPED}) | while read pid name; do kill -CONT $pid; done",
    ),
    Trace("filler", "a file that fills a disk", _FILLERS, f"rm -f $({_FILLERS} 2>/dev/null)"),
    Trace(
        "broken volume",
        "the volume under DRBD does not reach its disk",
        "dmsetup table /dev/@GROUP@/@VOLUME@ | grep -v ' linear '",
        "lvchange --refresh @GROUP@/@VOLUME@",
    ),
    Trace(
        "diskless",
        "DRBD works without its disk",
        "sed -n 's/^ *\\(@MINOR@: .* ds:Diskless.*\\)/\\1/p' /proc/drbd",
        "drbdadm attach @RESOURCE@",
    ),
    Trace("tick", "the clock is told to run fast or slow", _TICK_SHOWN, tick_set("10000")),
    Trace(
        CLOCK,
        "the clock is not that of the host",
        f'away=$(($(date +%s) - @NOW@)); test ${{away#-}} -lt {CLOCK_TOLERANCE_S} || echo "$away s"',
        "",
    ),
    Trace(
        "authkey",
        "the authkey is not the lab's",
        'test "$(sha256sum < /etc/corosync/authkey | cut -c 1-64)" = @AUTHKEY_SUM@ || echo another one',
        "umask 077; cat > /etc/corosync/authkey.new && mv /etc/corosync/authkey.new /etc/corosync/authkey && "
        "chmod 0400 /etc/corosync/authkey && systemctl stop pacemaker corosync; systemctl start corosync pacemaker",
        needs_key=True,
    ),
    Trace(
        "service",
        "a service of the node is not active",
        _SERVICES,
        "systemctl reset-failed corosync pacemaker libvirtd chrony 2>/dev/null\n"
        "systemctl start chrony libvirtd.socket corosync pacemaker",
    ),
    Trace(
        "stopped cluster",
        "the cluster is told to run nothing",
        "crm_attribute -t crm_config -n stop-all-resources -G -q -d false | grep -x true",
        "crm_attribute -t crm_config -n stop-all-resources -v false",
    ),
    Trace(
        "lost score",
        "DRBD's score for promotion is held by the attribute daemon and not in the configuration",
        _LOST_SCORE,
        "attrd_updater -R",
    ),
    Trace(
        "standby",
        "the node is in standby",
        "crm_standby -N $(uname -n) -G -q -d off | grep -x on",
        "crm_standby -N $(uname -n) -D",
    ),
    Trace(
        "paused guest",
        "a guest stands still",
        _PAUSED,
        f"({_PAUSED}) | while read guest reason; do virsh -q resume $guest; done",
    ),
)


def look_script(traces: Sequence[Trace] = TRACES, turns: int = LOOK_TURNS) -> str:
    """One script that looks for every trace; its words have to be filled in.

    All looks run side by side, and one that hangs is left behind with nothing to tell: a stopped libvirtd answers no
    virsh, and a file system without its disk no ls. Whatever can be seen is seen all the same.

    Args:
        traces: which ones.
        turns: how many fifths of a second a look may take.
    """
    started = [f"( {trace.look}\n) > $folder/{place} 2> /dev/null < /dev/null &" for place, trace in enumerate(traces)]
    shown = [f"echo '{MARK}{trace.name}'; cat $folder/{place}" for place, trace in enumerate(traces)]
    waited = f'for turn in $(seq {turns}); do test -n "$(jobs -r)" || break; sleep 0.2; done'
    return "\n".join(["folder=$(mktemp -d)", *started, waited, *shown, "rm -r $folder"])


def remains_of(text: str, node: str) -> tuple[Remain, ...]:
    """What the output of :func:`look_script` tells, in the order of undoing.

    Args:
        text: the output.
        node: where it is from.
    """
    by_name = {trace.name: trace for trace in TRACES}
    found: list[Remain] = []
    trace: Trace | None = None
    for line in text.splitlines():
        if line.startswith(MARK):
            trace = by_name.get(line.removeprefix(MARK))
        elif trace is not None and line.strip():
            found.append(Remain(trace, node, line.strip()))
    order = {name: place for place, name in enumerate(by_name)}
    return tuple(sorted(found, key=lambda remain: order[remain.trace.name]))
