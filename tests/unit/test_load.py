"""Load as data: profiles, scaling, sharing between guests, pacing, and the arithmetic of what was served."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.load import profile as profiles
from lab.core.load.profile import STUDY, Stream, questions, scaled, streams, total, until_due_s
from lab.core.load.served import Served, as_document, as_text, latency_figures, not_sent
from lab.core.model import Guest, ImageSource, ServiceKind
from lab.drivers.load.calls import held, staying


def guest(name: str, service: ServiceKind, index: int = 1) -> Guest:
    return Guest(name, index, "brina", service, 1, 128, 512, ImageSource())


GUESTS = (
    guest("Passata", "dns"),
    guest("Speedauth", "radius"),
    guest("Masterauth", "radius"),
    guest("Soldi", "web"),
    guest("SimplesIP", "telephony"),
)


def test_the_study_asks_for_what_it_asked_for() -> None:
    assert streams(STUDY, GUESTS) == (
        Stream("dns", "Passata", 1150.0),
        Stream("radius-access", "Speedauth", 0.8),
        Stream("radius-accounting", "Speedauth", 11.5),
        Stream("radius-access", "Masterauth", 0.8),
        Stream("radius-accounting", "Masterauth", 11.5),
        Stream("http", "Soldi", 3.0),
        Stream("sip-call", "SimplesIP", 3.0, 30),
    )


def test_a_service_without_a_guest_gets_no_load() -> None:
    assert [stream.kind for stream in streams(STUDY, GUESTS[:1])] == ["dns"]
    assert streams(STUDY, ()) == ()


def test_each_accelerator_has_a_scale_of_its_own() -> None:
    assert profiles.DEFAULT_SCALES == {"kvm": 1.0, "tcg": 0.05}
    assert scaled(STUDY, 0.05).calls == 2
    assert scaled(STUDY, 0.001).calls == 1


@given(st.floats(min_value=0.001, max_value=profiles.LARGEST_SCALE), st.integers(1, 4))
def test_nothing_is_lost_between_scaling_and_sharing(factor: float, servers: int) -> None:
    guests = [*GUESTS[:1], *(guest(f"Auth{number}", "radius") for number in range(servers)), *GUESTS[3:]]
    found = streams(scaled(STUDY, factor), guests)
    wanted = {"dns": 1150.0, "radius-access": 1.6, "radius-accounting": 23.0, "http": 3.0}
    for kind, rate_per_s in wanted.items():
        assert sum(s.rate_per_s for s in found if s.kind == kind) == pytest.approx(rate_per_s * factor)
    calls = [s.at_once for s in found if s.kind == "sip-call"]
    assert len(calls) == 1
    assert abs(calls[0] - 30 * factor) <= 0.5 or calls == [1]


@pytest.mark.parametrize("factor", [0.0, -1.0, 10.5, float("nan"), float("inf")])
def test_factors_that_cannot_be_meant_are_bad_input(factor: float) -> None:
    with pytest.raises(LabError, match="cannot be scaled") as caught:
        scaled(STUDY, factor)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("seconds", [0.0, -5.0, 3001.0, float("nan")])
def test_durations_that_cannot_be_meant_are_bad_input(seconds: float) -> None:
    with pytest.raises(LabError, match="cannot be sent for") as caught:
        profiles.require_duration(seconds)
    assert caught.value.exit_code == 2


def test_an_unknown_profile_is_bad_input_that_names_the_known_ones() -> None:
    with pytest.raises(LabError, match="no profile lunch") as caught:
        profiles.profile_named("lunch")
    assert caught.value.exit_code == 2
    assert "study" in caught.value.remedy
    assert profiles.profile_named("study") is STUDY


@example(450.0, 1.1)
@given(st.floats(0.01, 2000), st.floats(1, 300))
def test_a_steady_rate_sends_its_total_before_the_end(rate_per_s: float, seconds: float) -> None:
    count = total(rate_per_s, seconds)
    assert count >= 1
    assert until_due_s(rate_per_s, 0.0, 0) == 0
    assert until_due_s(rate_per_s, 0.0, count - 1) < seconds or count == 1
    assert until_due_s(rate_per_s, 0.0, count) >= seconds * (1 - 1e-9)


@given(st.floats(0.01, 2000), st.floats(0, 300), st.integers(0, 10_000))
def test_waiting_until_it_is_due_is_enough(rate_per_s: float, elapsed_s: float, sent: int) -> None:
    left_s = until_due_s(rate_per_s, elapsed_s, sent)
    assert until_due_s(rate_per_s, elapsed_s + left_s, sent) == pytest.approx(0, abs=1e-6)


@given(st.integers(0, 500))
def test_every_fifth_question_is_for_a_name_that_nobody_asked_for(count: int) -> None:
    lines = questions("provider.example", "token", count).splitlines()
    assert len(lines) == max(1, count)
    fresh = [line for line in lines if ".customers.provider.example A" in line]
    assert len(set(fresh)) == len(fresh) == -(-len(lines) // profiles.FRESH_NAME_EVERY)
    assert set(lines) - set(fresh) <= {"www.provider.example A"}


def test_the_file_of_questions_does_not_grow_without_end() -> None:
    assert questions("a.example", "t", 10**9).count("\n") == profiles.MOST_QUESTIONS


def test_what_is_neither_answered_nor_wrong_is_lost() -> None:
    one = Served("dns", "Passata", 10.0, 100, 70, 5, 10.0, {"mean": 1.5, "max": 9.25})
    assert (one.lost, one.sent_per_s, one.answered_per_s) == (25, 10.0, 7.0)
    assert one.as_row() == (*("dns Passata", "10.00", "10.00", "7.00", "100", "70", "5", "25", "1.5", "9.2"),)
    document = one.as_document()
    assert (document["lost"], document["answered_per_s"], document["latency_ms"]) == (
        25,
        7.0,
        {"mean": 1.5, "max": 9.25},
    )


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 100))
def test_no_count_and_no_rate_is_ever_negative(sent: int, answered: int, wrong: int, seconds: float) -> None:
    one = Served("http", "Soldi", 1.0, sent, answered, wrong, seconds)
    assert one.lost >= 0
    assert one.sent_per_s >= 0
    assert len(one.as_row()) == 10


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_values_in_order(latencies: list[float]) -> None:
    figures = latency_figures(latencies)
    ordered = [figures[name] for name in ("min", "p50", "p90", "p99", "max")]
    assert ordered == sorted(ordered)
    assert set(ordered) <= set(latencies)


def test_percentiles_by_nearest_rank() -> None:
    figures = latency_figures([float(n) for n in range(100, 0, -1)])
    assert figures == {"mean": 50.5, "min": 1.0, "max": 100.0, "p50": 50.0, "p90": 90.0, "p99": 99.0}
    assert latency_figures([]) == {}


def test_the_table_has_a_line_for_each_stream_and_tells_what_senders_say() -> None:
    good = Served("http", "Soldi", 3.0, 90, 90, 0, 30.0, latency_figures([10.0]))
    bad = not_sent(Stream("sip-call", "SimplesIP", 3.0, 30), 30.0, "102 could not register: no time was left")
    assert not bad.untried
    assert not good.untried
    assert not_sent(Stream("dns", "Passata", 1.0), 1.0, "").untried
    lines = as_text([good, bad]).splitlines()
    assert len(lines) == 4
    assert lines[1].split() == ["http", "Soldi", "3.00", "3.00", "3.00", "90", "90", "0", "0", "10.0", "10.0"]
    assert lines[3] == "sip-call SimplesIP: 102 could not register: no time was left"
    document = as_document(STUDY, 0.05, 30, [good, bad])
    assert (document["profile"], document["scale"], document["seconds"]) == ("study", 0.05, 30)
    assert document["streams"] == [good.as_document(), bad.as_document()]


def test_the_scenarios_of_the_probe_can_be_held_and_stay() -> None:
    folder = files("lab.drivers.probes") / "sip"
    call, answer = (folder / "call.xml").read_text("latin-1"), (folder / "answer.xml").read_text("latin-1")
    assert 'timeout="10000" ontimeout="hang_up"' in held(call, 10.0)
    assert 'timeout="400"' not in held(call, 10.0)
    assert "stop_gracefully" in answer
    assert "stop_gracefully" not in staying(answer)
    with pytest.raises(LabError, match="holds no call"):
        held(answer, 10.0)
    with pytest.raises(LabError, match="does not end"):
        staying(call)
