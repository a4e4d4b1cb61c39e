"""The seed's ISO image: labelled, named, and free of time."""

from __future__ import annotations

import io
import time

import pycdlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.drivers.seed import LABEL, make_iso

FILES = {"user-data": b"#cloud-config\n" * 400, "meta-data": b"instance-id: x\n", "network-config": b"version: 1\n"}


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.from_regex("[a-z][a-z-]{0,20}", fullmatch=True), st.binary(max_size=5000), max_size=12))
def test_names_and_contents_come_back(files: dict[str, bytes]) -> None:
    image = pycdlib.PyCdlib()
    image.open_fp(io.BytesIO(make_iso(files)))
    assert image.pvd.volume_identifier.rstrip() == LABEL.encode()
    for kind in ("rr_path", "joliet_path"):
        read = {}
        for child in image.list_children(**{kind: "/"}):
            if child.is_file():
                name = (
                    child.rock_ridge.name().decode()
                    if kind == "rr_path"
                    else child.file_identifier().decode("utf-16-be")
                )
                out = io.BytesIO()
                image.get_file_from_iso_fp(out, **{kind: f"/{name}"})
                read[name] = out.getvalue()
        assert read == files
    image.close()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_neither_the_clock_nor_the_zone_shows(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    expected = make_iso(FILES)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for moment in (0.0, 951782400.5, 4102444799.0):
            monkeypatch.setattr("time.time", lambda moment=moment: moment)
            assert make_iso(FILES) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_slash_in_a_name_is_refused() -> None:
    with pytest.raises(LabError, match="cannot be a file's name"):
        make_iso({"etc/passwd": b""})
