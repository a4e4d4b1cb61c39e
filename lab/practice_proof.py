"""The task of outside proof, for ``tasks.py``: other projects' own tests of a cluster, run against the lab."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from lab import surface
from lab.core.errors import LabError
from lab.help_option import task
from lab.practice import COMMON, DEFAULT, JSON, finish

PROOFS = ("crash-test", "cts")


@task(
    positional=["proof"],
    help={
        **COMMON,
        **JSON,
        "proof": "crash-test (crmsh's own, from the nodes) or cts (Pacemaker's Cluster Test Suite, from its source)",
        "tests": "only these tests, names with commas between them",
        "node": "of crash-test: the node that the program runs on; the first one when not given",
        "list-tests": "of cts: list the tests and what is left out; needs no running lab",
    },
)
def proof(  # noqa: PLR0917 (Invoke turns parameters into options)
    _context: Context,
    proof: str,
    topology: str = DEFAULT,
    name: str = "",
    tests: str = "",
    node: str = "",
    list_tests: bool = False,
    json: bool = False,
) -> None:
    """Run somebody else's tests against the lab, and check from outside what they say; writes a JUnit file.

    Both stop services and fence nodes. cts fetches Pacemaker's source package where the host's packages come from.

    Examples: ./inv lab.proof crash-test
              ./inv lab.proof crash-test --tests kill-corosync,fence-node
              ./inv lab.proof cts --list-tests
              ./inv lab.proof cts --tests Flip,Stonithd
    """
    names = tuple(word.strip() for word in tests.split(",") if word.strip())
    common = {"topology": topology, "name": name}
    if proof == "crash-test" and not list_tests:
        finish(surface.carry_out("crash-test", names, node, as_json=json, **common))
    elif proof == "cts" and not node:
        finish(surface.carry_out("cts", names, list_tests, as_json=json, **common))
    else:
        finish(surface.refuse(_misunderstood(proof)))


def _misunderstood(proof: str) -> LabError:
    if proof in PROOFS:
        return LabError(
            f"{proof} has no such option", remedy="--node is of crash-test, --list-tests of cts", exit_code=2
        )
    return LabError(f"there is no proof {proof}", remedy=f"Choose one of: {', '.join(PROOFS)}", exit_code=2)


TASKS: tuple[Any, ...] = (proof,)
