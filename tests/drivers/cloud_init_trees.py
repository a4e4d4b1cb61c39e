"""cloud-init without installing it: Debian's package ``cloud-init`` and the Python packages it needs, unpacked.

Installed on the host it would come with services that reconfigure the host at its next boot. ``apt-get`` gets the
packages from the sources that the host uses, with a state of its own, so neither root nor fresh lists are needed.
cloud-init before 24.1 (Debian 12 has 22.4) knows no schema for network-config; there Debian 13's is unpacked as well.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lab.doors.process import Result, run

#: What `import cloudinit` needs; all of it Python.
NEEDED = (
    *("python3-attr", "python3-certifi", "python3-chardet", "python3-charset-normalizer", "python3-configobj"),
    *("python3-idna", "python3-jinja2", "python3-json-pointer", "python3-jsonpatch", "python3-jsonschema"),
    *("python3-markupsafe", "python3-netifaces", "python3-oauthlib", "python3-pyrsistent", "python3-requests"),
    *("python3-six", "python3-urllib3", "python3-yaml"),
)
FIRST_WITH_NETWORK_SCHEMA = (24, 1)
NEWER_SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MODULES = "usr/lib/python3/dist-packages"


@dataclass(frozen=True)
class CloudInit:
    """An unpacked cloud-init.

    Args:
        trees: folders with unpacked packages; the first one wins.
    """

    trees: tuple[Path, ...]

    def run(self, *argv: str, check: bool = True) -> Result:
        """``cloud-init ARGV``."""
        path = os.pathsep.join(str(tree / MODULES) for tree in self.trees)
        command = ["/usr/bin/python3", "-m", "cloudinit.cmd.main", *argv]
        return run(command, timeout_s=60, env={"PYTHONPATH": path}, check=check)

    def version(self) -> tuple[int, ...]:
        """Such as ``(22, 4, 2)``."""
        words = (self.run("--version").stdout + self.run("--version").stderr).split()
        return tuple(int(part) for part in words[-1].split("-")[0].split("."))


class Apt:
    """apt-get with a state of its own below a folder, from the host's sources or from one given line."""

    def __init__(self, folder: Path, source: str = "") -> None:
        for name in ("state/lists/partial", "cache/archives/partial", "packages"):
            (folder / name).mkdir(parents=True)
        self.packages = folder / "packages"
        # An empty status: what is installed on the host has no say in what is downloaded.
        options = [f"Dir::State={folder}/state", "Dir::State::status=/dev/null", f"Dir::Cache={folder}/cache"]
        options += ["APT::Sandbox::User=", "Debug::NoLocking=1"]
        if source:
            (folder / "sources.list").write_text(source + "\n")
            options += [f"Dir::Etc::sourcelist={folder}/sources.list", "Dir::Etc::sourceparts=/dev/null"]
        self._options = [word for option in options for word in ("-o", option)]
        self._get("update")

    def _get(self, *argv: str) -> Result:
        remedy = "These tests need the package sources that `./inv` installs from"
        return run(["apt-get", "-q", *self._options, *argv], timeout_s=180, cwd=self.packages, remedy=remedy)

    def site(self) -> str:
        """Where the host's release comes from."""
        argv = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"]
        lines = [line.split() for line in run(argv, timeout_s=30).stdout.splitlines()]
        return next(words[0] for words in lines if len(words) == 2 and "-" not in words[1])

    def unpack(self, names: tuple[str, ...], tree: Path) -> Path:
        """Download packages and unpack them into a folder."""
        self._get("download", *names)
        for package in sorted(self.packages.glob("*.deb")):
            run(["dpkg-deb", "-x", str(package), str(tree)], timeout_s=60)
        return tree


def unpacked(folder: Path) -> tuple[CloudInit, CloudInit]:
    """The host's release's cloud-init, and one that knows the schema of network-config (may be the same)."""
    apt = Apt(folder / "own")
    needed = apt.unpack((*NEEDED, "cloud-init"), folder / "tree")
    own = CloudInit((needed,))
    if own.version() >= FIRST_WITH_NETWORK_SCHEMA:
        return own, own
    newer = Apt(folder / "newer", f"deb [signed-by={KEYRING}] {apt.site()} {NEWER_SUITE} main")
    return own, CloudInit((newer.unpack(("cloud-init",), folder / "newer-tree"), needed))
