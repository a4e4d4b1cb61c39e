"""The clocks of nodes and guests after nodes stood still: they stood, too, and chrony there follows the first node."""

from __future__ import annotations

import time

from lab.core.errors import LabError
from lab.core.model import Node
from lab.doors.clock import now_s
from lab.doors.process import ProcessError
from lab.workflows.session import Session

_CLOCK_LIMIT_S = 10.0
#: What setting a clock takes is what it is late by, so it is set again until that was quick, as often as this.
_ATTEMPTS = 5
_PRECISION_S = 0.5
#: Every guest that runs on a node, all at once; `wait` alone would hide which of them failed. A time that is handed to
#: a guest is late by what its agent takes to set it. Its RTC is QEMU's and goes by the node's clock, so that is asked,
#: whenever the agent comes to it.
_SET_GUEST_CLOCKS = """late= waiting=
for guest in $(virsh list --name); do
  virsh -q domtime "$guest" --sync & waiting="$waiting $!:$guest"
done
for one in $waiting; do wait "${one%%:*}" || late="$late ${one#*:}"; done
[ -z "$late" ] || { echo "not set in:$late" >&2; exit 1; }"""


def set_clocks(session: Session) -> None:
    """Set the clocks of all nodes and their guests by that of this host."""
    session.on_each(session.lab.nodes, lambda node: set_clock(session, node))


def away_s(session: Session, node: Node) -> float:
    """By how much the node's clock differs from this host's at least; what the question took is no difference.

    Raises:
        LabError, ProcessError: the node does not answer.
        ValueError: what it says is no time.
    """
    shell, limit_s = session.shell(node), _CLOCK_LIMIT_S * session.lab.time_scale
    before_s = time.time()
    said = shell.succeed("date +%s.%N", timeout_s=limit_s)
    return least_difference_s(float(said), before_s, time.time())


def least_difference_s(shown_s: float, before_s: float, after_s: float) -> float:
    """Between a clock that showed a time at some moment, and the moments between which it was asked."""
    return max(0.0, before_s - shown_s, shown_s - after_s)


def set_clock(session: Session, node: Node) -> None:
    """Set the node's clock by that of this host, then those of its guests by the node's."""
    limit_s = _CLOCK_LIMIT_S * session.lab.time_scale
    shell = session.shell(node)
    try:
        # The first attempt pays for the login: seconds on an emulated node that has just been loaded.
        for _attempt in range(_ATTEMPTS):
            began_s = now_s()
            shell.succeed("date -s @%s", f"{time.time():.3f}", timeout_s=limit_s)
            if (late_s := now_s() - began_s) < _PRECISION_S:
                break
        else:
            session.reporter.note(f"{node.name}: the clock may be late by {late_s:.1f} s")
        shell.succeed(_SET_GUEST_CLOCKS, timeout_s=limit_s)
    except (LabError, ProcessError) as error:
        session.reporter.warn(f"{node.name}: the clock was not set: {error}")
