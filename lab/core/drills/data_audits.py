"""The judgement of a thorough look at the data: both copies of DRBD block by block, and the structures of OCFS2."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lab.core.drills.record import AuditResult
from lab.core.health import NodeFacts
from lab.core.model import Lab

#: DRBD 8.4 of Linux 6.1, drivers/block/drbd/drbd_worker.c (drbd_resync_finished, drbd_ov_out_of_sync_print).
_VERIFIED = re.compile(r"Online verify done \(total (?P<seconds>\d+) sec; paused \d+ sec; (?P<rate>\d+) K/sec\)")
_DIFFERENT = re.compile(r"Out of sync: start=(?P<start>\d+), size=(?P<size>\d+) \(sectors\)")
_SECTOR_BYTES = 512
#: fsck.ocfs2(8), EXIT CODES; the same bits as of fsck(8).
_FSCK_CLEAN = 0
_SHOWN = 6
VERIFY_AUDIT = "both copies of the data are the same, block by block"
FSCK_AUDIT = "OCFS2's structures are sound"


def verification_ended(kernel: Mapping[str, str]) -> bool:
    """Whether every node's kernel has told of the end of a verification.

    Args:
        kernel: per node, what its kernel said since the verification was asked for.
    """
    return bool(kernel) and all(_VERIFIED.search(text) for text in kernel.values())


def audit_copies(lab: Lab, nodes: Mapping[str, NodeFacts | None], kernel: Mapping[str, str]) -> AuditResult:
    """Nothing differs between the two copies of the resource after ``drbdadm verify`` (drbdadm(8)).

    Args:
        lab: the lab.
        nodes: per node, a look after the verification.
        kernel: per node, what its kernel said since the verification was asked for.
    """
    wrong: list[str] = []
    evidence: list[str] = []
    for name in lab.node_names:
        text = kernel.get(name, "")
        facts = nodes.get(name)
        out_of_sync_kib = facts.drbd.device(lab.storage.minor).out_of_sync_kib if facts and facts.drbd else None
        different = [(int(one["start"]), int(one["size"])) for one in _DIFFERENT.finditer(text)]
        wrong += [
            f"{name}: {size * _SECTOR_BYTES // 1024} KiB differ from {start * _SECTOR_BYTES / 2**20:.1f} MiB on"
            for start, size in different[:_SHOWN]
        ]
        wrong += [f"{name}: {len(different) - _SHOWN} more places differ"] if len(different) > _SHOWN else []
        if out_of_sync_kib is None:
            wrong.append(f"{name}: DRBD cannot be asked")
        elif out_of_sync_kib:
            wrong.append(f"{name}: {out_of_sync_kib} KiB out of sync")
        ended = _VERIFIED.search(text)
        if ended is None:
            wrong.append(f"{name}: its kernel does not tell of the end of a verification")
        else:
            evidence.append(f"{name}: compared in {ended['seconds']} s, {ended['rate']} KiB/s, nothing out of sync")
    return AuditResult(VERIFY_AUDIT, not wrong, tuple(wrong) or tuple(evidence))


def audit_structures(node: str, runs: Sequence[tuple[int, str]]) -> AuditResult:
    """``fsck.ocfs2 -n`` finds nothing to mend, the last time that it was run.

    The file system is mounted meanwhile, and what is on its way to the disk looks like an error for a moment; a real
    one stays and is found each time. So the last run counts, and there are several only where one found something.

    Args:
        node: where it was run.
        runs: exit code and output of each run, in order.
    """
    if not runs:
        return AuditResult(FSCK_AUDIT, False, (f"{node}: fsck.ocfs2 was not run",))
    returncode, output = runs[-1]
    earlier = f", after {len(runs) - 1} that met something unfinished" if len(runs) > 1 else ""
    if returncode == _FSCK_CLEAN and not fsck_findings(output):
        return AuditResult(FSCK_AUDIT, True, (f"{node}: fsck.ocfs2 -n found nothing{earlier}",))
    found = fsck_findings(output) or tuple(output.strip().splitlines()[-_SHOWN:])
    told = tuple(f"{node}: {line}"[:200] for line in found[:_SHOWN])
    return AuditResult(FSCK_AUDIT, False, (f"{node}: fsck.ocfs2 -n ended with {returncode}", *told))


def fsck_findings(output: str) -> tuple[str, ...]:
    """The errors that fsck.ocfs2 told of: each begins with its name in brackets (fsck.ocfs2.checks(8))."""
    return tuple(line.strip() for line in output.splitlines() if re.match(r"\s*\[[A-Z0-9_]+\] ", line))


__all__ = ["FSCK_AUDIT", "VERIFY_AUDIT", "audit_copies", "audit_structures", "fsck_findings", "verification_ended"]
