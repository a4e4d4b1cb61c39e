"""A bundle: a lab's saves in one file that another machine takes in. Its members, their order, and what is believed.

A bundle is a tar archive compressed by zstd. Names and order of the members follow from the lab that its manifest
describes; a bundle with others is refused, and names in it are compared, never used.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.core.kept import Kept, as_document, from_document

FORMAT = "ha-lab bundle 1"
MANIFEST, SECRETS, DIGESTS = "manifest.json", "secrets.json", "digests.json"
DOCUMENTS = (MANIFEST, SECRETS, DIGESTS)
BLOCK_BYTES = tarfile.BLOCKSIZE
LARGEST_DOCUMENT_BYTES = 16 * 2**20
LARGEST_MEMBER_BYTES = 128 * 2**30
_DIGEST_LENGTH = len(hashlib.sha256().hexdigest())


@dataclass(frozen=True)
class Bundle:
    """What the manifest of a bundle says.

    Args:
        kept: the lab and its saves.
        sizes: size of each volume in bytes by the name of its member, in their order.
    """

    kept: Kept
    sizes: Mapping[str, int]

    @property
    def size_bytes(self) -> int:
        """Size of all volumes."""
        return sum(self.sizes.values())


def image_member(volume: str) -> str:
    """Name of the member that holds a volume of the cache pool."""
    return f"images/{volume}"


def disk_member(volume: str) -> str:
    """Name of the member that holds a disk of a node."""
    return f"disks/{volume}"


def disk_volumes(nodes: Sequence[str]) -> list[str]:
    """Names of the volumes that hold what nodes have written."""
    return [f"{node}-{part}.qcow2" for node in nodes for part in ("system", "storage")]


def members(nodes: Sequence[str], images: Sequence[str]) -> list[str]:
    """The volumes in the bundle of a lab, as names of members, in their order.

    Args:
        nodes: names of the lab's nodes.
        images: names of the volumes of the cache pool that it needs.
    """
    return [*map(image_member, sorted(images)), *map(disk_member, disk_volumes(nodes))]


def manifest_text(bundle: Bundle) -> str:
    """The manifest as JSON."""
    sizes = [{"name": name, "size": size} for name, size in bundle.sizes.items()]
    document = {"format": FORMAT, "kept": as_document(bundle.kept), "members": sizes}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def parse_manifest(raw: bytes) -> Bundle:
    """The manifest of a bundle.

    Raises:
        ValueError: it is none, or one that this version does not read; says why.
    """
    document = _document(raw, MANIFEST)
    if document.get("format") != FORMAT:
        raise ValueError(f"it is of the format {_shown(document.get('format'))}, and this version reads {FORMAT!r}")
    try:
        kept = from_document(document.get("kept"))
    except ValueError as error:
        raise ValueError(f"{MANIFEST}: {error}") from error
    entries = document.get("members")
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{MANIFEST}: members: no list")
    sizes: dict[str, int] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.keys() != {"name", "size"} or not isinstance(entry["name"], str):
            raise ValueError(f"{MANIFEST}: members: an entry is not a name and a size")
        size = entry["size"]
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= LARGEST_MEMBER_BYTES:
            raise ValueError(f"{MANIFEST}: members: {_shown(entry['name'])} has the size {_shown(size)}")
        if entry["name"] in sizes:
            raise ValueError(f"{MANIFEST}: members: {_shown(entry['name'])} is there twice")
        sizes[entry["name"]] = size
    return Bundle(kept, sizes)


def digests_text(digests: Mapping[str, str]) -> str:
    """The last member: the SHA-256 of each other one by its name, as JSON."""
    return json.dumps({"sha256": dict(digests)}, indent=1, sort_keys=True) + "\n"


def parse_digests(raw: bytes) -> dict[str, str]:
    """The SHA-256 of each member by its name.

    Raises:
        ValueError: it is no such table; says why.
    """
    table = _document(raw, DIGESTS).get("sha256")
    if not isinstance(table, dict) or not all(
        isinstance(text, str) and len(text) == _DIGEST_LENGTH for text in table.values()
    ):
        raise ValueError(f"{DIGESTS}: no table of digests")
    return table


def header(name: str, size: int) -> bytes:
    """The header block of one member (tar(5), GNU form, so that sizes have no limit)."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    block = info.tobuf(tarfile.GNU_FORMAT)
    if len(block) != BLOCK_BYTES:
        raise ValueError(f"{name} is too long for the name of a member")
    return block


def parse_header(block: bytes) -> tuple[str, int]:
    """Name and size of the member that a header block begins.

    Raises:
        ValueError: it is damaged, or not that of a plain file.
    """
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise ValueError(f"a header in it is damaged ({error})") from error
    if not info.isreg() or info.size < 0:
        raise ValueError(f"{_shown(info.name)} in it is not a plain file")
    return info.name, info.size


def padding(size: int) -> int:
    """Number of zero bytes behind a member of this size."""
    return -size % BLOCK_BYTES


#: What an archive ends with.
END = bytes(2 * BLOCK_BYTES)


def _document(raw: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON") from error
    if not isinstance(document, dict):
        raise ValueError(f"{name} is no JSON object")
    return document


def _shown(value: object) -> str:
    """A value from elsewhere, in a message: quoted and short."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def member_fault(wanted: Sequence[str], found: Sequence[str]) -> str:
    """Why the members of a bundle are not those of its lab; empty when they are."""
    if list(wanted) == list(found):
        return ""
    for name in found:
        if name not in wanted:
            return f"it has the member {_shown(name)}, which does not belong to its lab"
    missing = [name for name in wanted if name not in found]
    return f"the member {missing[0]} is missing" if missing else "its members are in another order"
