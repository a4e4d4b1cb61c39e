"""Plots by the real matplotlib."""

from __future__ import annotations

import io
from dataclasses import replace
from xml.etree import ElementTree

from PIL import Image

from lab.drivers.plots import plots
from tests.unit.drill_examples import hostile, live_migration, open_ended, power_off


def test_every_plot_is_a_picture_with_its_heading_in_it() -> None:
    made = plots(power_off("brina", 1, 124.0, 81.0))
    assert len(made) == 4
    for name, content in made.items():
        if name.endswith(".svg"):
            text = "".join(ElementTree.fromstring(content).itertext())
            assert "power-off of brina (TCG, time scale 3)" in text
            assert "http-write Soldi" in text
        else:
            with Image.open(io.BytesIO(content)) as picture:
                assert picture.format == "PNG"
                assert picture.width == 1300
                assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 10


def test_same_record_same_bytes() -> None:
    record = replace(live_migration(), streams=live_migration().streams[:3])
    assert plots(record) == plots(record)


def test_open_outages_and_hostile_words_can_be_drawn() -> None:
    for record in (open_ended(), hostile()):
        few = replace(record, identifier="x", streams=record.streams[:3])
        assert all(
            ElementTree.fromstring(content).tag.endswith("svg") for name, content in plots(few).items() if "svg" in name
        )


def test_a_drill_without_streams_has_no_plots() -> None:
    assert plots(replace(live_migration(), streams=())) == {}
