"""The page of a report, read by a parser: well-formed, alone, escaped, and with everything in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lab.core.drills.record import DrillRecord
from lab.core.errors import LabError
from lab.core.report.page import render_page, worst_outage
from lab.core.report.projection import Rates
from lab.core.report.study_tables import study_tables
from tests.unit.drill_examples import HOSTILE, drills, hostile, open_ended

TEMPLATE = (Path(__file__).resolve().parents[2] / "report/report.html.j2").read_text(encoding="utf-8")
EMPTY = {"meta", "br", "hr", "img", "input", "link"}


class Reader(HTMLParser):
    """Tags balanced, ids, links, and the words of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def page(records: Sequence[DrillRecord], unreadable: Sequence[str] = ()) -> str:
    tables = study_tables(records, ("brina", "piova"), Rates())
    return render_page(TEMPLATE, "halab", records, tables, unreadable)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


@pytest.fixture(scope="module")
def whole() -> str:
    return page((*drills(), open_ended()), ["build/halab/drills/x/record.json: not a JSON object"])


def test_every_tag_is_closed_and_every_id_is_there_once(whole: str) -> None:
    reader = read(whole)
    assert reader.mistakes == []
    assert reader.open == []
    assert [name for name, count in Counter(reader.ids).items() if count > 1] == []


def test_the_page_needs_nothing_from_anywhere(whole: str) -> None:
    reader = read(whole)
    assert set(reader.tags) & {"script", "link", "img", "iframe", "object", "image", "use", "base"} == set()
    named = {(tag, name) for tag, name, _ in reader.attributes}
    assert named & {(tag, name) for tag in reader.tags for name in ("src", "srcset", "style", "action")} == set()
    assert "://" not in whole
    assert not re.search(r"url\(|@import|@font-face", whole)
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in reader.attributes


def test_references_inside_of_the_page_lead_somewhere(whole: str) -> None:
    reader = read(whole)
    wanted = [value[1:] for _, name, value in reader.attributes if name == "href"]
    wanted += [one for _, name, value in reader.attributes if name == "aria-labelledby" for one in value.split()]
    assert len(wanted) > 20
    assert set(wanted) - set(reader.ids) == set()


def test_pictures_and_what_scrolls_are_told_to_those_who_do_not_see_them(whole: str) -> None:
    reader = read(whole)
    roles = Counter(value for tag, name, value in reader.attributes if name == "role" and tag == "svg")
    assert roles["img"] == reader.tags["svg"] > 100
    assert reader.tags["desc"] == reader.tags["svg"]
    labelled = sum(1 for tag, name, _ in reader.attributes if tag == "div" and name == "aria-label")
    assert labelled == sum(1 for tag, name, _ in reader.attributes if tag == "div" and name == "tabindex")


def test_every_heading_tells_on_what_it_was_measured(whole: str) -> None:
    headings = re.findall(r"<h[23][^>]*>(.*?)</h[23]>", whole, re.DOTALL)
    plain = {"Problems", "Versions", "Topology document, as it was"}
    assert [one for one in headings if "(TCG, time scale 3)" not in one and one not in plain] == []


def test_the_page_holds_all_of_a_record(whole: str) -> None:
    words = " ".join(" ".join(read(whole).words).split())
    for wanted in (
        "1 failed",
        "Passata runs twice",
        "the lab was not healthy within 900 s",
        "recovery of the journal of node 0",
        "radius-accounting Speedauth",
        "6f1c",
        "name: halab",
        "6.1.0-40-amd64",
        "did not end",
        "figure 7.3",
        "projection, not measured",
        "not a JSON object",
        "objective: telephony at most 60 s out; it did not end or was not measured",
    ):
        assert wanted in words, wanted


def test_light_dark_phone_and_paper_are_provided_for(whole: str) -> None:
    for wanted in ("prefers-color-scheme: dark", "@media print", "max-width: 30rem", 'name="viewport"'):
        assert wanted in whole


def test_hostile_words_are_words() -> None:
    harmless, bad = read(page(drills())), read(page([hostile()]))
    assert bad.mistakes == []
    assert set(bad.tags) <= set(harmless.tags)
    assert not any(name.startswith("on") for _, name, _ in bad.attributes)
    assert "{{ 7*7 }}" in " ".join(bad.words)
    assert "<script>alert('x')</script>" in "".join(bad.words)
    assert "\x00" not in page([hostile()])
    assert "\x1b" not in page([hostile()])
    assert HOSTILE not in page([hostile()])


def test_same_records_same_bytes() -> None:
    assert page(drills()) == page(drills())


def test_a_template_that_does_not_fit_is_an_error() -> None:
    for template in ("{{ nothing_of_that_name }}", "{% for %}"):
        with pytest.raises(LabError, match="template of the report"):
            render_page(template, "halab", drills(), ())


def test_the_worst_outage_in_words() -> None:
    records = {record.identifier: worst_outage(record) for record in (*drills(), open_ended(), hostile())}
    assert records["20261125T100100-power-off-brina"] == "80.5 s (http-read Soldi)"
    assert records["20261125T100600-maintenance-brina"] == "no outage"
    assert records["20261125T100900-guest-crash-simplesip"] == "did not end (sip-options SimplesIP)"
