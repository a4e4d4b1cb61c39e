"""Writing the complete tree of a lab; needs neither libvirt nor root."""

from __future__ import annotations

import hashlib

from lab.core.errors import LabError
from lab.core.outcome import Outcome
from lab.doors import files
from lab.drivers.hypervisor import Hypervisor
from lab.workflows import renewing
from lab.workflows.options import Options, shown_path
from lab.workflows.session import Session, kept_state, open_session, rendered, write_rendered


def render(options: Options) -> Outcome:
    """Render the lab to ``build/<lab>``; the same topology and secrets give the same bytes.

    Raises:
        LabError: bad input; nothing is written then.
    """
    with open_session(options, "render", make_secrets=True) as session:
        renewing.require_none(session.folder, "it is not rendered with either of them")
        tree = rendered(session)
        changed = write_rendered(session, tree)
        place = shown_path(session.folder)
        text = f"{len(tree)} files of lab {session.lab.name} are in {place}; {len(changed)} of them were written now."
        return Outcome(
            text,
            {"lab": session.lab.name, "folder": str(session.folder), "files": sorted(tree), "changed": changed},
        )


def rendered_to_build(session: Session, hypervisor: Hypervisor) -> dict[str, bytes]:
    """Render to ``build/<lab>`` and note what the lab is made of; returns the tree.

    Raises:
        LabError: the lab exists and was built from something else; nothing is written then.
    """
    with session.reporter.step("render"):
        tree = rendered(session)
        digests = {path: hashlib.sha256(content).hexdigest() for path, content in tree.items()}
        state = kept_state(session.folder)
        exists = bool(hypervisor.owned_domains(session.lab.name))
        built_from = state.get("tree", {})
        if exists and built_from and built_from != digests:
            names = sorted(path for path in {*digests, *built_from} if digests.get(path) != built_from.get(path))
            raise LabError(
                f"the lab {session.lab.name} exists and was built from another topology, accelerator or version",
                remedy="./inv lab.down removes it, then ./inv lab.up builds the new one; or give this one a --name",
                details=[f"different: {name}" for name in names[:12]],
            )
        write_rendered(session, tree)
        files.write_json(
            session.state_path,
            {
                "accelerator": session.lab.accelerator,
                "time_scale": session.lab.time_scale,
                "topology": str(session.options.topology.absolute()),
                "topology_text": session.options.topology.read_text(encoding="utf-8"),
                "tree": digests,
            },
        )
    return tree
