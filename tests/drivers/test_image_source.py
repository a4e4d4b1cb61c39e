"""Images from files and downloads: taken with the right checksum only."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.core.model import ImageSource
from lab.drivers.image_source import fetch

CONTENT = b"QFI\xfb" + bytes(range(256)) * 20000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "served" / "debian.qcow2"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def server(image: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(image.parent))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_a_file(image: Path, tmp_path: Path) -> None:
    source = ImageSource(file=str(image), sha256=DIGEST.upper())
    found = fetch(source, tmp_path / "cache")
    assert found.root.read_bytes() == CONTENT
    assert (found.name, found.kernel, found.key) == ("debian.qcow2", None, DIGEST)
    image.unlink()
    assert fetch(source, tmp_path / "cache").root == found.root


def test_a_download(server: str, tmp_path: Path) -> None:
    steps: list[str] = []
    found = fetch(ImageSource(url=f"{server}/debian.qcow2", sha256=DIGEST), tmp_path, report=steps.append)
    assert found.root.read_bytes() == CONTENT
    assert steps == [f"downloading {server}/debian.qcow2"]


@pytest.mark.parametrize("digest", ["", "abc", "g" * 64])
def test_nothing_is_used_without_a_checksum(image: Path, tmp_path: Path, digest: str) -> None:
    with pytest.raises(LabError, match="has no SHA-256") as caught:
        fetch(ImageSource(file=str(image), sha256=digest), tmp_path / "cache")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "cache").exists()


def test_the_wrong_content_is_refused_and_not_kept(image: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="is not the expected image") as caught:
        fetch(ImageSource(file=str(image), sha256="0" * 64), tmp_path / "cache")
    assert caught.value.details[1].endswith(DIGEST)
    assert not list((tmp_path / "cache").glob("*.qcow2"))
    assert not list((tmp_path / "cache").glob(".work-*"))


def test_what_is_no_disk_image_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<html>")
    digest = hashlib.sha256(b"<html>").hexdigest()
    with pytest.raises(LabError, match="is not a qcow2 image"):
        fetch(ImageSource(file=str(page), sha256=digest), tmp_path / "cache")


def test_what_cannot_be_had(server: str, tmp_path: Path) -> None:
    for source in (
        ImageSource(file=str(tmp_path / "missing"), sha256=DIGEST),
        ImageSource(url=f"{server}/missing", sha256=DIGEST),
    ):
        with pytest.raises(LabError, match="cannot be had"):
            fetch(source, tmp_path / "cache")
    with pytest.raises(LabError, match="is not a web address"):
        fetch(ImageSource(url="file:///etc/passwd", sha256=DIGEST), tmp_path / "cache")
