"""Files written whole or not at all, with their modes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.doors import files


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file"
    assert files.write_atomically(path, b"one")
    written = path.stat()
    assert not files.write_atomically(path, b"one")
    assert path.stat().st_mtime_ns == written.st_mtime_ns
    assert path.stat().st_ino == written.st_ino
    assert files.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_ino != written.st_ino


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_mode_is_what_was_asked_for(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.write_atomically(tmp_path / "plain", b"")
        files.write_atomically(tmp_path / "secret", b"", files.SECRET_MODE)
    finally:
        os.umask(before)
    assert (mode(tmp_path / "plain"), mode(tmp_path / "secret")) == (0o644, 0o600)


def test_a_wrong_mode_alone_is_corrected(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, b"same")
    assert files.write_atomically(path, b"same", files.SECRET_MODE)
    assert mode(path) == 0o600


def test_a_reader_keeps_what_it_has_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, b"old")
    with path.open("rb") as reader:
        files.write_atomically(path, b"new and longer")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new and longer"


def test_a_failure_half_way_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, b"old")

    def full(_path: Path, _mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "chmod", full)
    with pytest.raises(LabError, match=f"cannot write {path}: No space left on device") as caught:
        files.write_atomically(path, b"new")
    assert caught.value.remedy
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file" / "inner").mkdir(parents=True)
    with pytest.raises(LabError, match="cannot write"):
        files.write_atomically(tmp_path / "file", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_of_a_tree_only_what_is_different_is_written(tmp_path: Path) -> None:
    tree = {"b/secret": b"s", "a": b"1", "c": b"3"}
    assert files.write_tree(tmp_path, tree, lambda name: "secret" in name) == ["a", "b/secret", "c"]
    assert mode(tmp_path / "b/secret") == 0o600
    assert files.write_tree(tmp_path, {**tree, "c": b"4"}, lambda name: "secret" in name) == ["c"]


def test_json_comes_back_and_damage_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert files.read_json(path) is None
    files.write_json(path, {"b": [1, "ä"], "a": None})
    assert files.read_json(path) == {"a": None, "b": [1, "ä"]}
    assert path.read_text().startswith('{\n  "a"')
    for damage in (b"{", b"\xff", b""):
        path.write_bytes(damage)
        assert files.read_json(path) is None


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "build" / "lock"
    with pytest.raises(KeyError), files.locked(path, busy="busy"):
        assert path.read_text() == str(os.getpid())
        raise KeyError
    with files.locked(path, busy="busy"):
        pass
