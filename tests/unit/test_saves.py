from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.saves import (
    Note,
    Part,
    age_text,
    build_digest,
    judge,
    note_text,
    obstacles,
    parse_note,
    require_name,
    save_name,
    snapshot_name,
)

NOTE = Note("mylab", "first", "token", 1_800_000_000, "digest", "tcg", "7.2.17")
NODES = ("brina", "piova")
BOTH = [Part("piova", "first", NOTE, 5), Part("brina", "first", NOTE, 7)]


@given(st.builds(Note, st.text(), st.text(), st.text(min_size=1), st.integers(), st.text(), st.text(), st.text()))
def test_a_note_survives_its_text(note: Note) -> None:
    assert parse_note(note_text(note)) == note


@given(st.text())
def test_other_descriptions_are_no_notes(text: str) -> None:
    assert parse_note(text) is None


@pytest.mark.parametrize("change", [('"token": "token"', '"token": 1'), ("1800000000", '"then"'), ("save 1", "save 0")])
def test_a_damaged_note_is_none(change: tuple[str, str]) -> None:
    assert parse_note(note_text(NOTE).replace(*change)) is None


def test_a_save_counts_when_every_node_has_the_same_moment() -> None:
    (save,) = judge("mylab", NODES, BOTH)
    assert (save.name, save.note, save.fault, save.size_bytes) == ("first", NOTE, "", 12)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        (BOTH[:1], "brina has no snapshot of it"),
        ([BOTH[0], replace(BOTH[1], note=replace(NOTE, token="other"))], "the snapshots of the nodes are not of"),
        ([BOTH[0], replace(BOTH[1], note=None)], "a snapshot does not say"),
        ([replace(part, note=replace(NOTE, lab="other")) for part in BOTH], "a snapshot does not say"),
        ([*BOTH, Part("neve", "first", NOTE)], "there are snapshots of other nodes"),
    ],
)
def test_an_incomplete_save_says_why(parts: list[Part], fault: str) -> None:
    (save,) = judge("mylab", NODES, parts)
    assert save.note is None
    assert save.fault.startswith(fault)


def made(token: str, created_s: int, nodes: tuple[str, ...] = NODES) -> list[Part]:
    note = replace(NOTE, token=token, created_s=created_s)
    return [Part(node, "first", note, 1, snapshot_name("first", token)) for node in nodes]


def test_the_newest_complete_snapshots_make_the_save_and_others_are_left_over() -> None:
    parts = [*made("aa", 1), *made("bb", 2), *made("cc", 3, NODES[:1])]
    (save,) = judge("mylab", NODES, parts)
    assert (save.snapshot, save.fault) == ("lab-save.first.bb", "")
    assert save.leftovers == ("lab-save.first.aa", "lab-save.first.cc")
    (save,) = judge("mylab", NODES, made("cc", 3, NODES[:1]))
    assert (save.note, save.fault) == (None, "piova has no snapshot of it")


@given(st.from_regex(r"[0-9a-f]{1,40}", fullmatch=True), st.from_regex(r"[a-z0-9]{1,40}", fullmatch=True))
def test_a_snapshot_tells_its_save(token: str, save: str) -> None:
    assert save_name(snapshot_name(save, token)) == save
    assert save_name(snapshot_name(save)) == save


@given(st.text())
def test_names_of_others_mean_no_save(text: str) -> None:
    assert save_name(text) is None
    assert save_name(f"lab-save.first.{text}") in (None, "first")
    assert save_name("lab-save.first.") is None


def test_a_save_belongs_to_build_accelerator_and_qemu() -> None:
    assert obstacles(NOTE, build="digest", accelerator="tcg", qemu="7.2.17") == []
    assert obstacles(NOTE, build="digest", accelerator="tcg", qemu="7.2.99") == []
    assert len(obstacles(NOTE, build="new", accelerator="kvm", qemu="8.0.0")) == 3


@given(st.dictionaries(st.text(), st.text(), min_size=1))
def test_the_digest_tells_trees_apart_and_not_their_order(tree: dict[str, str]) -> None:
    assert build_digest(tree) == build_digest(dict(reversed(tree.items())))
    assert build_digest(tree) != build_digest({})


def test_names() -> None:
    assert save_name(snapshot_name("ready")) == "ready"
    assert save_name("ready") is None
    assert require_name("a-1") == "a-1"
    for bad in ("", "-a", "a-", "A", "a/b", "a" * 41):
        with pytest.raises(LabError):
            require_name(bad)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (7200, "2 h"), (1e6, "11 d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
