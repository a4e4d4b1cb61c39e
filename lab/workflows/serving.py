"""Ready means served: the services of a lab asked as their clients ask them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.core.model import Guest
from lab.core.service_result import ProbeResult, all_served, not_served
from lab.doors.clock import Deadline, wait_until
from lab.drivers.probes import probe_all
from lab.workflows import reviving
from lab.workflows.session import Session

PROBE_TIMEOUT_S = 5.0
#: While a guest is being waited for, so that its first moment is not missed behind an old request.
QUICK_TIMEOUT_S = 1.0
#: After this part of the time allowed, a guest that still does not serve is looked at from its node.
LOOKED_AFTER_FROM = 0.5


def ask(
    session: Session, *, thorough: bool, guests: Sequence[Guest] | None = None, timeout_s: float = PROBE_TIMEOUT_S
) -> list[ProbeResult]:
    """Ask every service of the lab once, or those of some guests; the timeout is stretched by the time scale."""
    lab = session.lab if guests is None else replace(session.lab, guests=tuple(guests))
    if not lab.guests:
        return []
    return probe_all(lab, session.secrets, timeout_s=timeout_s * max(1.0, lab.time_scale), thorough=thorough)


def wait_served(session: Session, *, limit_s: float = 240.0) -> list[ProbeResult]:
    """Wait until a client was really served by every service; each guest is waited for by itself.

    Raises:
        WaitError: not so in time; with what the service answered last.
    """
    deadline = Deadline.after(limit_s * session.lab.time_scale)
    with session.reporter.step("services answer a client"):
        results = session.on_each(session.lab.guests, lambda guest: _wait_guest(session, guest, deadline))
    return [result for of_guest in results for result in of_guest]


def wait_reachable(session: Session, *, limit_s: float = 120.0) -> None:
    """Wait until ssh gets into every guest, which no service says anything about.

    Raises:
        WaitError: not so in time.
    """
    deadline = Deadline.after(limit_s * session.lab.time_scale)
    with session.reporter.step("ssh gets into the guests"):
        session.on_each(session.lab.guests, lambda guest: session.shell(guest.domain).wait_reachable(deadline))


def wait_quickly_served(session: Session, *, limit_s: float = 60.0) -> list[ProbeResult]:
    """Wait until every guest has answered one quick request; for a lab that was served before.

    Raises:
        WaitError: not so in time; with what the service answered last.
    """
    deadline = Deadline.after(limit_s * session.lab.time_scale)

    def wait_guest(guest: Guest) -> list[ProbeResult]:
        last: list[ProbeResult] = []

        def served() -> bool:
            last[:] = ask(session, thorough=False, guests=[guest], timeout_s=QUICK_TIMEOUT_S)
            return all_served(last)

        wait_until(
            served,
            what=f"{guest.name} to serve a client",
            deadline=deadline,
            interval_s=0.1,
            remedy="./inv lab.status shows the guests",
            details=lambda: [result.as_line() for result in not_served(last)],
        )
        return last

    with session.reporter.step("services answer a client"):
        results = session.on_each(session.lab.guests, wait_guest)
    return [result for of_guest in results for result in of_guest]


def _wait_guest(session: Session, guest: Guest, deadline: Deadline) -> list[ProbeResult]:
    last: list[ProbeResult] = []
    patience = Deadline.after(deadline.remaining_s() * LOOKED_AFTER_FROM)
    looked_after = False

    def served() -> list[ProbeResult] | None:
        nonlocal looked_after
        if patience.passed() and not looked_after:
            looked_after = True
            reviving.look_after(session, guest)
        # One quick request first: on an emulated CPU every question costs the others time.
        last[:] = ask(session, thorough=False, guests=[guest], timeout_s=QUICK_TIMEOUT_S)
        if all_served(last):
            last[:] = ask(session, thorough=True, guests=[guest])
        return list(last) if all_served(last) else None

    results = wait_until(
        served,
        what=f"{guest.name} to serve a client",
        deadline=deadline,
        interval_s=0.5,
        remedy=f"./inv lab.status shows the guests; ./inv lab.ssh {guest.domain} opens a shell in this one",
        details=lambda: [result.as_line() for result in not_served(last)],
    )
    for result in results:
        session.reporter.note(result.as_line())
    return results
