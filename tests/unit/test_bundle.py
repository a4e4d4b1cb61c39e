"""Bundles as streams: what is written is read, and everything else is refused with its reason."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core import bundle
from lab.core.bundle import Bundle
from lab.core.kept import as_document
from lab.drivers.bundle_stream import BundleError, Reader, Writer
from tests.unit.kept_examples import KEPT

VOLUMES = {"images/base": b"base" * 300, "disks/one-system.qcow2": b"\0" * 2048, "disks/one-storage.qcow2": b"x"}
CONTENT = Bundle(KEPT, {name: len(raw) for name, raw in VOLUMES.items()})
MANIFEST = bundle.manifest_text(CONTENT).encode()


def written(members: dict[str, bytes], *, close: bool = True) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream)
    for name, raw in members.items():
        writer.add(name, len(raw), [raw[:7], raw[7:]])
    if close:
        writer.close()
    return stream.getvalue()


WHOLE = written({bundle.MANIFEST: MANIFEST, bundle.SECRETS: b"{}", **VOLUMES})


def read(raw: bytes) -> dict[str, bytes]:
    """Read a bundle as an import does."""
    reader = Reader(io.BytesIO(raw))
    found = {bundle.MANIFEST: reader.document(bundle.MANIFEST)}
    try:
        content = bundle.parse_manifest(found[bundle.MANIFEST])
    except ValueError as error:
        raise BundleError(str(error)) from error
    found[bundle.SECRETS] = reader.document(bundle.SECRETS)
    for name, size in content.sizes.items():
        found[name] = b"".join(reader.volume(name, size))
    reader.end()
    return found


def test_what_is_written_is_read() -> None:
    assert read(WHOLE) == {bundle.MANIFEST: MANIFEST, bundle.SECRETS: b"{}", **VOLUMES}
    assert bundle.parse_manifest(MANIFEST) == CONTENT
    assert CONTENT.size_bytes == 1200 + 2048 + 1


def test_it_is_a_tar_archive() -> None:
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as archive:
        assert archive.getnames() == [bundle.MANIFEST, bundle.SECRETS, *VOLUMES, bundle.DIGESTS]
        assert all(member.mode == 0o600 for member in archive.getmembers())


@given(st.integers(0, len(WHOLE) - 1))
def test_every_bundle_that_ends_early_is_refused(length: int) -> None:
    with pytest.raises(BundleError, match="it ends too early, or is no bundle"):
        read(WHOLE[:length])


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed_unless_it_means_nothing(place: int, change: int) -> None:
    raw = bytearray(WHOLE)
    raw[place] ^= change
    try:
        found = read(bytes(raw))
    except BundleError:
        return
    # Padding, and what tar says of owners and times, is not content.
    assert found == read(WHOLE)


@given(st.binary(max_size=2000))
def test_other_files_are_refused(raw: bytes) -> None:
    with pytest.raises(BundleError):
        read(raw)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=90), st.integers(0, 2**40))
def test_headers(name: str, size: int) -> None:
    block = bundle.header(name.rstrip("/") or "x", size)
    assert bundle.parse_header(block) == (name.rstrip("/") or "x", size)
    assert (size + bundle.padding(size)) % bundle.BLOCK_BYTES == 0


def with_manifest(**change: Any) -> bytes:
    document = {**json.loads(MANIFEST), **change}
    return written({bundle.MANIFEST: json.dumps(document).encode(), bundle.SECRETS: b"{}", **VOLUMES})


def link() -> bytes:
    info = tarfile.TarInfo(bundle.MANIFEST)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/shadow"
    return info.tobuf(tarfile.GNU_FORMAT)


def broken_header() -> bytes:
    return WHOLE[:100] + b"7" + WHOLE[101:]


def other_digests() -> bytes:
    text = bundle.digests_text({bundle.MANIFEST: "0" * 64}).encode()
    head = written({bundle.MANIFEST: MANIFEST, bundle.SECRETS: b"{}", **VOLUMES}, close=False)
    return head + written({bundle.DIGESTS: text}, close=False) + bundle.END


def changed_disk() -> bytes:
    place = WHOLE.index(b"basebase")
    return WHOLE[:place] + b"B" + WHOLE[place + 1 :]


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "it ends too early, or is no bundle"),
    "header": (broken_header, "a header in it is damaged (bad checksum)"),
    "link": (link, "'manifest.json' in it is not a plain file"),
    "first": (
        lambda: written({"../../etc/passwd": b"x"}),
        "it has the member '../../etc/passwd' where manifest.json has to be",
    ),
    "json": (lambda: written({bundle.MANIFEST: b"no"}), "manifest.json is no JSON"),
    "deep": (lambda: written({bundle.MANIFEST: b"[" * 10**6}), "manifest.json is no JSON"),
    "list": (lambda: written({bundle.MANIFEST: b"[]"}), "manifest.json is no JSON object"),
    "later": (
        lambda: with_manifest(format="ha-lab bundle 2"),
        "it is of the format 'ha-lab bundle 2', and this version reads 'ha-lab bundle 1'",
    ),
    "kept": (
        lambda: with_manifest(kept={**as_document(KEPT), "save": "x"}),
        "manifest.json: save: there is no note of x",
    ),
    "members": (lambda: with_manifest(members=[]), "manifest.json: members: no list"),
    "entry": (lambda: with_manifest(members=["x"]), "manifest.json: members: an entry is not a name and a size"),
    "size": (
        lambda: with_manifest(members=[{"name": "disks/x", "size": 10**15}]),
        "manifest.json: members: 'disks/x' has the size 1000000000000000",
    ),
    "negative": (
        lambda: with_manifest(members=[{"name": "disks/x", "size": -1}]),
        "manifest.json: members: 'disks/x' has the size -1",
    ),
    "twice": (
        lambda: with_manifest(members=[{"name": "disks/x", "size": 1}] * 2),
        "manifest.json: members: 'disks/x' is there twice",
    ),
    "shorter": (
        lambda: with_manifest(members=[{"name": "images/base", "size": 1}]),
        "images/base in it has not the size that its manifest says",
    ),
    "long document": (
        lambda: bundle.header(bundle.MANIFEST, 2**40),
        "manifest.json in it is too long",
    ),
    "content": (changed_disk, "images/base in it is not what was exported (SHA-256)"),
    "digests": (other_digests, "digests.json names other members"),
    "more": (lambda: WHOLE + b"more", "something follows behind its end"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_bundle_says_why(name: str) -> None:
    make, why = BAD[name]
    with pytest.raises(BundleError) as caught:
        read(make())
    assert caught.value.message == f"the bundle cannot be taken in: {why}"
    assert caught.value.exit_code == 2
    assert "nothing was changed" in caught.value.remedy


def test_members_follow_from_the_lab() -> None:
    wanted = bundle.members(["one"], ["kernel", "base"])
    assert wanted == ["images/base", "images/kernel", "disks/one-system.qcow2", "disks/one-storage.qcow2"]
    assert bundle.member_fault(wanted, wanted) == ""
    assert (
        bundle.member_fault(wanted, [*wanted, "../x"]) == "it has the member '../x', which does not belong to its lab"
    )
    assert bundle.member_fault(wanted, wanted[1:]) == "the member images/base is missing"
    assert bundle.member_fault(wanted, wanted[::-1]) == "its members are in another order"


def test_a_member_is_as_long_as_was_said() -> None:
    with pytest.raises(EOFError):
        Writer(io.BytesIO()).add("x", 3, [b"ab"])
    with pytest.raises(ValueError, match="too long"):
        bundle.header("x" * 200, 1)
