"""Drawings: to scale, well-formed, with nothing lost."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.drills.record import DrillRecord, OutageFigure, StreamFigures
from lab.core.report.lanes import (
    LEAST_WIDTH,
    LEFT,
    RIGHT,
    WIDTH,
    lanes,
    least_visible_s,
    shortened,
    span,
    time_scale,
)
from lab.core.report.latency import latency_curve, pieces
from lab.core.report.svg import Scale, element, words
from tests.unit.drill_examples import HOSTILE, drills, hostile, live_migration, open_ended, power_off

#: Coordinates are written with three digits.
WRITTEN = 0.002

outages = st.tuples(st.floats(0, 500), st.floats(0.001, 400)).map(
    lambda pair: OutageFigure(pair[0], pair[0] + pair[1], 0.0, 0.0, 1)
)


def record_of(found: list[OutageFigure]) -> DrillRecord:
    stream = StreamFigures("dns", "Passata", "10.0.0.21:53", 0.5, 1.0, 10, 5, 0.5, tuple(found))
    return DrillRecord("x", "power-off", "brina", "", 1, "halab", "tcg", 3.0, "", 1000.0, streams=(stream,))


def rectangles(svg: str, kind: str) -> list[dict[str, str]]:
    return [one.attrib for one in ElementTree.fromstring(svg).iter("rect") if one.get("class") == kind]


@given(st.lists(outages, min_size=1, max_size=5))
def test_bars_are_as_wide_as_outages_are_long(found: list[OutageFigure]) -> None:
    record = record_of(found)
    scale = time_scale(record)
    bars = rectangles(lanes(record, "d"), "outage")
    assert len(bars) == len(found)
    for bar, outage in zip(bars, found, strict=True):
        assert outage.end_s is not None
        length_s = outage.end_s - outage.start_s
        true_width = length_s * (WIDTH - RIGHT - LEFT) / (scale.end - scale.start)
        assert float(bar["width"]) == pytest.approx(max(LEAST_WIDTH, true_width), abs=WRITTEN)
        assert float(bar["x"]) == pytest.approx(scale.place(outage.start_s), abs=WRITTEN)
        assert (true_width < LEAST_WIDTH) == (length_s < least_visible_s(scale))


def test_an_open_outage_is_drawn_to_the_end_and_told() -> None:
    record = open_ended()
    svg = lanes(record, "d")
    (bar, *_) = rectangles(svg, "outage open")
    assert float(bar["x"]) + float(bar["width"]) == pytest.approx(WIDTH - RIGHT, abs=WRITTEN)
    assert "did not end" in svg


@pytest.mark.parametrize("record", [*drills(), open_ended(), hostile()], ids=lambda record: record.identifier[:40])
def test_everything_of_a_record_lies_inside_of_its_picture(record: DrillRecord) -> None:
    start_s, end_s = span(record)
    assert start_s <= 0 <= end_s
    root = ElementTree.fromstring(lanes(record, "d"))
    for one in root.iter():
        x, width = float(one.get("x", one.get("cx", "1"))), float(one.get("width", "0").rstrip("%"))
        assert 0 <= x <= WIDTH
        assert x + (width if one.tag == "rect" else 0) <= WIDTH + LEAST_WIDTH
    lanes_drawn = [one for one in root.iter("rect") if one.get("class") == "lane"]
    assert len(lanes_drawn) == len(record.streams)
    assert len(list(root.iter("circle"))) == len(record.phases)


def test_an_empty_record_has_a_picture() -> None:
    empty = replace(open_ended(), streams=(), phases=(), duration_s=0.0)
    assert ElementTree.fromstring(lanes(empty, "d")).tag == "svg"


@given(st.lists(st.tuples(st.floats(0, 100), st.none() | st.floats(0, 1000)), max_size=30))
def test_pieces_hold_every_answer_and_break_at_every_gap(curve: list[tuple[float, float | None]]) -> None:
    found = list(pieces(curve))
    assert [point for piece in found for point in piece] == [point for point in curve if point[1] is not None]
    rest = "".join("-" if latency is None else "+" for _, latency in curve)
    assert [len(piece) for piece in found] == [len(run) for run in rest.split("-") if run]


def test_the_curve_of_a_migration_has_its_humps_in_it() -> None:
    record = live_migration()
    stream = record.stream("icmp Passata")
    assert stream is not None
    root = ElementTree.fromstring(latency_curve(record, stream, "d", large=True))
    lines = [one.get("points", "") for one in root.iter("polyline")]
    assert len(lines) == len(stream.outages) + 1
    heights = [float(point.split(",")[1]) for point in " ".join(lines).split()]
    # Upwards is a smaller number: the hump is far above the rest.
    assert min(heights) < 50 < 240 < max(heights)
    assert len(rectangles(latency_curve(record, stream, "d"), "dark")) == 2


def test_a_stream_without_an_answer_has_a_picture() -> None:
    record = power_off("brina", 1, 124.0, 81.0)
    silent = replace(record.streams[0], curve=((0.0, None), (1.0, None)), latency_ms={}, outages=())
    assert not list(ElementTree.fromstring(latency_curve(record, silent, "d")).iter("polyline"))


@given(st.floats(-1e5, 1e5), st.floats(0.01, 1e5), st.integers(1, 12), st.booleans())
def test_marks_lie_on_the_axis_and_are_not_too_many(start: float, length: float, wanted: int, time: bool) -> None:
    marks = Scale(start, start + length, 0.0, 500.0).marks(wanted, time=time)
    assert len(marks) <= wanted + 1
    slack = 1e-6 * max(1.0, abs(start), length)
    assert all(start - slack <= mark <= start + length + slack for mark in marks)


@given(st.text(), st.text())
def test_elements_of_any_text_are_well_formed(value: str, text: str) -> None:
    parsed = ElementTree.fromstring(element("g", words(text), note_=value))
    assert (parsed.text or "").count("<") == text.count("<")
    assert parsed.get("note") is not None


def test_hostile_words_stay_words() -> None:
    root = ElementTree.fromstring(lanes(hostile(), "d"))
    assert {one.tag for one in root.iter()} <= {"svg", "title", "desc", "line", "text", "rect", "circle"}
    assert shortened(HOSTILE, 10) == HOSTILE[:9] + "\N{HORIZONTAL ELLIPSIS}"
