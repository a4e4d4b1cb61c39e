"""``crm cluster crash_test`` of crmsh 4.4: its tests, its own results, and what has to be seen from outside.

Facts of its source (crmsh/crash_test/main.py, task.py, utils.py), which explain why its word alone is not enough:

- ``--force`` leaves all questions out. Exit code 0 is a test that found no error, 1 one that did or refused to begin.
- ``--kill-*`` waits ten seconds for a fencing to begin. When none does, it ends well, restarted or not.
- ``--split-brain-iptables`` ends well also when nobody is fenced ("should be an error here", says its source). It asks
  Corosync for the members' addresses by a key of Corosync 2 (``runtime.totem.pg.mrp.srp.members``, crmsh/utils.py),
  which Corosync 3 calls ``runtime.members``, so as Debian 12 has it, it blocks nothing at all. :data:`SHIM` translates
  that one question.
- ``--fence-node`` counts a fencing that ``crm_mon`` has shown as pending; one that is over before it looked is missed,
  and the program calls the node "still alive" after the cluster's fencing timeout.
- Results are a list in ``/var/lib/crmsh/crash_test/crash_test.json``, written anew with each message and
  synchronised; ``--kill-*`` also writes ``crash_test-*.report`` there. A node that is fenced under the program leaves
  what there was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.core.errors import LabError
from lab.core.proof.cases import Case

FOLDER = "/var/lib/crmsh/crash_test"
RESULT_FILE = f"{FOLDER}/crash_test.json"
#: Folder on the node, in memory, and what is put there under the name of a tool that the program asks.
SHIM_FOLDER = "/dev/shm/crash-test"  # noqa: S108 (of the node; /run there is mounted noexec)
SHIM_NAME = "corosync-cmapctl"
SHIM = """#!/bin/sh
# crmsh's crash test asks for the members as Corosync 2 called them.
for word; do
  shift
  [ "$word" = runtime.totem.pg.mrp.srp.members ] && word=runtime.members
  set -- "$@" "$word"
done
exec /usr/sbin/corosync-cmapctl "$@"
"""

#: ssh(1), and what a shell says of a command that a signal ended.
LOST = (255, 130, 137, 143)

#: Who has to be fenced: nobody, the node that the program runs on, the other one, or exactly one of both.
Expected = Literal["nobody", "runner", "other", "one"]


@dataclass(frozen=True)
class Test:
    """One test of the program.

    Args:
        name: as it is typed here.
        options: its options; ``{other}`` is the name of the other node.
        fenced: who has to be fenced on this lab.
        why: of that.
    """

    name: str
    options: tuple[str, ...]
    fenced: Expected
    why: str


TESTS = (
    Test("kill-pacemakerd", ("--kill-pacemakerd",), "nobody", "systemd starts it again, and it adopts its daemons"),
    Test("fence-node", ("--fence-node", "{other}"), "other", "fencing is what was asked for"),
    Test("kill-corosync", ("--kill-corosync",), "runner", "Debian's unit does not restart it, so the node is lost"),
    Test("split-brain-iptables", ("--split-brain-iptables",), "one", "two halves must not both go on"),
)

#: Tests that the program has and that are not made, with the reason.
LEFT_OUT = {
    "kill-sbd": "the lab fences through the host and has no sbd",
    "kill-corosync --kill-loop": "the same end as kill-corosync, where nothing restarts it",
    "kill-pacemakerd --kill-loop": "the program itself leaves it out (bsc#1111692)",
    "kill-sbd --kill-loop": "the lab fences through the host and has no sbd",
}

_ALIVE = re.compile(r'^Target fence node "(?P<node>[^"]+)" still alive$')
_MISSED = "it missed the fencing, which was over before it looked; see what was seen from outside"
_BEGUN = re.compile(r"will be fenced by")
_FENCED = re.compile(r'Node "(?P<node>[^"]+)" was successfully fenced by "(?P<by>[^"]+)"')


@dataclass(frozen=True)
class Told:
    """What the program says of one test.

    Args:
        description: its own name for it; empty when it left no result.
        messages: in order, with their times.
        errors: those of level ERROR, without times.
        fenced: the nodes that it calls fenced.
    """

    description: str = ""
    messages: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    fenced: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What was seen of one test from outside.

    Args:
        runner, other: the node that the program ran on, and the other one.
        rebooted: nodes with another boot id than before.
        switched_off: nodes whose machine libvirt saw stop meanwhile.
        leftovers: what the test left in the nodes' packet filters; empty when nothing.
        restarted: whether pacemakerd has another process than before; None when it does not matter.
    """

    runner: str
    other: str
    rebooted: tuple[str, ...]
    switched_off: tuple[str, ...]
    leftovers: tuple[str, ...] = ()
    restarted: bool | None = None


