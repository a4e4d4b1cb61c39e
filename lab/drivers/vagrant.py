"""Vagrant with its plugin vagrant-libvirt, through python-vagrant; every process of it goes through the project's door.

python-vagrant knows Vagrant's command line and reads its output. It would start processes without a deadline, which
outlive a killed command, so the three methods by which it does so are replaced here.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.core.errors import LabError
from lab.core.vagrant_plan import HOME, box_archive, box_folder, catalogue_text
from lab.doors import files
from lab.doors.process import ProcessError, Result, follow, run

# At import python-vagrant complains about a missing program; that is said better below.
logging.getLogger("vagrant").addHandler(logging.NullHandler())
import vagrant  # noqa: E402

PLUGIN = "vagrant-libvirt"
PROVIDER = "libvirt"
INSTALL = (
    "./inv lab.up --driver vagrant installs it; by hand: apt-get install --no-install-recommends vagrant " + PLUGIN
)
#: Vagrant itself needs a second or two, on a busy machine many.
COMMAND_LIMIT_S = 120.0
_QEMU_IMG_LIMIT_S = 30.0


class Vagrant(vagrant.Vagrant):
    """Vagrant in one folder, with a home of its own in it.

    Args:
        folder: where the Vagrantfile is: ``build/<lab>``.
        on_line: told each line that a long command prints.
    """

    def __init__(self, folder: Path, on_line: Callable[[str], None] = lambda _line: None) -> None:
        super().__init__(root=str(folder))
        self.folder = folder.absolute()
        self._on_line = on_line
        self._end: Callable[[], None] = lambda: None
        self._abandoned = False
        self.limit_s = COMMAND_LIMIT_S

    def validate(self, directory: Path | None = None) -> None:
        """Have Vagrant and the plugin judge the Vagrantfile.

        Raises:
            LabError: they find fault with it; with their words.
        """
        self._run(["validate"], cwd=directory)

    def bring_up(self, node: str | None, limit_s: float) -> None:
        """``vagrant up`` of one node, or of all side by side; returns when they answer ssh.

        Args:
            node: name of the node; None for all.
            limit_s: deadline in seconds; Vagrant has one of its own for the boot.

        Raises:
            LabError: it failed; what there is of the nodes stays, to be looked at.
        """
        self.limit_s = limit_s
        try:
            self.up(vm_name=node, provider=PROVIDER)
        finally:
            self.limit_s = COMMAND_LIMIT_S

    def abandon(self) -> None:
        """End what another thread has it do, now and later; nothing happens when it does nothing."""
        self._abandoned = True
        self._end()

    def _started(self, end: Callable[[], None]) -> None:
        self._end = end
        if self._abandoned:
            end()

    def _call_vagrant_command(self, args: Sequence[str | None]) -> None:
        more = ["--no-destroy-on-error"] if args[0] == "up" else []
        result = follow(
            self._words([*args, *more]),
            timeout_s=self.limit_s,
            on_line=self._on_line,
            env=environment(self.folder),
            cwd=self.folder,
            on_start=self._started,
        )
        self._end = lambda: None
        if not result.ok:
            raise _failure(args, result)

    def _run_vagrant_command(self, args: Sequence[str | None]) -> str:
        return self._run(args).stdout

    def _stream_vagrant_command(self, args: Sequence[str | None]) -> Any:
        raise NotImplementedError("lines are handed over by on_line")

    def _run(self, args: Sequence[str | None], cwd: Path | None = None) -> Result:
        words, where = self._words(args), cwd or self.folder
        result = run(words, timeout_s=COMMAND_LIMIT_S, check=False, env=environment(self.folder), cwd=where)
        if not result.ok:
            raise _failure(args, result)
        return result

    def _words(self, args: Sequence[str | None]) -> list[str]:
        # The kernel ends it with this process: a Vagrant that goes on alone would make nodes that lab.down has removed.
        return ["setpriv", "--pdeathsig", "KILL", _program(), *(word for word in args if word is not None)]


def environment(folder: Path) -> dict[str, str]:
    """Variables for Vagrant: a home of its own, no colours, and nothing that asks a server on the Internet."""
    return {
        "VAGRANT_HOME": str(folder.absolute() / HOME),
        "VAGRANT_DEFAULT_PROVIDER": PROVIDER,
        "VAGRANT_NO_COLOR": "1",
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_BOX_UPDATE_CHECK_DISABLE": "1",
    }


def _program() -> str:
    found = shutil.which("vagrant")
    if found is None:
        raise LabError("Vagrant is not installed", remedy=INSTALL)
    return found


def require(folder: Path) -> None:
    """Vagrant is there, and so is its plugin.

    Args:
        folder: ``build/<lab>``, where Vagrant keeps its notes.

    Raises:
        LabError: one of them is missing.
    """
    _program()
    folder.mkdir(parents=True, exist_ok=True)
    plugins = {plugin.name for plugin in Vagrant(folder).plugin_list()}
    if PLUGIN not in plugins:
        raise LabError(f"Vagrant has no plugin {PLUGIN}", remedy=INSTALL)


def _failure(args: Sequence[str | None], result: Result) -> ProcessError:
    # Vagrant prints most of its errors to standard error, and prefixes the lines of a node with its name.
    text = "\n".join((result.stdout + result.stderr).strip().splitlines()[-20:])
    told = Result(result.argv, result.returncode, text, "", result.duration_s)
    what = " ".join(word for word in args if word is not None)
    return ProcessError(
        f"`vagrant {what}` failed with exit code {result.returncode}", told, remedy="See logs/vagrant.log of the lab"
    )


# Boxes


def pack_box(image: Path, base: tuple[str, str], target: Path) -> None:
    """Write the box of a node image: a thin qcow2 file upon the image's volume, so that nothing of it is copied.

    Args:
        image: the image, for its size.
        base: path and format of its volume, which the box refers to.
        target: the box file.

    Raises:
        LabError: qemu-img fails, or the file cannot be written.
    """
    shown = run(["qemu-img", "info", "-U", "--output=json", str(image)], timeout_s=_QEMU_IMG_LIMIT_S).stdout
    size_bytes = int(json.loads(shown)["virtual-size"])
    target.parent.mkdir(parents=True, exist_ok=True)
    thin = target.with_suffix(".thin")
    try:
        path, kind = base
        # -u: the volume need not be there yet.
        words = ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F", kind, "-b", path, str(thin), str(size_bytes)]
        run(words, timeout_s=_QEMU_IMG_LIMIT_S)
        files.write_atomically(target, box_archive(thin.read_bytes(), size_bytes))
    finally:
        thin.unlink(missing_ok=True)


def add_box(program: Vagrant, name: str, box: Path, catalogue: Path) -> None:
    """Have Vagrant know a box, unless it does; nothing is downloaded.

    Args:
        program: Vagrant in the lab's folder.
        name: name of the box.
        box: the box file.
        catalogue: where the document goes that gives the box a version; the Vagrantfile refers to it.

    Raises:
        LabError: Vagrant refuses it.
    """
    files.write_atomically(catalogue, catalogue_text(name, str(box.absolute())).encode())
    if not (program.folder / HOME / "boxes" / box_folder(name)).is_dir():
        program.box_add(name, str(catalogue.absolute()), provider=PROVIDER)
