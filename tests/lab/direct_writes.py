"""Run on a node: are blocks that were written directly, beside a flush, really on the disk?

A guest's QEMU with ``cache='none'`` takes 64 KiB at a time from the file system and writes them with O_DIRECT from
several threads, in any order, and flushes meanwhile. Where a cluster of OCFS2 is larger and its second half is
written first, the kernel fills the first one with zeros in the page cache (6.1, fs/ocfs2/aops.c). A flush at that
moment takes these pages for clean, because they are behind the end of the file, and leaves their buffers dirty. A
write into the first half then goes through the page cache, finds the buffers dirty already (fs/buffer.c,
mark_buffer_dirty) and never reaches the disk. The file reads well until the cache is dropped.

Argument: a file to be written and removed. Prints how many of how many halves are not on the disk.
"""

import mmap
import os
import sys
import threading
from pathlib import Path

HALF = 64 * 1024
PAIRS = 24


def main(path: str) -> None:
    """Write pairs of halves, the second one first, while another thread flushes; read them back past the cache."""
    buffer = mmap.mmap(-1, HALF)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_DIRECT, 0o600)
    done = threading.Event()

    def flush() -> None:
        while not done.is_set():
            os.fdatasync(descriptor)

    flushing = threading.Thread(target=flush)
    flushing.start()
    for pair in range(PAIRS):
        for half in (2 * pair + 1, 2 * pair):
            buffer[:] = bytes([1 + half]) * HALF
            os.pwritev(descriptor, [buffer], half * HALF)
    done.set()
    flushing.join()
    lost = 0
    for half in range(2 * PAIRS):
        os.preadv(descriptor, [buffer], half * HALF)
        lost += buffer[:] != bytes([1 + half]) * HALF
    Path(path).unlink()
    print(f"{lost} of {2 * PAIRS} lost")


if __name__ == "__main__":
    main(sys.argv[1])
