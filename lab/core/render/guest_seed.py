"""The personal files of a guest, as a tar archive that is a raw disk of the guest.

The guest's init unpacks the disk over ``/`` at every boot, so one image serves every lab. Templates come from
``cloudinit/guests/common`` and ``cloudinit/guests/<service>``; the path below those folders minus ``.j2`` is the path
in the guest.
"""

from __future__ import annotations

import io
import tarfile

from lab.core.render.engine import SUFFIX, Engine
from lab.core.render.facts import Values
from lab.core.render.modes import FileMode, parse_modes

GUESTS = "cloudinit/guests/"
MODES = GUESTS + "modes.yaml"
COMMON = "common"
BLOCK_BYTES = 1024 * 1024
HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


def guest_files(engine: Engine, values: Values, service: str) -> dict[str, bytes]:
    """The files of a guest, by path in the guest; a file of the service replaces a common one of the same path.

    Args:
        engine: templates.
        values: as of :func:`lab.core.render.guests.guest_template_values`.
        service: kind of the guest, such as ``dns``.
    """
    files: dict[str, bytes] = {}
    for folder in (f"{GUESTS}{COMMON}/", f"{GUESTS}{service}/"):
        for name in engine.below(folder):
            if name.endswith(SUFFIX):
                files[name.removeprefix(folder).removesuffix(SUFFIX)] = engine.text(name, values).encode()
    return files


def seed_tar(engine: Engine, values: Values, service: str) -> bytes:
    """The archive: entries sorted, no times, numbers for owners, padded with zeros to a whole MiB (a disk's size).

    Args:
        engine: templates.
        values: as for :func:`guest_files`.
        service: kind of the guest.
    """
    modes = parse_modes(MODES, engine.templates.get(MODES, ""))
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in sorted(guest_files(engine, values, service).items()):
            mode = modes.get(path, FileMode())
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.uid, entry.gid = len(content), mode.mode, mode.uid, mode.gid
            archive.addfile(entry, io.BytesIO(content))
    data = written.getvalue()
    return data + bytes(-len(data) % BLOCK_BYTES)
