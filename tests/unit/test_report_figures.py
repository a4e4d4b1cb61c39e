"""Means, projections and words of reports, with figures that can be reckoned by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.drills.record import OutageFigure
from lab.core.errors import LabError
from lab.core.measurement.availability import YEAR_S, downtime_s
from lab.core.report import study
from lab.core.report.means import Ground, grounds, node_order, ping_of_guests, ping_of_node, worst_service
from lab.core.report.projection import Rates, project
from lab.core.report.study_tables import study_tables
from lab.core.report.tables import Table, as_text
from lab.core.report.wording import downtime, percent, printable, seconds
from tests.unit.drill_examples import HOSTILE, drills, live_migration, open_ended, power_off

NODES = ("brina", "piova")


def power_offs() -> tuple:
    return (power_off("brina", 1, 124.0, 81.0), power_off("brina", 2, 130.0, 91.0), power_off("piova", 3, 171.0, 75.0))


def test_the_mean_of_a_node_is_that_of_its_own_drills() -> None:
    brina = ping_of_node(power_offs(), "power-off", "brina")
    # Requests go out each half second from 0.5 s on, and the first answer comes some milliseconds after 124 and 130 s.
    assert brina.count == 2
    assert brina.mean_s == pytest.approx(126.5, abs=0.02)
    assert brina.deviation_s == pytest.approx(6 / 2**0.5, abs=0.02)
    assert brina.earlier_s == pytest.approx(0.5)
    assert ping_of_node(power_offs(), "reboot", "brina").mean_s is None


def test_guests_count_in_the_drills_of_their_home_only() -> None:
    mean = ping_of_guests(power_offs(), "power-off")
    assert mean.count == 2 + 2 + 3
    assert mean.mean_s == pytest.approx((2 * 80.5 + 2 * 90.5 + 3 * 74.5) / 7, abs=0.02)


def test_without_the_end_of_an_outage_there_is_no_mean() -> None:
    record = replace(open_ended(), drill="power-off")
    mean = ping_of_guests([record, *power_offs()], "power-off")
    assert (mean.open, mean.mean_s, mean.deviation_s) == (1, None, None)
    assert str(mean) == "1 of 10 did not end"


def test_an_outage_without_end_is_the_worst() -> None:
    record = open_ended()
    worst = worst_service(record, "SimplesIP")
    assert worst is not None
    assert worst.outages[0].end_s is None
    assert worst_service(record, "nobody") is None


def test_figures_of_different_grounds_are_never_put_together() -> None:
    fast = replace(power_off("brina", 4, 10.0, 5.0), accelerator="kvm", time_scale=1.0)
    records = (*power_offs(), fast)
    assert grounds(records) == (Ground("kvm", 1.0), Ground("tcg", 3.0))
    tables = study_tables(records, NODES, Rates())
    assert len(tables) == 2 * 7
    assert all(("KVM, time scale 1" in one.title) != ("TCG, time scale 3" in one.title) for one in tables)
    assert tables[0].rows[0][3].startswith("9.5")
    assert tables[7].rows[0][3] == "126.5 s"


def test_a_projection_is_the_downtime_of_the_stated_rate() -> None:
    projection = project(power_offs(), "Passata", NODES, Rates(power_offs_per_year=12, maintenances_per_year=0))
    down_s = 12 * 74.512
    assert projection.availability == pytest.approx(YEAR_S / (YEAR_S + down_s), abs=1e-9)
    assert downtime_s(projection.availability or 0, YEAR_S) == pytest.approx(down_s, rel=1e-3)
    assert (projection.lacking, projection.ignored, projection.unended) == ((), (), ())


def test_a_projection_is_left_open_without_the_drills_of_the_home() -> None:
    rates = Rates(power_offs_per_year=12, maintenances_per_year=0)
    only_brina = power_offs()[:2]
    assert project(only_brina, "Passata", NODES, rates).lacking == ("power-off of piova",)
    assert project(only_brina, "Passata", NODES, rates).availability is None
    assert project(only_brina, "Soldi", NODES, rates).availability is not None
    assert project(only_brina, "Soldi", NODES, rates).ignored == ("power-off of piova",)
    endless = replace(open_ended(), drill="power-off")
    assert project([endless, *only_brina], "SimplesIP", NODES, rates).unended == ("power-off of piova",)
    assert project([endless, *only_brina], "SimplesIP", NODES, rates).availability is None


@pytest.mark.parametrize("rate", [-1.0, float("inf"), float("nan")])
def test_rates_that_cannot_be_are_refused(rate: float) -> None:
    with pytest.raises(LabError) as caught:
        Rates(power_offs_per_year=rate)
    assert caught.value.exit_code == 2


def test_projections_are_marked_and_measurements_are_not() -> None:
    marked = {table.title.split(",")[0]: table.projection for table in study_tables(drills(), NODES, Rates())}
    assert [name for name, is_projection in marked.items() if not is_projection] == [
        "Table 7.1",
        "Table 7.2",
        "Table 7.3",
    ]
    tables = study_tables(drills(), NODES, Rates(3, 0))
    assert "3 power-offs and 0 maintenances of each node in a year" in as_text(tables[4])
    assert as_text(tables[4]).startswith("PROJECTION: ")


def test_published_downtimes_and_availabilities_agree() -> None:
    # A month of 30 days; the published shares have three digits.
    for service in study.SERVICES:
        for share, down_s in (
            (service.month_before, service.downtime_before_s),
            (service.month_after, service.downtime_after_s),
        ):
            assert downtime_s(share, 30 * 86400) == pytest.approx(down_s, abs=35)


def test_nodes_are_those_of_the_topology_first() -> None:
    assert node_order(drills(), ("piova",)) == ("piova", "brina")
    assert node_order([live_migration()], NODES) == NODES


def test_seconds_and_downtimes_in_words() -> None:
    assert [seconds(value) for value in (None, 0, 0.254, 9.514, 81.25, 170.5)] == [
        "not measured",
        "0 s",
        "0.25 s",
        "9.51 s",
        "81.2 s",
        "170.5 s",
    ]
    assert [downtime(value) for value in (12.5, 580, 3480, 3723)] == [
        "12.5 s",
        "9 min 40 s",
        "58 min 00 s",
        "1 h 02 min 03 s",
    ]


@given(st.floats(0, 1))
def test_percent_never_says_more_than_it_is(share: float) -> None:
    told = float(percent(share).removesuffix(" %")) / 100
    assert told <= share + 1e-12
    assert share - told < 1.001e-5
    assert (percent(share) == "100 %") == (share == 1)


@given(st.text())
def test_printable_text_is_what_xml_knows(text: str) -> None:
    told = printable(text)
    assert len(told) == len(text)
    assert printable(told) == told
    assert all(a == b or b == "\N{REPLACEMENT CHARACTER}" for a, b in zip(text, told, strict=True))


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=4))
def test_a_table_of_any_words_has_one_line_for_each_row(rows: list[tuple[str, str]]) -> None:
    text = as_text(Table("title", ("one", "two"), tuple(rows), ("note",)))
    assert len(text.split("\n")) == 4 + len(rows)
    assert all(character.isprintable() for character in text.replace("\n", ""))


def test_hostile_words_do_not_reach_a_terminal() -> None:
    assert "\x1b" not in as_text(Table(HOSTILE, (HOSTILE,), ((HOSTILE,),), (HOSTILE,)))


def test_an_outage_that_lies_in_part_before_the_fault_counts_whole() -> None:
    record = power_off("brina", 1, 124.0, 81.0)
    stream = record.stream("icmp brina")
    assert stream is not None
    early = replace(stream, outages=(OutageFigure(-0.4, 99.6, 0.5, 0.5, 200),))
    record = replace(record, streams=tuple(early if one is stream else one for one in record.streams))
    assert ping_of_node([record], "power-off", "brina").mean_s == pytest.approx(100.0)
