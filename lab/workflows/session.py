"""What every verb on a lab starts from: the model, the secrets, the rendered tree, shells and the reporter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from lab.core.errors import LabError
from lab.core.model import Accelerator, Guest, Lab, Node, Secrets
from lab.core.render import is_secret, render_lab
from lab.core.topology import with_accelerator
from lab.doors import files
from lab.doors.progress import Reporter, open_reporter
from lab.doors.ssh import Shell
from lab.doors.templates import load_templates
from lab.drivers import kept_saves, keys
from lab.drivers.lab_images import planned_images
from lab.drivers.seed import make_iso
from lab.workflows.options import ROOT, Options, load_lab

Value = TypeVar("Value")
Item = TypeVar("Item")

STATE_FILE = "state.json"


@dataclass(frozen=True)
class Session:
    """A lab as one run works on it.

    Args:
        lab: the model, with its accelerator.
        options: what was asked for.
        secrets: the lab's secrets.
        folder: ``build/<lab>``.
        reporter: says and records what is done.
    """

    lab: Lab
    options: Options
    secrets: Secrets
    folder: Path
    reporter: Reporter

    def shell(self, member: Node | Guest | str) -> Shell:
        """Root's shell on a node or guest."""
        host = member if isinstance(member, str) else member.domain if isinstance(member, Guest) else member.name
        return Shell(host, self.folder / "ssh_config", ROOT)

    @property
    def state_path(self) -> Path:
        """The note of what was rendered and with which accelerator."""
        return self.folder / STATE_FILE

    def on_each(self, items: Sequence[Item], work: Callable[[Item], Value]) -> list[Value]:
        """Do the work for every item side by side; all end before the first failure is raised."""
        if not items:
            return []
        with ThreadPoolExecutor(max_workers=len(items)) as pool:
            futures = [pool.submit(work, item) for item in items]
        return [future.result() for future in futures]


def lab_secrets(options: Options, lab: Lab, folder: Path) -> Secrets:
    """The lab's secrets: given ones, those made before or kept with its saves, or new ones."""
    secrets = keys.load_secrets(options.secrets, lab) if options.secrets else None
    if options.secrets and secrets is None:
        raise LabError(
            f"there is no {keys.VALUES_FILE} in {options.secrets}",
            remedy="Give a folder that an earlier lab left as build/<lab>/secrets",
            exit_code=2,
        )
    own = folder / "secrets"
    if secrets is not None and kept_state(folder).get("tree") and keys.load_secrets(own, lab) not in (None, secrets):
        # Written over those that the nodes have, they would lock everybody out.
        raise LabError(
            f"the lab {lab.name} has been built with other secrets than those in {options.secrets}",
            remedy=f"Leave out --secrets, or remove the lab with ./inv lab.down --no-cache --name {lab.name}",
            exit_code=2,
        )
    if secrets is None:
        secrets = keys.load_secrets(own, lab)
    if secrets is None:
        # Those of the saves that an earlier lab.down has kept: with others, nothing of them could be used.
        secrets = kept_saves.secrets_of(lab) or keys.make_secrets(lab)
    keys.mask_secrets(secrets)
    keys.save_secrets(own, secrets)
    return secrets


def rendered(session: Session) -> dict[str, bytes]:
    """The complete tree of the session's lab."""
    folder = session.folder.resolve()
    directory = folder.relative_to(ROOT).as_posix() if folder.is_relative_to(ROOT) else folder.as_posix()
    return render_lab(
        session.lab,
        session.secrets,
        planned_images(session.lab),
        load_templates(ROOT),
        make_iso=make_iso,
        directory=directory,
    )


def write_rendered(session: Session, tree: dict[str, bytes]) -> list[str]:
    """Write the tree to ``build/<lab>``; returns what was new or different."""
    return files.write_tree(session.folder, tree, is_secret)


def kept_state(folder: Path) -> dict[str, Any]:
    """What an earlier run noted about this lab; empty when there was none."""
    state = files.read_json(folder / STATE_FILE)
    return state if isinstance(state, dict) else {}


@contextmanager
def open_session(
    options: Options, verb: str, *, accelerator: Accelerator | None = None, make_secrets: bool = False
) -> Iterator[Session]:
    """A session for one run of a verb; the reporter is closed at the end, and an error is recorded.

    Args:
        options: what was asked for.
        verb: what the run does.
        accelerator: the one chosen now; None takes the one that the lab was built with.
        make_secrets: make secrets when there are none (``up`` and ``render``).

    Raises:
        LabError: bad input, or no such lab has been built here.
    """
    lab = load_lab(options)
    folder = options.build / lab.name
    known = kept_state(folder).get("accelerator")
    lab = with_accelerator(lab, accelerator or ("kvm" if known == "kvm" else "tcg"))
    if make_secrets:
        secrets = lab_secrets(options, lab, folder)
    else:
        found = keys.load_secrets(folder / "secrets", lab)
        if found is None:
            raise LabError(f"there is no lab {lab.name} here", remedy=f"Build it with {options.up_command}")
        keys.mask_secrets(found)
        secrets = found
    reporter = open_reporter(options.build, lab.name, verb)
    try:
        yield Session(lab, replace(options), secrets, folder, reporter)
    except LabError as error:
        reporter.failed(error)
        raise
    finally:
        reporter.close()
