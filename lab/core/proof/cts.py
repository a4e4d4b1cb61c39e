"""Pacemaker's own Cluster Test Suite: how its program is started, and what its log says.

The suite is not in the repository and in no Debian package; it is in Pacemaker's source package, ``cts/lab``. Facts of
that source (2.1.5: CTSlab.py.in, environment.py, CTSscenarios.py, CTStests.py, logging.py):

- Its files are a Python package ``cts`` in which two are templates (``@NAME@``).
- It uses the cluster's own configuration unless it is told to write one (``--clobber-cib``, ``--populate-resources``).
- A line of its log is ``Nov 25 22:05:43``, a tab, and the words. ``Running test NAME (node) [  1]`` begins a test;
  ``Test NAME FAILED: reason``, ``Skipped``, ``Setup failed``, ``BadNews: line`` and ``Audit NAME FAILED.`` belong to
  the one that runs; ``Test NAME: {...}`` counts at the end. A skipped test counts as a success in ``Overall Results``.
- The last one of ``--choose`` and ``--once`` decides how often tests are run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.core.errors import LabError
from lab.core.proof.cases import Case

#: Values for the templates as Debian builds Pacemaker (debian/rules: --libexecdir=/usr/lib; the rest by configure).
VALUES = {
    "PYTHON": "/usr/bin/python3",
    "BASH_PATH": "/bin/bash",
    "datadir": "/usr/share",
    "PACKAGE": "pacemaker",
    "CRM_CONFIG_DIR": "/var/lib/pacemaker/cib",
    "CRM_LOG_DIR": "/var/log/pacemaker",
    "CRM_DAEMON_USER": "hacluster",
    "CRM_DAEMON_DIR": "/usr/lib/pacemaker",
    "OCF_ROOT_DIR": "/usr/lib/ocf",
    "PCMK__COROSYNC_CONF": "/etc/corosync/corosync.conf",
}
TEMPLATES = ("CTSlab.py", "CTSvars.py")
#: Its question whether a resource runs on a node asks a program that no Debian package has; the resource's own agent is
#: asked instead, which is what that program does (daemons/execd/cts-exec-helper.c). 8 is a promoted one.
RUNNING = (
    'CTSvars.CRM_DAEMON_DIR + "/cts-exec-helper -R -r %s"',
    """"crm_resource --force-check -r %s 2>&1 | grep -q 'returned [08] ('\"""",
)
#: Safe for OCFS2 and DRBD, each test once, with fencing.
FLAGS = ("--no-unsafe-tests", "--no-loop-tests")
#: Kinds of tests that are left out or not switched on, with the option that shows them in a list.
LEFT_OUT = {
    "unsafe for clusters with OCFS2 and DRBD (--no-unsafe-tests)": ("--no-loop-tests",),
    "repeats something for an hour (--no-loop-tests)": ("--no-unsafe-tests",),
    "experimental, off by default": (*FLAGS, "--experimental-tests"),
    "needs containers on the nodes, off by default": (*FLAGS, "--container-tests"),
}
BAD_NEWS = "no bad news in the nodes' logs"
EXPLAINED_NEWS = "lines that the suite does not expect and that are explained"
WHOLE = "the suite came to its end"
#: What the suite takes for bad news and is none here, with the reason.
EXPLAINED = (
    (
        # The same configuration, without the changes of state that are kept in memory only.
        re.compile(r"Local CIB (?P<epochs>\d+\.\d+)\.\d+\.\S+ differs from \S+ (?P=epochs)\.0\."),
        "a node that starts has the state that is on its disk; its peer asks for all digests after 5 s "
        "without a change (daemons/based/based_callbacks.c, process_ping_reply) and sends its own; emulated nodes take "
        "longer than these 5 s to join",
    ),
    (
        re.compile(r"pacemakerd\[\d+\]:\s+error: Could not get executable for PID \d+: No such file or directory"),
        "pacemakerd looked at a daemon that had ended and was not waited for yet (lib/common/pid.c, pcmk__pid_active)",
    ),
    (
        re.compile(
            r"VirtualDomain\(\w+\)\[\d+\]: ERROR: .* unknown status \"error: domain not found: no domain with matching"
        ),
        "a guest ended while the agent that stopped it asked for its state; the agent asks again "
        "(resource-agents, heartbeat/VirtualDomain, VirtualDomain_status)",
    ),
    (
        # EHOSTDOWN, and in the one test that fences a node: anywhere else it would be news.
        re.compile(
            r"^Stonithd: .* kernel: .*dlm_(send_proxy_ast_msg:\d+ ERROR: .* error -112 send AST to node"
            r"|flush_asts:\d+ ERROR: status = -112$)"
        ),
        "the lock manager of OCFS2 granted a lock to the node that had just been fenced, and heard that it is down; "
        "it takes that node's locks back afterwards (Linux, fs/ocfs2/dlm/dlmthread.c, dlm_flush_asts; dlmrecovery.c)",
    ),
)

