"""Filling libvirt volumes through streams: bytes, or a file whose holes stay holes (virStreamSparseSendAll)."""

from __future__ import annotations

import contextlib
import os
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
