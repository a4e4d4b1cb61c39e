"""Source packages from where the host's own packages come from, by apt-get; its lists of sources stay as they are.

apt checks signatures and sums. A directory of apt's own state is made for the purpose, so nothing of the host changes,
and no mirror is named here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.core.errors import LabError
from lab.core.proof.apt_sources import source_entries
from lab.doors.process import run

UPDATE_LIMIT_S = 300.0
FETCH_LIMIT_S = 600.0
UNPACK_LIMIT_S = 120.0
HOST_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))


def cache_folder() -> Path:
    """Where source packages are kept: ``$XDG_CACHE_HOME/ha-lab/sources``, else ``~/.cache/ha-lab/sources``."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "ha-lab" / "sources"


def unpacked(package: str, version: str, *, report: Callable[[str], None] = lambda _step: None) -> Path:
    """The original source of a package, fetched and unpacked unless it was before.

    Debian's patches are not applied: what is wanted of it here they do not touch.

    Args:
        package: name of the source package.
        version: its Debian version.
        report: told about each step.

    Returns:
        The directory of the source.

    Raises:
        LabError: it cannot be had; with what apt said.
    """
    home = cache_folder() / f"{package}-{version}"
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".work-", dir=home.parent))
        try:
            report(f"fetch the source package {package} {version}")
            _fetch(package, version, work)
            _unpack(work)
            # The name comes last: a run that was killed leaves none that is trusted.
            (work / "source").rename(home)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return home


def _fetch(package: str, version: str, work: Path) -> None:
    parts = work / "parts"
    parts.mkdir()
    files = [path for place in HOST_SOURCES for path in (sorted(place.iterdir()) if place.is_dir() else [place])]
    for number, path in enumerate(files):
        if path.suffix in (".list", ".sources") and path.is_file():
            text = source_entries(path.name, path.read_text(encoding="utf-8"))
            if text:
                (parts / f"{number:03}{path.suffix}").write_text(text, encoding="utf-8")
    for folder in ("lists/partial", "cache/archives/partial", "fetched"):
        (work / folder).mkdir(parents=True)
    options = [
        *("-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={parts}"),
        *("-o", f"Dir::State::Lists={work / 'lists'}", "-o", f"Dir::Cache={work / 'cache'}"),
        *("-o", "APT::Sandbox::User=root"),
    ]
    remedy = "It has to be in the host's package sources: the host needs the Debian suite of the nodes"
    # Sources of others without source packages are an error of the update, and none here.
    run(["apt-get", *options, "update"], timeout_s=UPDATE_LIMIT_S, check=False, remedy=remedy)
    run(
        ["apt-get", *options, "source", "--download-only", "--only-source", f"{package}={version}"],
        timeout_s=FETCH_LIMIT_S,
        cwd=work / "fetched",
        remedy=remedy,
    )


def _unpack(work: Path) -> None:
    originals = sorted((work / "fetched").glob("*.orig.tar.*"))
    if len(originals) != 1:
        raise LabError(f"{len(originals)} original archives were fetched, one was expected")
    target = work / "unpacked"
    target.mkdir()
    # GNU tar takes no name that leads out of the directory.
    run(
        ["tar", "--extract", "--no-same-owner", "--file", str(originals[0]), "--directory", str(target)],
        timeout_s=UNPACK_LIMIT_S,
    )
    inner = list(target.iterdir())
    (inner[0] if len(inner) == 1 else target).rename(work / "source")