_STAMP = re.compile(r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d\t(?P<words>.*)$")
_RUNNING = re.compile(r"^Running test (?P<name>\S+)\s+\((?P<node>[^)]+)\)\s*\[\s*(?P<number>\d+)\]")
_FAILED = re.compile(r"^Test (?P<name>\S+)\s+FAILED: (?P<reason>.*)$")
_SUMMARY = re.compile(r"^Test (?P<name>[^\s:]+):\s+(?P<counts>\{.*\})$")
_OVERALL = re.compile(r"^Overall Results:(?P<counts>\{.*\})$")
_TOTAL = re.compile(r"^Total (?P<count>\d+) tests$")
_FAILURES = ("Setup failed", "Teardown failed")
#: So many lines are kept of a test.
LINES = 60


def filled(text: str) -> str:
    """A template with Debian's values.

    Raises:
        LabError: it has a gap for which there is no value.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in VALUES:
            raise LabError(
                f"Pacemaker's test suite has a gap @{match[1]}@ that is not known",
                remedy="This version of it needs an entry in lab/core/proof/cts.py",
            )
        return VALUES[match[1]]

    return re.sub(r"@([A-Za-z_]+)@", value, text)


def at_home(text: str) -> str:
    """A file of the suite, with the programs that Debian's nodes have."""
    return text.replace(*RUNNING)


def run_arguments(nodes: Sequence[str], tests: Sequence[str], output: str) -> tuple[str, ...]:
    """The arguments of a run against the cluster's own configuration.

    Args:
        nodes: names of the nodes.
        tests: the tests that are wanted; all without one.
        output: file for the log with all details.
    """
    picked = [word for test in tests for word in ("--choose", test)]
    return (
        *("--nodes", " ".join(nodes), *FLAGS, "--stonith", "xvm"),
        # The nodes log to the journal; asking for files needs a helper on the nodes that no package brings.
        *("--set", "LogWatcher=journal", "--outputfile", output, "--yes"),
        *picked,
        "--once",
    )


def list_arguments(nodes: Sequence[str], options: Sequence[str] = FLAGS) -> tuple[str, ...]:
    """The arguments that list tests; nobody is asked anything."""
    return ("--nodes", " ".join(nodes), "--stonith", "xvm", *options, "--list-tests")


def hosts_file(own: str, addresses: Mapping[str, str], host: str) -> str:
    """The host's table of names with the nodes in it, for the suite only.

    Args:
        own: text of ``/etc/hosts``.
        addresses: of the nodes by name.
        host: this machine's name, which the suite looks up too.
    """
    lines = [line for line in own.splitlines() if not set(line.split("#")[0].split()[1:]) & set(addresses)]
    known = {name for line in lines for name in line.split("#")[0].split()[1:]}
    lines += [f"{address}\t{name}" for name, address in addresses.items()]
    lines += [] if host in known else [f"127.0.0.1\t{host}"]
    return "\n".join(lines) + "\n"


def words_of(text: str) -> tuple[str, ...]:
    """The lines of a log without their time; other lines as they are."""
    return tuple((match["words"] if (match := _STAMP.match(line)) else line).rstrip() for line in text.splitlines())


def parse_list(text: str) -> tuple[str, ...]:
    """Names of the tests of ``--list-tests``.

    Raises:
        LabError: it is no list, or not as long as it says.
    """
    lines = words_of(text)
    start = next((place for place, line in enumerate(lines) if _TOTAL.match(line)), None)
    if start is None:
        raise LabError("Pacemaker's test suite lists no tests", details=lines[-10:])
    count = int(lines[start].split()[1])
    names = tuple(line.strip() for line in lines[start + 1 :] if re.fullmatch(r"[A-Za-z]\w*", line.strip()))
    if len(names) != count:
        raise LabError(f"Pacemaker's test suite lists {len(names)} tests and says {count}", details=lines[-10:])
    return names


def left_out_cases(wanted: Sequence[str], lists: Mapping[str, Iterable[str]]) -> tuple[Case, ...]:
    """A skipped case for each test that the options leave out.

    Args:
        wanted: tests that the options allow.
        lists: by reason, the tests that there are without that reason.
    """
    found: dict[str, str] = {}
    for reason, names in lists.items():
        for name in names:
            if name not in wanted:
                found.setdefault(name, reason)
    return tuple(Case(name, "skipped", reason) for name, reason in found.items())


@dataclass
class _Run:
    """A test of the log, as it is read."""

    name: str
    node: str
    lines: list[str]
    wrong: list[str]
    skipped: bool = False
    ended: bool = False


def parse_log(text: str, returncode: int) -> tuple[Case, ...]:
    """The cases of a run, in the order in which its tests were made.

    Args:
        text: what the suite printed (its log without details).
        returncode: of the suite: 0, or how many tests failed, or 1.
    """
    runs, counts, overall, bad = _read(words_of(text))
    cases: list[Case] = []
    for run in runs:
        lines = tuple(run.lines[:LINES])
        own = counts.get(run.name)
        if own and own.get("failure") and not run.wrong:
            run.wrong.append("the suite counts it as failed")
        if run.wrong or not (run.ended or own):
            message = "; ".join(run.wrong) or "the suite ended while it ran"
            cases.append(Case(f"{run.name} on {run.node}", "failed", message, lines))
        elif run.skipped or (own and own.get("skipped")):
            cases.append(Case(f"{run.name} on {run.node}", "skipped", "the suite could not make it now", lines))
        else:
            cases.append(Case(f"{run.name} on {run.node}", "passed", "", lines))
    if runs:
        cases += _news(bad)
    whole = overall is not None and bool(runs)
    # The suite counts failures in its exit code; the cases above already say which. Any other end is told here.
    unexplained = returncode != 0 and not any(case.verdict == "failed" for case in cases)
    message = "" if whole and not unexplained else f"it ended with exit code {returncode}"
    cases.append(Case(WHOLE, "failed" if message else "passed", message, words_of(text)[-15:] if message else ()))
    return tuple(cases)


def _news(bad: Sequence[str]) -> list[Case]:
    """A case for what nobody explains, and one for what is."""
    reasons = {line: why for line in bad for pattern, why in EXPLAINED if pattern.search(line)}
    rest = [line for line in bad if line not in reasons]
    seen = f"{len(rest)} lines that the suite does not expect" if rest else ""
    cases = [Case(BAD_NEWS, "failed" if rest else "passed", seen, tuple(rest[:LINES]))]
    if reasons:
        message = "; ".join(dict.fromkeys(reasons.values()))
        cases.append(Case(EXPLAINED_NEWS, "skipped", message, tuple(reasons)[:LINES]))
    return cases


def _read(
    lines: Sequence[str],
) -> tuple[list[_Run], dict[str, dict[str, int]], dict[str, int] | None, list[str]]:
    runs: list[_Run] = []
    counts: dict[str, dict[str, int]] = {}
    overall: dict[str, int] | None = None
    bad: list[str] = []
    for line in lines:
        if match := _RUNNING.match(line):
            if runs:
                runs[-1].ended = True
            runs.append(_Run(match["name"], match["node"], [], []))
        elif match := _OVERALL.match(line):
            overall = _counts(match["counts"])
            if runs:
                runs[-1].ended = True
        elif match := _SUMMARY.match(line):
            counts[match["name"]] = _counts(match["counts"])
        elif runs and overall is None:
            runs[-1].lines.append(line)
            _note(runs[-1], line)
        if line.startswith("BadNews: "):
            bad.append(f"{runs[-1].name if runs else 'before the first test'}: {line.removeprefix('BadNews: ')}")
    return runs, counts, overall, bad


def _note(run: _Run, line: str) -> None:
    if match := _FAILED.match(line):
        run.wrong.append(match["reason"])
    elif line in _FAILURES or re.match(r"(Internal \S+ )?Audit \S+ FAILED\.", line) or line.startswith("Exception by"):
        run.wrong.append(line)
    elif line == "Skipped":
        run.skipped = True


def _counts(text: str) -> dict[str, int]:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {}
    return {str(key): int(value) for key, value in found.items()} if isinstance(found, dict) else {}
