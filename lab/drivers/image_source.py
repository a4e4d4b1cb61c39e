"""Images that are not baked: a local file or a download, taken only with the right SHA-256."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from lab.core.errors import LabError
from lab.core.model import ImageSource
from lab.drivers import image_cache
from lab.drivers.image_cache import BakedImage

CHUNK_BYTES = 2**20
READ_TIMEOUT_S = 60.0
SHA256 = re.compile(r"[0-9a-f]{64}")
SCHEMES = ("https", "http")
QCOW2_MAGIC = b"QFI\xfb"


def fetch(
    source: ImageSource, cache_dir: Path, *, report: Callable[[str], None] = lambda _step: None, wait_s: float = 3600.0
) -> BakedImage:
    """The image of a file or a URL, verified and kept in the cache.

    Args:
        source: with ``file`` or ``url``, and ``sha256``.
        cache_dir: directory of the image cache.
        report: told what happens.
        wait_s: how long to wait for another run that fetches the same image, seconds.

    Raises:
        LabError: no checksum, the wrong content, not a qcow2 image, or not to be had.
    """
    place = source.file or source.url
    digest = source.sha256.lower()
    if not SHA256.fullmatch(digest):
        raise LabError(
            f"the image {place} has no SHA-256",
            remedy="give its sha256 (64 hexadecimal digits); unverified images are not used",
            exit_code=2,
        )
    if source.url and urlsplit(source.url).scheme not in SCHEMES:
        raise LabError(f"{source.url} is not a web address", remedy="give an https:// URL, or a file", exit_code=2)
    stem = f"image-{digest[:16]}"
    found = image_cache.find(cache_dir, stem)
    if found:
        return found
    image_cache.prepare(cache_dir)
    with image_cache.lock(cache_dir, stem, wait_s=wait_s):
        if not image_cache.find(cache_dir, stem):
            with image_cache.work_directory(cache_dir, stem) as work:
                draft = work / "root.qcow2"
                report(f"copying {place}" if source.file else f"downloading {place}")
                actual = _copy(source, draft)
                if actual != digest:
                    raise LabError(
                        f"{place} is not the expected image",
                        remedy="correct sha256 in the topology, or get the right image",
                        details=[f"expected SHA-256 {digest}", f"found    SHA-256 {actual}"],
                    )
                _require_qcow2(draft, place)
                log = cache_dir / "logs" / f"{stem}.log"
                log.write_text(json.dumps({"place": place, "sha256": digest}) + "\n")
                manifest = {"name": Path(urlsplit(place).path).name, "suite": "", "key": digest, "packages": {}}
                image_cache.store(cache_dir, stem, {"root": (draft, ".qcow2")}, manifest)
    found = image_cache.find(cache_dir, stem)
    if found is None:
        raise LabError(f"the image {stem} vanished from {cache_dir}", remedy="try again")
    return found


def _copy(source: ImageSource, target: Path) -> str:
    """Copy the content and return its SHA-256."""
    digest = hashlib.sha256()
    try:
        with _opened(source) as content, target.open("wb") as file:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
    except (OSError, urllib.error.URLError) as error:
        free_mib = shutil.disk_usage(target.parent).free // 2**20
        raise LabError(
            f"the image {source.file or source.url} cannot be had: {error}",
            remedy="check path, network and free space",
            details=[f"{free_mib} MiB are free in {target.parent.parent}"],
        ) from error
    return digest.hexdigest()


@contextmanager
def _opened(source: ImageSource) -> Iterator[IO[bytes]]:
    if source.file:
        with Path(source.file).open("rb") as file:
            yield file
        return
    # The scheme was checked; proxies come from the environment.
    with urllib.request.urlopen(source.url, timeout=READ_TIMEOUT_S) as response:  # noqa: S310
        yield response


def _require_qcow2(path: Path, place: str) -> None:
    with path.open("rb") as file:
        if file.read(4) != QCOW2_MAGIC:
            raise LabError(f"{place} is not a qcow2 image", remedy="convert it with qemu-img convert -O qcow2")
