from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.kept import as_document, from_document, obstacles, parse
from tests.unit.kept_examples import KEPT, LATER, PRESENT, READY, TREE


def test_what_is_kept_survives_its_document() -> None:
    again = parse(json.dumps(as_document(KEPT)))
    assert again == KEPT
    assert again.note == READY
    assert replace(again, save="later").note == LATER


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_other_documents_are_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="it is not of the format 'ha-lab kept 1'"):
        from_document(document)


@given(
    st.sampled_from(sorted(as_document(KEPT))),
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.lists(st.text(max_size=5))
    | st.dictionaries(st.text(), st.integers()),
)
def test_a_damaged_document_is_refused_or_says_something_else(key: str, value: Any) -> None:
    try:
        kept = from_document({**as_document(KEPT), key: value})
    except ValueError:
        return
    assert kept != KEPT or value == as_document(KEPT)[key]
    assert {note.lab for note in kept.notes} == {kept.lab}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "ha-lab kept 2"}, "it is not of the format 'ha-lab kept 1'"),
        ({"lab": 3, "save": None}, "lab, save: no text"),
        ({"notes": "ready"}, "notes: no list of texts"),
        ({"tree": {"a": 1}}, "tree: no table of texts"),
        ({"notes": ["{}"]}, "notes: one of them is damaged, or two are of the same save"),
        ({"notes": [*as_document(KEPT)["notes"]] * 2}, "notes: one of them is damaged, or two are of the same save"),
        ({"save": "other"}, "save: there is no note of other"),
        ({"features": "avx"}, "features: no list of texts"),
        ({"lab": "yourlab"}, "notes: one of them is not of the lab yourlab"),
        ({"tree": {"a": "b"}}, "notes: one of them is of another build"),
    ],
)
def test_a_wrong_document_says_why(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]") as caught:
        from_document({**as_document(KEPT), **change})
    assert str(caught.value) == message


@pytest.mark.parametrize("token", ["", "../../x", "AB", "a.b"])
def test_a_token_that_cannot_be_in_a_name_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="damaged"):
        from_document(as_document(replace(KEPT, notes=(replace(READY, token=token),))))


def test_the_same_lab_starts_from_it() -> None:
    assert obstacles(KEPT, PRESENT) == []


@pytest.mark.parametrize(
    ("present", "why"),
    [
        (replace(PRESENT, accelerator="kvm"), "it was made with the accelerator tcg, not kvm"),
        (replace(PRESENT, qemu="8.2.0"), "it was made with QEMU 7.2.17, and this is QEMU 8.2.0"),
        (replace(PRESENT, processor="AMD EPYC"), "it was made on the processor '', and this is 'AMD EPYC'"),
        (
            replace(PRESENT, tree={**TREE, "a": "1", "b": "2", "c": "3", "d": "4"}),
            "topology, program or images are others now (different: a, b, c and 1 more)",
        ),
        (
            replace(PRESENT, tree={}),
            "topology, program or images are others now (different: cluster/cib.crm, libvirt/pool.xml)",
        ),
    ],
)
def test_another_lab_or_machine_says_why(present: Any, why: str) -> None:
    assert obstacles(KEPT, present) == [why]


@pytest.mark.parametrize(
    ("made", "here", "words"),
    [
        ("b a topoext", "a b", " (it lacks topoext)"),
        ("a b", "b a avx", " (it adds avx)"),
        ("a b c d e f", "g f", " (it lacks a, b, c, d and 1 more, it adds g)"),
        ("", "a", ""),
        ("a", "", ""),
    ],
)
def test_another_processor_of_the_same_model_is_told_apart_by_what_it_can_do(made: str, here: str, words: str) -> None:
    kept = replace(KEPT, processor="AMD Opteron 0123", features=tuple(made.split()))
    present = replace(PRESENT, processor="AMD Opteron 4567", features=tuple(here.split()))
    why = "it was made on the processor 'AMD Opteron 0123', and this is 'AMD Opteron 4567'"
    assert obstacles(kept, present) == [why + words]
    other = replace(present, processor="AMD EPYC 4567")
    assert obstacles(kept, other) == [why.replace("AMD Opteron 4567", "AMD EPYC 4567")]


def test_what_an_earlier_version_has_kept_has_no_features() -> None:
    document = as_document(KEPT)
    del document["features"]
    assert from_document(document) == KEPT
