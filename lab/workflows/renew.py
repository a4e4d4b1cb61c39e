"""``lab.renew``: the wish for new secrets, and the ``lab.up`` that fulfils it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from lab.core.errors import LabError
from lab.core.model import Accelerator
from lab.core.outcome import Outcome
from lab.doors import files
from lab.drivers import kept_saves
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import renewing
from lab.workflows.options import Options, load_lab
from lab.workflows.session import kept_state
from lab.workflows.up import up


def renew(options: Options) -> Outcome:
    """Replace all secrets of a lab that runs, is halted, or is down with its saves kept.

    A verb of its own, because ``lab.up`` changes nothing in a lab that is up, however often it is repeated. But it is
    ``lab.up`` that does the work: it has to finish what was interrupted in any case.

    Raises:
        LabError: there is no such lab, or a step failed; ``lab.up`` goes on from there.
    """
    accelerator = _note_wish(options)
    return up(replace(options, accelerator=accelerator))


def _note_wish(options: Options) -> Accelerator:
    """Note the wish where the next ``lab.up`` finds it; returns what the lab was built for."""
    name = load_lab(options).name
    folder = options.build / name
    with closing(Hypervisor()) as hypervisor:
        exists = bool(hypervisor.owned_domains(name))
    kept = kept_saves.find(name)
    if exists and folder.exists():
        with files.locked(folder / "lock", busy=f"another run is working on the lab {name}"):
            renewing.want(folder)
        return "kvm" if kept_state(folder).get("accelerator") == "kvm" else "tcg"
    if kept is None:
        raise LabError(
            f"there is no lab {name} here", remedy=f"Build it with {options.up_command}: its secrets will be new"
        )
    kept_saves.want_renewal(name)
    return "kvm" if kept.note.accelerator == "kvm" else "tcg"
