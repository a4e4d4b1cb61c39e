"""The corpus of bad documents: each gives exactly the message that stands beside it, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.core.errors import InputError
from lab.core.topology import parse_topology

CORPUS = Path(__file__).parent / "bad_topologies"
DOCUMENTS = sorted(CORPUS.glob("*.yaml"))


def shown(error: InputError) -> str:
    """The error as the command prints it."""
    return "\n".join([error.message, *error.details]) + "\n"


def failure(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_topology(path.read_text(), source=path.name)
    return caught.value


def test_the_corpus_is_there_and_complete() -> None:
    assert len(DOCUMENTS) >= 25
    assert {path.stem for path in CORPUS.glob("*.txt")} == {path.stem for path in DOCUMENTS}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_exact_message(path: Path) -> None:
    error = failure(path)
    assert shown(error) == path.with_suffix(".txt").read_text()
    assert error.exit_code == 2


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_problem_is_a_sentence_with_a_place_and_a_remedy(path: Path) -> None:
    error = failure(path)
    lines = path.read_text().splitlines()
    assert list(error.problems) == sorted(error.problems, key=lambda problem: problem.line)
    assert len(set(error.problems)) == len(error.problems)
    for problem in error.problems:
        assert problem.message.isprintable() and problem.remedy.isprintable() and problem.place.isprintable()
        assert not re.search(r"pydantic|Input should|validat|\[type=|Document", problem.message + problem.remedy)
        assert not problem.message.endswith(".") and not problem.remedy.endswith(".")
        assert 0 <= problem.line <= len(lines)
        # A key that is not in the file has the line of the section it would stand in.
        near = problem.place.split(".")[-2:]
        if problem.line and "missing" not in problem.message and re.fullmatch(r"[\w.]+", problem.place):
            assert any(word in lines[problem.line - 1] for word in near)


def test_one_document_shows_many_problems_at_once() -> None:
    assert len(failure(CORPUS / "many-at-once.yaml").problems) >= 20
