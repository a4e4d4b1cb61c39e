"""Volumes of libvirt filled and read through streams; holes stay holes (virStreamSparseSendAll)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import libvirt

BLOCK_BYTES = 1_000_000


def fill(connection: Any, volume: Any, content: Path | bytes) -> None:
    """Fill a new volume.

    Args:
        connection: libvirt connection that the volume is of.
        volume: libvirt volume, as large as the content.
        content: a file on this machine, or bytes.

    Raises:
        libvirt.libvirtError: the stream broke.
        OSError: the file cannot be read.
    """
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if not size:
        return
    sparse = 0 if isinstance(content, bytes) else libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM
    stream = connection.newStream(0)
    volume.upload(stream, 0, size, sparse)
    try:
        if isinstance(content, bytes):
            _send_bytes(stream, content)
        else:
            _send_file(stream, content)
    except BaseException:
        # The binding has aborted it already where its own loop failed.
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    stream.finish()


def _send_bytes(stream: Any, content: bytes) -> None:
    view = memoryview(content)
    while view:
        sent = stream.send(bytes(view[:BLOCK_BYTES]))
        view = view[sent:]


def _send_file(stream: Any, path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:

        def read(_stream: Any, count: int, _opaque: Any) -> bytes:
            return os.read(descriptor, count)

        def hole(_stream: Any, _opaque: Any) -> tuple[bool, int]:
            here = os.lseek(descriptor, 0, os.SEEK_CUR)
            size = os.fstat(descriptor).st_size
            if here >= size:
                return False, 0
            try:
                data = os.lseek(descriptor, here, os.SEEK_DATA)
            except OSError:
                os.lseek(descriptor, here, os.SEEK_SET)
                return False, size - here
            if data > here:
                os.lseek(descriptor, here, os.SEEK_SET)
                return False, data - here
            end = os.lseek(descriptor, here, os.SEEK_HOLE)
            os.lseek(descriptor, here, os.SEEK_SET)
            return True, end - here

        def skip(_stream: Any, length: int, _opaque: Any) -> int:
            os.lseek(descriptor, length, os.SEEK_CUR)
            return 0

        stream.sparseSendAll(read, hole, skip, None)
    finally:
        os.close(descriptor)


def size_of(volume: Any) -> int:
    """Size of the file or device that a volume is, in bytes; not that of the disk which a node sees in it."""
    return int(volume.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])


def blocks_of(connection: Any, volume: Any, size: int) -> Iterator[bytes]:
    """The content of a volume, piece by piece.

    Args:
        connection: libvirt connection that the volume is of.
        volume: libvirt volume.
        size: how many bytes, from its beginning.

    Raises:
        libvirt.libvirtError: the stream broke.
        EOFError: the volume is shorter.
    """
    stream = connection.newStream(0)
    volume.download(stream, 0, size, 0)
    left = size
    try:
        while left:
            block = stream.recv(min(left, BLOCK_BYTES))
            if not block:
                raise EOFError(f"{volume.name()} is shorter than it was")
            left -= len(block)
            yield block
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    # The end has to be read, or the stream cannot be finished.
    while stream.recv(BLOCK_BYTES):
        pass
    stream.finish()


def fill_with(connection: Any, volume: Any, blocks: Iterable[bytes], size: int) -> None:
    """Fill a new volume with pieces; pieces of zeros become holes.

    Args:
        connection: libvirt connection that the volume is of.
        volume: libvirt volume.
        blocks: its content.
        size: length of all pieces together.

    Raises:
        libvirt.libvirtError: the stream broke.
    """
    stream = connection.newStream(0)
    volume.upload(stream, 0, size, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
    try:
        for block in blocks:
            if not block.strip(b"\0"):
                stream.sendHole(len(block), 0)
            else:
                _send_bytes(stream, block)
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    stream.finish()
