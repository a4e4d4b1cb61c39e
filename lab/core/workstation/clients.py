"""Settings of this host's package clients, for a machine that gets its packages from the same places. Pure.

Nothing about any registry is known here: what this host has is handed on, less what is meant for this host's disk.
"""

from __future__ import annotations

import configparser
import io
import re
from collections.abc import Mapping

#: Whole families of apt's settings that are defaults or only about what is shown to a person.
_LEFT_OUT = ("Acquire::Changelogs", "Acquire::CompressionTypes", "Acquire::IndexTargets", "Acquire::cdrom")
_SETTING = re.compile(r'^(Acquire::[\w:.-]+) "([^"]+)";$')
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")
#: Files that are at the same place on every Debian machine once the host's certificates are installed there.
_SAME_THERE = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs")


def apt_settings(dump: str) -> str:
    """What apt was told about fetching, from ``apt-config dump``, as a file of apt.conf.d.

    Args:
        dump: output of that command.
    """
    found = [match.groups() for line in dump.splitlines() if (match := _SETTING.match(line))]
    kept = [(name, value) for name, value in found if not name.startswith(_LEFT_OUT)]
    return "".join(f'{name} "{value}";\n' for name, value in kept)


def apt_proxies(environment: Mapping[str, str]) -> str:
    """Proxies of the environment as settings of apt: sudo drops those variables, and apt runs under sudo."""
    lower = {name.lower(): value for name, value in environment.items()}
    kinds = [(kind, lower.get(f"{kind}_proxy", "")) for kind in ("http", "https")]
    return "".join(f'Acquire::{kind}::Proxy "{url}";\n' for kind, url in kinds if url)


def apt_sources(files: Mapping[str, str], host_suite: str, suite: str) -> dict[str, str]:
    """Those files of this host's package sources that are of its release, for another release.

    Args:
        files: name to text, of sources.list and sources.list.d.
        host_suite: code name of this host's release.
        suite: code name of the machine's.

    Returns:
        Name to text; empty when this host's sources say nothing of a Debian release.
    """
    word = re.compile(rf"\b{re.escape(host_suite)}\b")
    wanted = {name: text for name, text in files.items() if name.endswith((".list", ".sources")) and word.search(text)}
    return {name: word.sub(suite, text) for name, text in wanted.items()} if host_suite else {}


def pip_settings(texts: Mapping[str, str]) -> str:
    """One pip.conf out of several, without what lies on this host's disk alone.

    Args:
        texts: path to text of pip's files, in the order in which they count; later ones win.

    Raises:
        configparser.Error: one is not in pip's form.
    """
    merged = configparser.RawConfigParser()
    for path, text in texts.items():
        merged.read_string(text, source=path)
    for section in merged.sections():
        for key, value in merged.items(section):
            kept = [word for word in value.split() if not _of_this_disk(word)]
            if kept:
                merged.set(section, key, "\n\t".join(kept) if len(kept) > 1 else kept[0])
            else:
                merged.remove_option(section, key)
    stream = io.StringIO()
    merged.write(stream)
    return stream.getvalue()


def environment_file(environment: Mapping[str, str]) -> str:
    """Proxies and pip's variables as lines of /etc/environment, which pam_env(8) reads at every login.

    Args:
        environment: this process's.
    """
    lines = []
    for name, value in sorted(environment.items()):
        of_pip = name.startswith("PIP_") and not any(_of_this_disk(word) for word in value.split())
        if value and "\n" not in value and '"' not in value and (name.lower() in PROXIES or of_pip):
            lines.append(f'{name}="{value}"\n')
    return "".join(lines)


def _of_this_disk(word: str) -> bool:
    return word.startswith(("file:", "/", "~", "./", "../")) and word not in _SAME_THERE
