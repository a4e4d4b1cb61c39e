"""Writing the complete tree of a lab; needs neither libvirt nor root."""

from __future__ import annotations

from lab.core.outcome import Outcome
from lab.workflows import renewing
from lab.workflows.options import Options, shown_path
from lab.workflows.session import open_session, rendered, write_rendered


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
