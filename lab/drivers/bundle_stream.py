"""Writing and reading bundles as streams: each byte once, with the SHA-256 of every member on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import IO

from lab.core import bundle
from lab.core.errors import LabError

_READ_BYTES = 2**20

COMPRESS = ("zstd", "-q", "-3", "-T0", "--check", "-c")
EXPAND = ("zstd", "-q", "-d", "-c")


class BundleError(LabError):
    """A bundle that is damaged, incomplete, or none at all."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the bundle cannot be taken in: {why}",
            remedy="Copy or export the bundle again; nothing was changed here",
            exit_code=2,
        )


class Writer:
    """Writes the members of a bundle, in the order in which they are added.

    Args:
        stream: where it goes.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digests: dict[str, str] = {}

    def add(self, name: str, size: int, blocks: Iterable[bytes]) -> None:
        """One member.

        Args:
            name: its name.
            size: its size in bytes.
            blocks: its content.

        Raises:
            EOFError: the content is not as long as was said.
        """
        self._stream.write(bundle.header(name, size))
        digest, written = hashlib.sha256(), 0
        for block in blocks:
            digest.update(block)
            written += len(block)
            self._stream.write(block)
        if written != size:
            raise EOFError(f"{name} has {written} bytes, not {size}")
        self._stream.write(bytes(bundle.padding(size)))
        self._digests[name] = digest.hexdigest()

    def close(self) -> dict[str, str]:
        """The digests of all members as the last one, and the end; returns the digests."""
        text = bundle.digests_text(self._digests).encode()
        known = dict(self._digests)
        self.add(bundle.DIGESTS, len(text), [text])
        self._stream.write(bundle.END)
        self._stream.flush()
        return known


class Reader:
    """Reads the members of a bundle, in the order in which they have to be.

    Args:
        stream: where it comes from.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digests: dict[str, str] = {}

    def document(self, name: str) -> bytes:
        """A member that is short and has to be of this name.

        Raises:
            BundleError: it is not there, or too long.
        """
        size = self._begin(name)
        if size > bundle.LARGEST_DOCUMENT_BYTES:
            raise BundleError(f"{name} in it is too long")
        return b"".join(self._content(name, size))

    def volume(self, name: str, size: int) -> Iterator[bytes]:
        """The content of a member that has to be of this name and size; it has to be read to its end.

        Raises:
            BundleError: it is not there, or not like that.
        """
        if self._begin(name) != size:
            raise BundleError(f"{name} in it has not the size that its manifest says")
        yield from self._content(name, size)

    def end(self) -> None:
        """Compare the digests of all members; nothing may follow.

        Raises:
            BundleError: a member is not what was exported.
        """
        found = dict(self._digests)
        try:
            wanted = bundle.parse_digests(self.document(bundle.DIGESTS))
        except ValueError as error:
            raise BundleError(str(error)) from error
        if wanted.keys() != found.keys():
            raise BundleError(f"{bundle.DIGESTS} names other members")
        if wrong := sorted(name for name in found if found[name] != wanted[name]):
            raise BundleError(f"{wrong[0]} in it is not what was exported (SHA-256)")
        if self._read(len(bundle.END)) != bundle.END or self._stream.read(1):
            raise BundleError("something follows behind its end")

    def _begin(self, name: str) -> int:
        try:
            found, size = bundle.parse_header(self._read(bundle.BLOCK_BYTES))
        except ValueError as error:
            raise BundleError(str(error)) from error
        if found != name:
            raise BundleError(f"it has the member {ascii(found)[:60]} where {name} has to be")
        return size

    def _content(self, name: str, size: int) -> Iterator[bytes]:
        digest, left = hashlib.sha256(), size
        while left:
            block = self._read(min(left, _READ_BYTES))
            left -= len(block)
            digest.update(block)
            yield block
        self._read(bundle.padding(size))
        self._digests[name] = digest.hexdigest()

    def _read(self, size: int) -> bytes:
        block = self._stream.read(size)
        if len(block) != size:
            raise BundleError("it ends too early, or is no bundle")
        return block