def chosen(names: Sequence[str]) -> tuple[Test, ...]:
    """The tests of these names, in the program's order; all without a name.

    Raises:
        LabError: there is none of a name (exit code 2).
    """
    known = {test.name: test for test in TESTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        why = "; ".join(f"{name}: {LEFT_OUT[name]}" for name in unknown if name in LEFT_OUT)
        raise LabError(
            f"crash_test has no test {', '.join(unknown)} here{f' ({why})' if why else ''}",
            remedy=f"Choose from: {', '.join(known)}",
            exit_code=2,
        )
    return tuple(test for test in TESTS if test.name in names or not names)


def command(test: Test, other: str) -> str:
    """The shell line for the node; the result of an earlier test is removed first."""
    words = " ".join(word.format(other=other) for word in test.options)
    return f"rm -f {RESULT_FILE}; PATH={SHIM_FOLDER}:$PATH crm cluster crash_test {words} --force"


def parse_results(text: str) -> Told:
    """The program's result file; what a node that lost power left of it may be nothing.

    Raises:
        LabError: it is JSON of another form.
    """
    try:
        document = json.loads(text)
    except ValueError:
        return Told()
    try:
        tests = [one for one in document if "Result" not in one]
        last = tests[-1] if tests else {"Description": "", "Messages": []}
        messages = tuple(str(message) for message in last["Messages"])
        description = str(last["Description"])
    except (TypeError, KeyError) as error:
        raise LabError("the results of crash_test have a form that is not known", details=[text[:200]]) from error
    words = [message.split(" ", 2)[2] if message.count(" ") > 1 else message for message in messages]
    return Told(
        description,
        messages,
        tuple(word.removeprefix("ERROR:") for word in words if word.startswith("ERROR:")),
        tuple(match["node"] for word in words if (match := _FENCED.search(word))),
    )


def own_case(test: Test, told: Told, returncode: int | None, duration_s: float, rebooted: Sequence[str] = ()) -> Case:
    """The program's own verdict.

    Args:
        test: what was made.
        told: its result file.
        returncode: of the program; None when it was cut off with its node, which is no verdict of it.
        duration_s: how long it took.
        rebooted: nodes that were seen to boot again.
    """
    name = f"{test.name}: crash_test's own word"
    if told.errors:
        missed = _missed(told, rebooted)
        why = _MISSED if missed else "; ".join(told.errors)
        return Case(name, "skipped" if missed else "failed", why, told.messages, duration_s)
    if returncode is None or returncode in LOST:
        if test.fenced in ("runner", "one"):
            why = "the program went down with its node, so it has no verdict; see what was seen from outside"
            return Case(name, "skipped", why, told.messages, duration_s)
        return Case(name, "failed", "the program did not end on a node that should have stayed", told.messages)
    if returncode:
        return Case(name, "failed", f"it ended with exit code {returncode}", told.messages, duration_s)
    if not told.description:
        return Case(name, "failed", "it ended well and left no result", told.messages, duration_s)
    return Case(name, "passed", "", told.messages, duration_s)


def _missed(told: Told, rebooted: Sequence[str]) -> bool:
    """Whether all that the program complains of is a node that it calls alive, and that was fenced meanwhile."""
    alive = [match["node"] for error in told.errors if (match := _ALIVE.match(error))]
    begun = any(_BEGUN.search(message) for message in told.messages)
    return bool(alive) and len(alive) == len(told.errors) and set(alive) <= set(rebooted) and not begun


def outside_case(test: Test, seen: Seen) -> Case:
    """Whether that happened which has to, by the nodes' boot ids and by libvirt on the host."""
    rebooted, off = set(seen.rebooted), set(seen.switched_off)
    lines = (
        f"expected to be fenced: {test.fenced} ({test.why})",
        f"another boot id: {', '.join(sorted(rebooted)) or 'nobody'}",
        f"libvirt saw it stop: {', '.join(sorted(off)) or 'nobody'}",
    )
    wrong: list[str] = []
    wanted: Mapping[Expected, tuple[set[str], ...]] = {
        "nobody": (set(),),
        "runner": ({seen.runner},),
        "other": ({seen.other},),
        "one": ({seen.runner}, {seen.other}),
    }
    if rebooted not in wanted[test.fenced]:
        wrong.append(f"fenced was expected of {test.fenced}, and {_names(rebooted)} booted again")
    if off != rebooted:
        # A node that only restarted was not fenced, and one that was cut off has to come back.
        wrong.append(f"libvirt saw {_names(off)} stop, and {_names(rebooted)} booted again")
    if seen.restarted is False:
        wrong.append("pacemakerd is the same process as before, so it was not killed")
    wrong += [f"left in the packet filter of {one}" for one in seen.leftovers]
    return Case(f"{test.name}: seen from outside", "failed" if wrong else "passed", "; ".join(wrong), lines)


def agreement_case(test: Test, told: Told, seen: Seen) -> Case | None:
    """Whether the program calls nobody fenced who was not; None when it names nobody."""
    if not told.fenced:
        return None
    wrong = sorted(set(told.fenced) - set(seen.rebooted))
    message = f"it calls {', '.join(wrong)} fenced, which did not boot again" if wrong else ""
    return Case(f"{test.name}: who it calls fenced was", "failed" if wrong else "passed", message)


def _names(nodes: set[str]) -> str:
    return " and ".join(sorted(nodes)) or "nobody"
