"""YAML to data with lines: what is built, what is refused, and that nothing in a text breaks the reader."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.core.yaml_text import dotted, read_yaml


def test_lines_are_those_of_the_keys() -> None:
    reading = read_yaml("# first\na:\n  b: 1\n  c:\n    - x\n    - y: 2\nd: {e: 3,\n  f: 4}\n")
    assert reading.data == {"a": {"b": 1, "c": ["x", {"y": 2}]}, "d": {"e": 3, "f": 4}}
    assert [reading.line(path) for path in [("a",), ("a", "b"), ("a", "c", 1, "y"), ("d", "e"), ("d", "f")]] == [
        2,
        3,
        6,
        7,
        8,
    ]
    assert reading.line(("a", "b", "absent")) == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("012", 12),
        ("0x1f", 31),
        ("0o17", 15),
        ("-3", -3),
        ("1.5", 1.5),
        ("true", True),
        ("False", False),
        ("on", "on"),
        ("no", "no"),
        ("~", None),
        ("", None),
        ("2016-01-01", "2016-01-01"),
        ("1:30", "1:30"),
        ("'12'", "12"),
        ("9" * 5000, "9" * 5000),
        ("!!int abc", "abc"),
        (".inf", math.inf),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    reading = read_yaml(f"key: {text}")
    assert reading.problems == []
    assert reading.data == {"key": value}
    assert isinstance(reading.data, dict) and type(reading.data["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "message", "line", "readable"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' stands here a second time (first on line 1)", 3, True),
        ("a: &x 1\nb: *x\n", "'*x' is an alias, which is not supported", 2, False),
        ("&x [*x]\n", "'*x' is an alias, which is not supported", 1, False),
        ("a: 1\n---\nb: 2\n", "a second document starts here", 2, False),
        ("[" * 13 + "]" * 13, "nested deeper than 12 levels", 1, False),
        ("a: 1\nb: !!python/object:os.system ls\n", "the tag '!!python/object:os.system' is not supported", 2, True),
        ("? [a]\n: 1\n", "a key has to be a word", 1, True),
        ("a:\n\t- 1\n", "this is not YAML: found character '\\t' that cannot start any token", 2, False),
        ("x" * (256 * 1024 + 1), "the document is longer than 256 KiB", 0, False),
    ],
)
def test_refused(text: str, message: str, line: int, readable: bool) -> None:
    reading = read_yaml(text)
    assert [(problem.message, problem.line) for problem in reading.problems] == [(message, line)]
    assert reading.readable is readable


def test_a_duplicate_keeps_the_first_value() -> None:
    assert read_yaml("a: 1\na: 2\n").data == {"a": 1}


@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!'\"#|> \n\t,?1.", max_size=60))
@example("*\U00018d09")
def test_no_text_breaks_the_reader(text: str) -> None:
    reading = read_yaml(text)
    assert reading.readable or reading.problems
    for problem in reading.problems:
        assert problem.message and problem.remedy and problem.line >= 0
        assert problem.message.isprintable() and problem.place.isprintable()


@given(
    st.recursive(
        st.integers(-(10**9), 10**9) | st.text("abc xyz", min_size=1), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_plain_data_written_as_flow_text_comes_back(data: object) -> None:
    reading = read_yaml(json.dumps({"key": data}))
    if reading.readable:
        assert reading.data == {"key": data}
    else:
        assert "nested deeper" in reading.problems[0].message


def test_places_quote_what_is_no_plain_word() -> None:
    assert dotted(("guests", "Passata", "memory")) == "guests.Passata.memory"
    assert dotted(("guests", "a.b\n\x1b[2J", 0)) == 'guests."a.b\\n\\u001b[2J".0'
