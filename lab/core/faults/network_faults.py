"""Faults of the network that serves: legs, partitions, and what packets suffer. Management is never touched."""

from __future__ import annotations

from lab.core.faults.fault import Amount, Fault, Script

_CHAIN_GONE = "no chain LABFAULT is in the node's packet filter"
_CHAIN_UNDO = "the chain LABFAULT is removed from the node's packet filter"
_QDISC_GONE = "no queueing discipline netem or tbf is on the node's bond"
_QDISC_UNDO = "the queueing discipline is removed from the node's bond"
_COUNTED = "the rules' own packet counters have risen"

#: A chain of our own, hooked before everything else; -w waits for others who work on the filter.
_CHAIN = "set -e; iptables -w -N LABFAULT; iptables -w -I INPUT -j LABFAULT; iptables -w -I OUTPUT -j LABFAULT\n"
_COUNT = (
    # Soon enough for the node not to be fenced before it could tell.
    "for turn in 1 2 3 4 5 6 7 8 9 10; do\n"
    "counted=$(iptables -w -nvxL LABFAULT | awk '$3 == \"DROP\" {sum += $1} END {print sum + 0}')\n"
    'test "$counted" -gt 0 && { echo "$counted packets dropped by the chain LABFAULT"; exit 0; }\n'
    "sleep 0.2; done; exit 1"
)
_PROBE = "ping -q -c 40 -i 0.05 -W 2 -w 20 @PEER@"


def _filtered(*rules: str) -> Script:
    return Script(_CHAIN + "\n".join(f"iptables -w -A LABFAULT {rule} -j DROP" for rule in rules), _COUNT)


def _shaped(discipline: str, proof: str) -> Script:
    needed = "modprobe sch_@KIND@ 2>/dev/null || exit 2\n".replace("@KIND@", discipline.split(maxsplit=1)[0])
    return Script(f"{needed}tc qdisc replace dev bond0 root {discipline}", proof)


def _disturbed(  # noqa: PLR0917 (a row of the catalogue)
    name: str, summary: str, teaches: str, script: Script, proof: str, amount: Amount
) -> Fault:
    return Fault(
        name,
        "network",
        "node",
        "shell",
        lasting=True,
        summary=summary,
        teaches=teaches,
        expected="Nothing moves and nobody is fenced; clients notice no more than the disturbance itself.",
        undo=_QDISC_UNDO,
        proof=proof,
        absence=_QDISC_GONE,
        hold_s=10,
        script=script,
        amount=amount,
        quick=True,
    )


def _parted(name: str, summary: str, teaches: str, expected: str, script: Script, *, fences: bool) -> Fault:
    return Fault(
        name,
        "network",
        "node",
        "shell",
        lasting=True,
        summary=summary,
        teaches=teaches,
        expected=expected,
        undo=_CHAIN_UNDO + "; a fenced node has lost it with its boot",
        proof=_COUNTED,
        absence=_CHAIN_GONE,
        hold_s=40,
        down="one" if fences else "any",
        fences=fences,
        script=script,
    )


