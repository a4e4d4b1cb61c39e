"""The notes of labs that are down with their saves kept: ``~/.cache/ha-lab/ready/<lab>``, readable by their owner only.

``manifest.json`` is written last and removed first, so that a killed run never leaves one that vouches for too much.
While there is one, no node of the lab has run since it was written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from lab.core.errors import LabError
from lab.core.kept import Kept, as_document, parse
from lab.core.model import Lab, Secrets
from lab.doors import files
from lab.drivers import keys
from lab.drivers.hypervisor import Hypervisor
from lab.drivers.lab_images import cache_folder

_MANIFEST = "manifest.json"
_INCOMING = "incoming.json"
#: There when the next run of the lab is to replace its secrets.
_RENEW = "renew.json"


def place() -> Path:
    """The folder that has one folder for each lab."""
    return cache_folder().parent / "ready"


def names() -> list[str]:
    """The labs that something is kept of, also half of something."""
    return sorted(path.name for path in place().iterdir() if path.is_dir()) if place().is_dir() else []


def find(lab: str) -> Kept | None:
    """What is kept of a lab; None when nothing is, or not all of it."""
    folder = place() / lab
    try:
        kept = parse((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = kept.lab == lab and (folder / "secrets" / keys.VALUES_FILE).exists()
    return kept if whole else None


def secrets_of(lab: Lab) -> Secrets | None:
    """The secrets that are kept with a lab's saves; None when there are none that fit its nodes."""
    if find(lab.name) is None:
        return None
    try:
        return keys.load_secrets(place() / lab.name / "secrets", lab)
    except LabError:
        return None


def wants_renewal(lab: str) -> bool:
    """Whether the lab's secrets are to be renewed when it has started from what is kept."""
    return (place() / lab / _RENEW).exists() and find(lab) is not None


def want_renewal(lab: str) -> None:
    """Have the secrets of a kept lab renewed when it has started."""
    files.write_json(place() / lab / _RENEW, {"lab": lab})


def store(kept: Kept, secrets: Secrets, *, renew: bool = False) -> None:
    """Note what is kept of a lab; the nodes are off, and do not run again before :func:`discard`.

    Args:
        kept: what is kept.
        secrets: the secrets that its saves were made with.
        renew: have these secrets replaced when the lab has started.

    Raises:
        LabError: it cannot be written.
    """
    folder = place() / kept.lab
    discard(kept.lab)
    keys.save_secrets(folder / "secrets", secrets)
    folder.chmod(0o700)
    if renew:
        want_renewal(kept.lab)
    files.write_json(folder / _MANIFEST, as_document(kept), files.SECRET_MODE)


def discard(lab: str) -> bool:
    """Forget what is kept of a lab, not its disks; returns whether there was anything."""
    folder = place() / lab
    if not folder.is_dir():
        return False
    (folder / _MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder)
    return True


@contextmanager
def incoming(lab: str) -> Iterator[None]:
    """While disks of a lab come from elsewhere: a killed run leaves a name that ``lab.list`` and others find."""
    folder = place() / lab
    files.write_json(folder / _INCOMING, {"lab": lab})
    folder.chmod(0o700)
    yield
    (folder / _INCOMING).unlink(missing_ok=True)


def processor(hypervisor: Hypervisor, accelerator: str) -> tuple[str, tuple[str, ...]]:
    """The CPU that nodes see on this host, and what it can do beyond libvirt's model of it, sorted.

    Both are empty when it is an emulated one, which is the same everywhere.
    """
    if accelerator != "kvm":
        return "", ()
    cpu = ElementTree.fromstring(hypervisor.connection.getCapabilities()).find("./host/cpu")
    if cpu is None:
        return "unknown", ()
    features = sorted(feature.get("name", "") for feature in cpu.iterfind("feature"))
    digest = hashlib.sha256(json.dumps(features).encode()).hexdigest()[:8]
    return f"{cpu.findtext('vendor', '')} {cpu.findtext('model', '')} {digest}", tuple(features)
