"""Send the load of the study's customers to the lab, and tell what was served of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.core.errors import LabError
from lab.core.load import profile as profiles
from lab.core.load.served import Served, as_document, as_text
from lab.core.outcome import Outcome
from lab.doors.clock import stamp
from lab.doors.files import write_json
from lab.drivers.load import Sending, sending
from lab.workflows.options import Options, shown_path
from lab.workflows.session import Session, open_session

#: How long an answer is waited for; stretched by the lab's time scale.
TIMEOUT_S = 2.0
#: What senders may take beyond their time: calls that end by themselves, open requests, tools that end.
MARGIN_S = 60.0


@dataclass(frozen=True)
class Traffic:
    """Load that is being sent to a lab.

    Args:
        profile: the load before scaling.
        scale: the factor it is scaled by.
        seconds: how long it is sent, at most.
        sending: the senders.
    """

    profile: profiles.Profile
    scale: float
    seconds: float
    sending: Sending

    def finish(self) -> list[Served]:
        """End it now, if it has not ended, and return what was sent and served of each stream.

        Raises:
            LabError: a tool is not installed, or failed by its own fault.
        """
        return self.sending.finish()

    def document(self) -> dict[str, object]:
        """The result of :meth:`finish` as JSON knows it, with profile and scale."""
        return as_document(self.profile, self.scale, self.seconds, self.finish())


@contextmanager
def running_traffic(
    session: Session, profile: str = "study", scale: float | None = None, *, seconds: float = profiles.LONGEST_S
) -> Iterator[Traffic]:
    """Load in the background, for as long as the block lasts, and at most for some seconds.

    Call :meth:`Traffic.finish` within the block for the figures.

    Args:
        session: the lab that it is sent to.
        profile: name of the load.
        scale: factor of it; None for what suits the lab's accelerator.
        seconds: how long, at most.

    Raises:
        LabError: there is no such profile, the factor or the duration cannot be, or the lab's network is not up.
    """
    lab = session.lab
    chosen = profiles.profile_named(profile)
    factor = profiles.DEFAULT_SCALES[lab.accelerator] if scale is None else scale
    streams = profiles.streams(profiles.scaled(chosen, factor), lab.guests)
    limit_s = profiles.require_duration(seconds)
    timeout_s = TIMEOUT_S * max(1.0, lab.time_scale)
    with sending(lab, session.secrets, streams, seconds=limit_s, timeout_s=timeout_s) as senders:
        yield Traffic(chosen, factor, limit_s, senders)


def traffic(options: Options, profile: str = "study", scale: str = "", seconds: str = "30") -> Outcome:
    """Send the load for some seconds; the figures are kept in ``build/<lab>/traffic/``.

    Args:
        options: the common options.
        profile: name of the load.
        scale: factor of it, as typed; empty for what suits the lab's accelerator.
        seconds: how long, as typed.

    Raises:
        LabError: an option cannot be meant (exit code 2), there is no such lab, or its network is not up.
    """
    factor = _number("--scale", scale) if scale else None
    limit_s = profiles.require_duration(_number("--seconds", seconds))
    # Before anything is looked for: what cannot be meant is told as such.
    profiles.scaled(profiles.profile_named(profile), 1.0 if factor is None else factor)
    with open_session(options, "traffic") as session, running_traffic(session, profile, factor, seconds=limit_s) as run:
        heading = (
            f"Load {run.profile.name} times {run.scale:g} on {session.lab.name} "
            f"({session.lab.accelerator}), for {limit_s:g} s"
        )
        session.reporter.note(heading)
        with session.reporter.step("load"):
            run.sending.wait(limit_s + MARGIN_S * max(1.0, session.lab.time_scale))
        served = run.finish()
        at = stamp()
        path = session.folder / "traffic" / f"{at}.json"
        document = {"lab": session.lab.name, "accelerator": session.lab.accelerator, "time": at, **run.document()}
        write_json(path, document)
        text = f"{heading}\n{as_text(served)}\nKept in {shown_path(path)}"
        return Outcome(text, document, ok=all(one.answered or one.untried for one in served))


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise LabError(f"{option} {text} is not a number", remedy="Give a number such as 0.5", exit_code=2) from None