NETWORK_FAULTS = (
    Fault(
        "leg-down",
        "network",
        "node",
        "links",
        lasting=True,
        summary="One cable of the node's bond is pulled; the active one.",
        teaches="What the bond is for.",
        expected="The bond goes on with the other leg within the time of miimon; clients lose next to nothing.",
        undo="the link of the domain's interface is set up again, for now and for the next start",
        proof="/proc/net/bonding/bond0 on the node shows one leg without a link and the other one active",
        absence="every interface has its link in libvirt's eyes, and both legs are up in the bond",
        hold_s=10,
        away_s=10,
        detail="one",
        quick=True,
    ),
    Fault(
        "legs-down",
        "network",
        "node",
        "links",
        lasting=True,
        summary="Both cables of the node's bond are pulled; they stay out when the node is fenced. Management stays.",
        teaches="Split brain: both nodes live, and each believes the other one dead. Fencing has a way of its own.",
        expected="Exactly one node is fenced. The one whose guests nobody can reach may win the duel, by its delay.",
        undo="the links of the domain's interfaces are set up again, for now and for the next start",
        proof="/proc/net/bonding/bond0 on the node shows no leg with a link",
        absence="every interface has its link in libvirt's eyes, and both legs are up in the bond",
        hold_s=40,
        down="any",
        fences=True,
        detail="both",
    ),
    Fault(
        "leg-flapping",
        "network",
        "node",
        "shell",
        lasting=True,
        summary="The active leg of the node's bond loses its link and gets it back, again and again.",
        teaches="A bad plug is worse than a pulled one.",
        expected="The bond changes over each time; no node is fenced.",
        undo="the unit lab-fault-flapping is stopped and the leg set up",
        proof="the bond's own counter of link failures rises",
        absence="no unit lab-fault-* runs on the node, and both legs are up in the bond",
        hold_s=10,
        script=Script(
            inject=(
                'leg=$(cat /sys/class/net/bond0/bonding/active_slave); test -n "$leg" || exit 2\n'
                "systemd-run --quiet --unit=lab-fault-flapping /bin/sh -c "
                '"while :; do ip link set $leg down; sleep 1; ip link set $leg up; sleep @AMOUNT@; done"'
            ),
            proof=(
                "failures() { awk '/Link Failure Count/ {sum += $4} END {print sum + 0}' /proc/net/bonding/bond0; }\n"
                "before=$(failures); for turn in 1 2 3 4 5 6 7 8 9 10; do sleep 1; after=$(failures)\n"
                'test "$after" -gt "$before" && { echo "link failures of the bond: $before, then $after"; exit 0; }\n'
                "done; exit 1"
            ),
        ),
        amount=Amount("s up between two failures", 2, 1, 60),
    ),
    _parted(
        "drbd-link-down",
        "DRBD's connection is cut on the node; Corosync still hears both.",
        "Two primaries that cannot replicate must stop writing until one of them is fenced.",
        "DRBD freezes writing, has the peer fenced, and goes on alone; exactly one node goes down.",
        _filtered("-p tcp --dport @DRBD_PORT@", "-p tcp --sport @DRBD_PORT@"),
        fences=True,
    ),
    _parted(
        "corosync-link-down",
        "Corosync's packets are dropped on the node in both directions; DRBD and OCFS2 still see both.",
        "Membership alone decides who is alive, not storage that still works.",
        "Exactly one node is fenced, and its guests start on the other one.",
        _filtered("-p udp --dport 5405", "-p udp --sport 5405"),
        fences=True,
    ),
    _parted(
        "partition",
        "Everything between the two nodes is dropped on the node, in both directions; clients still reach both.",
        "The classical split brain: to the outside both nodes look well.",
        "Exactly one node is fenced, and its guests start on the other one.",
        _filtered("-s @PEER@", "-d @PEER@"),
        fences=True,
    ),
    _parted(
        "deaf",
        "The node hears nothing from the other one, but is heard: an asymmetric partition.",
        "Half a connection is none: who is heard but does not hear breaks every round of Corosync's token.",
        "Exactly one node is fenced, and its guests start on the other one.",
        _filtered("-s @PEER@"),
        fences=True,
    ),
    _disturbed(
        "packet-loss",
        "A share of what the node sends on its bond is lost.",
        "Corosync and DRBD repeat what was lost; the token survives a good deal.",
        _shaped(
            "netem loss @AMOUNT@%",
            _PROBE + " > /dev/null; lost=$(tc -s qdisc show dev bond0 | sed -n 's/.*(dropped \\([0-9]*\\),.*/\\1/p' "
            "| head -1)\n"
            'echo "$lost packets dropped by netem on bond0"; test "${lost:-0}" -gt 0',
        ),
        "netem's counter of dropped packets on the bond has risen",
        Amount("% of packets", 15, 1, 60),
    ),
    _disturbed(
        "delay",
        "What the node sends on its bond comes later.",
        "A long way between the nodes costs every write twice, but breaks nothing.",
        _shaped(
            "netem delay @AMOUNT@ms",
            "way=$(ping -q -c 5 -i 0.2 -W 5 -w 20 @PEER@ | sed -n 's|^rtt .* = \\([0-9.]*\\)/.*|\\1|p')\n"
            'echo "shortest way to the other node and back: $way ms"; awk "BEGIN {exit !($way >= @AMOUNT@)}"',
        ),
        "a packet to the other node and back takes at least as long",
        Amount("ms", 100, 1, 500),
    ),
    _disturbed(
        "duplication",
        "A share of what the node sends on its bond arrives twice.",
        "Protocols must not do a thing twice because they were told twice.",
        _shaped(
            "netem duplicate @AMOUNT@%",
            _PROBE + " | grep -E 'duplicates'",
        ),
        "ping to the other node reports duplicates",
        Amount("% of packets", 30, 1, 100),
    ),
    _disturbed(
        "reordering",
        "A share of what the node sends on its bond overtakes what was sent before.",
        "Order on the wire is no promise.",
        _shaped(
            "netem delay 40ms reorder @AMOUNT@% 50%",
            "ping -c 40 -i 0.01 -W 2 -w 20 @PEER@ | sed -n 's/.*icmp_seq=\\([0-9]*\\) .*/\\1/p' | awk '$1 < last "
            '{count++} {last = $1} END {print count + 0 " packets of 40 came after later ones"; exit !count}\'',
        ),
        "answers of the other node arrive in another order than they were asked for",
        Amount("% of packets", 30, 1, 90),
    ),
    _disturbed(
        "low-rate",
        "The node's bond sends no faster than a slow line.",
        "Replication, migration and clients share one line.",
        _shaped(
            "tbf rate @AMOUNT@kbit burst 16kb latency 400ms",
            "now() { cut -d ' ' -f 1 /proc/uptime; }; before=$(now)\n"
            "ping -q -A -c 60 -s 8000 -W 5 -w 30 @PEER@ > /dev/null\n"
            "over=$(tc -s qdisc show dev bond0 | sed -n 's/.*overlimits \\([0-9]*\\) .*/\\1/p' | head -1)\n"
            'echo "$over packets held back by tbf on bond0"; test "${over:-0}" -gt 0',
        ),
        "tbf's counter of packets that it held back has risen",
        Amount("kbit/s", 4000, 500, 1000000),
    ),
)
