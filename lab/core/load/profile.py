"""Profiles of load, their scaling, and how much of one falls to each guest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lab.core.errors import LabError
from lab.core.model import Accelerator, Guest, ServiceKind

LoadKind = Literal["dns", "radius-access", "radius-accounting", "http", "sip-call"]

#: One telephone call is held this long: short enough that calls begin and end all the time also in half a minute. The
#: study tells how many calls there were at once, and not how long they were.
CALL_HOLD_S = 10.0
#: More than this times the study is no load of customers any more; it also bounds threads, files and sockets.
LARGEST_SCALE = 10.0
#: A registration of a telephone must outlast the run; exchanges grant an hour at most (Asterisk: ``maxexpiry``).
LONGEST_S = 3000.0
#: Of five questions to the name server one is for a name never asked before, which it has to go and ask for; the others
#: are for ``www``, which it knows. The study tells no share.
FRESH_NAME_EVERY = 5
#: Lines of a file of questions; beyond them it begins again.
MOST_QUESTIONS = 200_000


@dataclass(frozen=True)
class Profile:
    """What all customers together ask for.

    Args:
        name: how it is chosen.
        dns_per_s: questions to the recursive name server, a second.
        radius_access_per_s: authentications, a second, over all RADIUS servers together.
        radius_accounting_per_s: accounting requests, a second, over all RADIUS servers together.
        http_per_s: requests for a page, a second.
        calls: telephone calls at once.
    """

    name: str
    dns_per_s: float
    radius_access_per_s: float
    radius_accounting_per_s: float
    http_per_s: float
    calls: int


#: The load that the 2016 study saw: peaks of the name server, and the upper end of 20 to 30 calls in office hours.
STUDY = Profile("study", 1150.0, 1.6, 23.0, 3.0, 30)
PROFILES = {profile.name: profile for profile in (STUDY,)}

#: The share of a profile that is sent when nothing else is asked for. Emulated processors are slower by more than ten.
DEFAULT_SCALES: dict[Accelerator, float] = {"kvm": 1.0, "tcg": 0.05}


@dataclass(frozen=True)
class Stream:
    """One kind of request to one guest.

    Args:
        kind: what is asked for.
        guest: name of the guest that should answer.
        rate_per_s: requests a second; of calls those that begin.
        at_once: calls at once; 0 for all other kinds.
    """

    kind: LoadKind
    guest: str
    rate_per_s: float
    at_once: int = 0


def profile_named(name: str) -> Profile:
    """The profile of this name.

    Raises:
        LabError: there is none (exit code 2).
    """
    if name not in PROFILES:
        raise LabError(f"there is no profile {name}", remedy=f"Use one of: {', '.join(sorted(PROFILES))}", exit_code=2)
    return PROFILES[name]


def scaled(profile: Profile, factor: float) -> Profile:
    """The profile times a factor; at least one call stays.

    Raises:
        LabError: the factor is not above 0, or above :data:`LARGEST_SCALE` (exit code 2).
    """
    if not 0 < factor <= LARGEST_SCALE:
        raise LabError(
            f"a load cannot be scaled by {factor:g}",
            remedy=f"Give a factor above 0 and up to {LARGEST_SCALE:g}",
            exit_code=2,
        )
    return Profile(
        profile.name,
        profile.dns_per_s * factor,
        profile.radius_access_per_s * factor,
        profile.radius_accounting_per_s * factor,
        profile.http_per_s * factor,
        max(1, math.floor(profile.calls * factor + 0.5)),
    )


def require_duration(seconds: float) -> float:
    """The duration of a run, when it can be one.

    Raises:
        LabError: it is not from 1 s to :data:`LONGEST_S` (exit code 2).
    """
    if not 1 <= seconds <= LONGEST_S:
        raise LabError(
            f"load cannot be sent for {seconds:g} s",
            remedy=f"Give a number of seconds from 1 to {LONGEST_S:g}",
            exit_code=2,
        )
    return seconds


def streams(profile: Profile, guests: Sequence[Guest]) -> tuple[Stream, ...]:
    """The load of each guest, in their order: guests of the same service share what is asked of it evenly.

    Args:
        profile: the load, already scaled.
        guests: guests of the lab; a service without a guest gets no load.
    """
    sharing = {service: sum(guest.service == service for guest in guests) for service in KINDS}
    result = []
    for guest in guests:
        share = sharing[guest.service]
        for kind in KINDS[guest.service]:
            if kind == "sip-call":
                calls = max(1, profile.calls // share)
                result.append(Stream(kind, guest.name, calls / CALL_HOLD_S, calls))
            else:
                result.append(Stream(kind, guest.name, _rate_per_s(profile, kind) / share))
    return tuple(result)


#: What each service is asked for.
KINDS: dict[ServiceKind, tuple[LoadKind, ...]] = {
    "dns": ("dns",),
    "radius": ("radius-access", "radius-accounting"),
    "web": ("http",),
    "telephony": ("sip-call",),
}


def _rate_per_s(profile: Profile, kind: LoadKind) -> float:
    rates: dict[LoadKind, float] = {
        "dns": profile.dns_per_s,
        "radius-access": profile.radius_access_per_s,
        "radius-accounting": profile.radius_accounting_per_s,
        "http": profile.http_per_s,
    }
    return rates[kind]


def until_due_s(rate_per_s: float, elapsed_s: float, sent: int) -> float:
    """Seconds until the next request of a steady rate is due; 0 when it is, however late.

    Args:
        rate_per_s: requests a second.
        elapsed_s: time since the start, seconds.
        sent: requests sent so far.
    """
    return max(0.0, sent / rate_per_s - elapsed_s)


def total(rate_per_s: float, seconds: float) -> int:
    """Requests of a steady rate in a run: those due before its end, and at least the first one."""
    count = math.ceil(rate_per_s * seconds)
    # 450 * 1.1 is 495.00000000000006: what is due at the very end is not due before it.
    if (count - 1) / rate_per_s >= seconds:
        count -= 1
    return max(1, count)


def questions(zone: str, token: str, count: int) -> str:
    """A file of questions for dnsperf: one of :data:`FRESH_NAME_EVERY` for a fresh name, the others for ``www``.

    Args:
        zone: the zone that the lab's own server answers for.
        token: part of the fresh names that no run before has used.
        count: how many questions will be sent; the file has at most :data:`MOST_QUESTIONS` lines.
    """
    lines = [
        f"www.{zone} A" if number % FRESH_NAME_EVERY else f"{token}-{number}.customers.{zone} A"
        for number in range(min(max(1, count), MOST_QUESTIONS))
    ]
    return "\n".join(lines) + "\n"
