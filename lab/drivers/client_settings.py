"""Settings of this host's package clients and its certificates, as files for another machine; no registry is named."""

from __future__ import annotations

import configparser
import os
import platform
from collections.abc import Iterable
from pathlib import Path

from lab.core.errors import LabError
from lab.core.workstation import clients
from lab.doors.process import run

SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))
#: Keys that sources name by path, and those that apt trusts anyway.
KEYRINGS = (Path("/etc/apt/keyrings"), Path("/etc/apt/trusted.gpg.d"))
CERTIFICATES = Path("/usr/local/share/ca-certificates")


def settings(suite: str) -> dict[str, bytes]:
    """Every file by its path on the machine, without a leading slash.

    Args:
        suite: code name of the machine's release.

    Raises:
        LabError: a file of this host is not in its program's form.
    """
    environment = dict(os.environ)
    dump = run(["apt-config", "dump"], timeout_s=20, check=False).stdout
    found: dict[str, bytes] = {
        "etc/apt/apt.conf.d/90host": (clients.apt_settings(dump) + clients.apt_proxies(environment)).encode(),
        "etc/environment": clients.environment_file(environment).encode(),
        "etc/pip.conf": _pip(environment).encode(),
    }
    sources = {path.as_posix(): path.read_text(errors="replace") for path in _files(SOURCES)}
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    for name, text in clients.apt_sources(sources, codename, suite).items():
        found[name.lstrip("/")] = text.encode()
    if any(name.startswith("etc/apt/sources.list.d/") for name in found):
        # What the image was made with would count twice.
        found.setdefault("etc/apt/sources.list", b"")
    for path in _files(KEYRINGS):
        found[path.as_posix().lstrip("/")] = path.read_bytes()
    if CERTIFICATES.is_dir():
        for path in sorted(CERTIFICATES.rglob("*.crt")):
            found[path.as_posix().lstrip("/")] = path.read_bytes()
    return found


def _pip(environment: dict[str, str]) -> str:
    """Pip's files in the order in which they count: global, the user's, and the one that PIP_CONFIG_FILE names."""
    home = Path.home()
    places = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf"]
    places += [Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"]
    places += [Path(one) for one in [environment.get("PIP_CONFIG_FILE", "")] if one]
    texts = {path.as_posix(): path.read_text() for path in places if path.is_file()}
    try:
        return clients.pip_settings(texts)
    except configparser.Error as error:
        raise LabError(
            f"pip's settings cannot be read: {error}", remedy="`pip config debug` shows the files"
        ) from error


def _files(places: Iterable[Path]) -> list[Path]:
    found = []
    for place in places:
        found += sorted(place.iterdir()) if place.is_dir() else [place]
    return [path for path in found if path.is_file() and os.access(path, os.R_OK)]
