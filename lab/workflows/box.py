"""``lab.box``: all that a plain ``vagrant up`` in ``build/<lab>`` needs beside the Vagrantfile."""

from __future__ import annotations

from contextlib import closing

from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.core.vagrant_plan import HOME, box_name
from lab.doors import files
from lab.drivers.hypervisor import Hypervisor
from lab.drivers.lab_images import planned_images
from lab.workflows import host_side, keeping, renewing, vagrant_side
from lab.workflows.bake import bake_lab
from lab.workflows.doctor import examine
from lab.workflows.options import Options, load_lab, shown_path
from lab.workflows.render import rendered_to_build
from lab.workflows.session import Session, open_session


def box(options: Options) -> Outcome:
    """Render the lab, make its networks and disks, and have Vagrant know the box of its node image.

    Raises:
        LabError: Vagrant is missing, or the lab exists and was made without it.
    """
    lab = load_lab(options)
    vagrant_side.require(lab, options)
    examination = examine(lab, options)
    examination.require()
    with (
        open_session(options, "box", accelerator=examination.choice.accelerator, make_secrets=True) as session,
        files.locked(session.folder / "lock", busy=f"another run is working on the lab {lab.name}"),
        closing(Hypervisor()) as hypervisor,
    ):
        renewing.require_none(session.folder, "no box is made for it")
        if hypervisor.owned_domains(lab.name) and vagrant_side.chosen(options, lab.name, hypervisor) != "vagrant":
            raise LabError(
                f"the lab {lab.name} exists, and its nodes were made without Vagrant",
                remedy=f"./inv lab.down --name {lab.name} removes it",
                exit_code=2,
            )
        # What is kept of the lab would share its pool.
        keeping.offered(session, hypervisor, fresh=True)
        tree = rendered_to_build(session, hypervisor)
        bake_lab(session.lab, session.reporter)
        with session.reporter.step("host: networks, images"):
            host_side.ensure_networks(session, hypervisor, tree)
            host_side.ensure_cached_images(session, hypervisor)
        waiting = vagrant_side.prepare(session, hypervisor, tree)
        return _outcome(session, waiting)


def _outcome(session: Session, waiting: list[str]) -> Outcome:
    images, place = planned_images(session.lab), shown_path(session.folder)
    boxes = sorted({box_name(session.lab.name, volume) for volume in images.node_volume.values()})
    if waiting:
        text = (
            f"Vagrant knows {', '.join(boxes)} in {place}/{HOME}. The nodes come up with\n"
            f"  cd {place} && VAGRANT_HOME=$PWD/{HOME} vagrant up\n"
            "and the cluster on them with ./inv lab.up; ./inv lab.down removes everything."
        )
    else:
        text = f"The nodes of the lab {session.lab.name} are there already; nothing was changed."
    return Outcome(text, {"lab": session.lab.name, "boxes": boxes, "folder": str(session.folder), "waiting": waiting})
