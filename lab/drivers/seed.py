"""NoCloud seeds: a small ISO 9660 image in memory, the same bytes for the same files.

pycdlib stamps every record with the current time and the local time zone and offers no way to say otherwise, so the
stamps are overwritten afterwards, at the places where ECMA-119 (8.4.26 to 8.4.29, 9.1.5) and the Rock Ridge
Interchange Protocol (4.1.6, "TF") put them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import pycdlib

from lab.core.errors import LabError

LABEL = "cidata"
SECTOR = 2048
FIRST_DESCRIPTOR = 16 * SECTOR
TERMINATOR = 255
PRIMARY, SUPPLEMENTARY = 1, 2

#: 2016-01-01 00:00:00 UTC in the two forms of ECMA-119: digits (17 bytes) and binary (7 bytes), each with a zone.
LONG_DATE = b"2016010100000000\0"
SHORT_DATE = bytes([116, 1, 1, 0, 0, 0, 0])
#: Creation, modification and "effective" of a volume; expiry stays "not given".
VOLUME_DATES = (813, 830, 864)
ROOT_RECORD = 156
DIRECTORY_FLAG = 2


def make_iso(files: Mapping[str, bytes]) -> bytes:
    """An ISO image with these files in its root, labelled ``cidata`` (cloud-init's NoCloud looks for that label).

    Names are kept as they are by Rock Ridge and by Joliet, whichever the reader prefers.

    Args:
        files: name, without slashes, to content.

    Raises:
        LabError: a name that does not fit.
    """
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, vol_ident=LABEL, rock_ridge="1.09", joliet=3)
    for number, (name, content) in enumerate(sorted(files.items())):
        if not name or "/" in name:
            raise LabError(f"{name!r} cannot be a file's name on a seed", remedy="use a plain name")
        image.add_fp(io.BytesIO(content), len(content), f"/FILE{number:04d}.;1", rr_name=name, joliet_path=f"/{name}")
    written = io.BytesIO()
    image.write_fp(written)
    image.close()
    return without_time(written.getvalue())


def without_time(image: bytes) -> bytes:
    """The image with every time stamp set to the beginning of 2016, UTC."""
    out = bytearray(image)
    place = FIRST_DESCRIPTOR
    while out[place] != TERMINATOR:
        if out[place] in (PRIMARY, SUPPLEMENTARY):
            for offset in VOLUME_DATES:
                out[place + offset : place + offset + len(LONG_DATE)] = LONG_DATE
            root = place + ROOT_RECORD
            _stamp_record(out, root)
            _stamp_directory(out, *_extent(out, root))
        place += SECTOR
    return bytes(out)


def _extent(image: bytearray, record: int) -> tuple[int, int]:
    start = int.from_bytes(image[record + 2 : record + 6], "little") * SECTOR
    length = int.from_bytes(image[record + 10 : record + 14], "little")
    return start, start + length


def _stamp_directory(image: bytearray, start: int, end: int) -> None:
    place = start
    while place < end:
        length = image[place]
        if length == 0:  # records do not cross sectors; the rest of this one is empty
            place = (place // SECTOR + 1) * SECTOR
            continue
        _stamp_record(image, place)
        name = bytes(image[place + 33 : place + 33 + image[place + 32]])
        if image[place + 25] & DIRECTORY_FLAG and name not in (b"\0", b"\1"):
            _stamp_directory(image, *_extent(image, place))
        place += length


def _stamp_record(image: bytearray, record: int) -> None:
    """Set the date of one directory record, and those of the Rock Ridge entry TF behind its name."""
    image[record + 18 : record + 25] = SHORT_DATE
    end = record + image[record]
    name_length = image[record + 32]
    place = record + 33 + name_length + (1 - name_length % 2)
    while place + 4 <= end and image[place + 2]:
        signature, length = bytes(image[place : place + 2]), image[place + 2]
        if signature == b"TF":
            stamps = (length - 5) // len(SHORT_DATE)
            image[place + 5 : place + length] = SHORT_DATE * stamps
        place += length
