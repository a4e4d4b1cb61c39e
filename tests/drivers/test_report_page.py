"""The report's page in a real browser: light, dark, on a phone; what it loads, and how wide it is.

Pictures are left in ``build/screens/report/`` to be looked at.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.core.drills.programme import as_document as programme_document
from lab.core.drills.record import as_document
from lab.workflows.options import ROOT, Options
from lab.workflows.report import report
from tests.drivers.browser import Browser, Page, opened
from tests.unit.programme_examples import finished_programme, programme_records

SCREENS = ROOT / "build/screens/report"
PHONE_WIDTH = 390
DESK_WIDTH = 1280


@dataclass(frozen=True)
class Written:
    """Reports in a directory: of the programme, and of all drills."""

    programme: Path
    drills: Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    build = tmp_path_factory.mktemp("report")
    for record in programme_records():
        folder = build / "halab/drills" / record.identifier
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(as_document(record)), encoding="utf-8")
    programme = finished_programme()
    folder = build / "halab/programmes" / programme.name
    folder.mkdir(parents=True)
    (folder / "programme.json").write_text(json.dumps(programme_document(programme)), encoding="utf-8")
    report(Options(build=build), programme="latest")
    # One drill is enough for the page without a programme, and plots take their time.
    for record in programme_records()[1:-1]:
        shutil.rmtree(build / "halab/drills" / record.identifier)
    report(Options(build=build))
    return Written(folder / "report/report.html", build / "halab/report/report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as one:
        yield one


@pytest.mark.parametrize("what", ["programme", "drills"])
@pytest.mark.parametrize(
    ("look", "width", "dark"),
    [("light", DESK_WIDTH, False), ("dark", DESK_WIDTH, True), ("phone", PHONE_WIDTH, False)],
)
def test_the_page_fits_its_screen_and_loads_nothing(
    browser: Browser, written: Written, what: str, look: str, width: int, dark: bool
) -> None:
    path = getattr(written, what)
    page = browser.page(path, width=width, dark=dark)
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(SCREENS / f"{what}-{look}.png")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate("innerWidth") == width
    assert page.requested == [path.as_uri()]
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0
    assert page.complaints == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")


def test_the_programme_comes_first_and_its_pictures_are_seen(browser: Browser, written: Written) -> None:
    page = browser.page(written.programme, width=DESK_WIDTH, dark=False)
    assert page.evaluate("document.querySelector('main h2').textContent").startswith("Programme and study")
    boxes = seen_pictures(page)
    assert len(boxes) == 2
    assert all(width > 600 and height > 150 for width, height in boxes)
    # The hump itself: the curve reaches high above its usual place.
    heights = page.evaluate(
        "[...document.querySelectorAll('section[aria-labelledby=hump] polyline')].map(one => one.getBBox().height)"
    )
    assert max(heights) > 200


def test_the_hump_is_seen_whole_on_a_phone(browser: Browser, written: Written) -> None:
    boxes = seen_pictures(browser.page(written.programme, width=PHONE_WIDTH, dark=False))
    assert len(boxes) == 2
    assert all(250 < width <= PHONE_WIDTH for width, _ in boxes)


def seen_pictures(page: Page) -> list[list[float]]:
    """Widths and heights of the pictures of the hump that are shown."""
    found: list[list[float]] = page.evaluate(
        "[...document.querySelectorAll('section[aria-labelledby=hump] svg')]"
        ".map(one => {const box = one.getBoundingClientRect(); return [box.width, box.height]})"
        ".filter(([width]) => width)"
    )
    return found


def test_words_can_be_read(browser: Browser, written: Written) -> None:
    """Nothing is smaller than 10 pixels on a phone, and no picture lies over the words after it."""
    page = browser.page(written.programme, width=PHONE_WIDTH, dark=False)
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('p, li, td, th, h1, h2, h3, figcaption')]"
        ".map(one => parseFloat(getComputedStyle(one).fontSize)))"
    )
    assert smallest >= 10
    rows = page.evaluate(
        "[...document.querySelectorAll('section[aria-labelledby=programme] tr')].map(r => r.clientHeight)"
    )
    assert max(rows) < 90
    assert covered(page) == []


def covered(page: Page) -> list[Any]:
    found: list[Any] = page.evaluate(
        "[...document.querySelectorAll('figure')].filter(one => one.nextElementSibling"
        " && one.getBoundingClientRect().width"
        " && one.nextElementSibling.getBoundingClientRect().top + 1 < one.getBoundingClientRect().bottom"
        " && one.nextElementSibling.getBoundingClientRect().left < one.getBoundingClientRect().right)"
        ".map(one => one.textContent.slice(0, 80))"
    )
    return found
