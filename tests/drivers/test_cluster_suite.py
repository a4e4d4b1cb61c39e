"""Pacemaker's own test suite for real: its source fetched by apt-get, laid out, and started to list its tests."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.core.proof import cts
from lab.doors.process import run
from lab.drivers import source_package
from lab.drivers.cluster_suite import Suite, laid_out

VERSION_LIMIT_S = 30.0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the version that the host's sources offer: that of the nodes, where the host has their suite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        shown = run(["apt-cache", "policy", "pacemaker"], timeout_s=VERSION_LIMIT_S).stdout
        version = shown.split("Candidate:")[1].split()[0]
        first = source_package.unpacked("pacemaker", version)
        steps: list[str] = []
        assert source_package.unpacked("pacemaker", version, report=steps.append) == first
        assert steps == []
        assert not list(source_package.cache_folder().glob(".work-*"))
        return first


@pytest.fixture
def suite(source: Path, tmp_path: Path) -> Suite:
    addresses = {"brina": "127.0.0.2", "piova": "127.0.0.3"}
    return laid_out(
        source, tmp_path / "suite", addresses=addresses, ssh_config=tmp_path / "ssh_config", ssh_root=tmp_path
    )


def test_the_suite_lists_its_tests(suite: Suite) -> None:
    before = Path("/etc/hosts").read_text(encoding="utf-8")
    known = suite.listed(cts.list_arguments(("brina", "piova")))
    assert {"Flip", "Stonithd", "Standby"} <= set(known)
    lists = {
        reason: suite.listed(cts.list_arguments(("brina", "piova"), words)) for reason, words in cts.LEFT_OUT.items()
    }
    left = {case.name: case.message for case in cts.left_out_cases(known, lists)}
    assert "unsafe" in left["ComponentFail"]
    assert "containers" in left["RemoteLXC"]
    # The names of the nodes are known to the suite alone.
    assert Path("/etc/hosts").read_text(encoding="utf-8") == before
    with pytest.raises(OSError, match=r"(?i)name|address"):
        socket.gethostbyname("brina")


def test_a_test_that_there_is_not_is_refused_by_the_suite(suite: Suite, tmp_path: Path) -> None:
    """The run itself begins: it asks the nodes, which nobody answers for, by the lab's own ssh."""
    (tmp_path / "ssh_config").write_text("Host *\n    ProxyCommand false\n", encoding="utf-8")
    words = cts.run_arguments(("brina", "piova"), ("NoSuchTest",), str(tmp_path / "details.log"))
    result = suite.run(words, timeout_s=120, on_line=lambda _line: None)
    assert result.returncode == 1
    assert "No applicable/valid tests chosen" in result.stdout
    assert [case.verdict for case in cts.parse_log(result.stdout, result.returncode)] == ["failed"]
    assert "Setting LogWatcher = journal" in result.stdout
    # ssh(1) ends with 255 when there is no connection, and this one came from the given configuration.
    details = (tmp_path / "details.log").read_text(encoding="utf-8")
    assert "rc=255" in details
    assert "kex_exchange_identification" in details


def test_a_version_that_nobody_has_is_an_error_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(LabError, match="apt-get") as caught:
        source_package.unpacked("pacemaker", "0.0.1-1")
    assert "suite of the nodes" in caught.value.remedy
    assert list(source_package.cache_folder().iterdir()) == []


def test_a_source_without_the_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no cluster test suite"):
        laid_out(tmp_path, tmp_path / "x", addresses={}, ssh_config=tmp_path, ssh_root=tmp_path)
