"""The programs of nodes with Ubuntu, run by the shells of this machine; and cloud images without a network or a sum."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.core.model import ImageSource
from lab.doors.process import Result, run
from lab.drivers.image_source import fetch
from tests.golden.example import lab_of, rendered

FILES = {
    name: rendered(lab_of("ubuntu-14.04"))[f"nodes/brina/files/usr/local/sbin/{name}"]
    for name in ("lab-mend-filesystem-agent", "lab-packages")
}
#: Of the shape that the fault has: the first test of ocfs2_init decides by the name of the cluster manager. The same
#: words stand in a comment and in another function, where they must stay.
AGENT = """\
#!/bin/sh
# if [ "X$HA_cluster_type" = "Xcman" ]; then
other_init()
{
\tif [ "X$HA_cluster_type" = "Xcman" ]; then
\t\techo other
\tfi
}

ocfs2_init()
{
\t# Who keeps the members?
\t# if [ nothing ]
\tif [ "X$HA_cluster_type" = "Xcman" ]; then
\t\techo "left to the manager"
\t\treturn
\telif [ "X$HA_cluster_type" != "Xopenais" ]; then
\t\techo "not there" >&2
\t\texit 5
\tfi
}

HA_cluster_type=corosync
ocfs2_init
"""
FAULTY = '\tif [ "X$HA_cluster_type" = "Xcman" ]; then\n\t\techo "left'
MENDED = FAULTY.replace("Xcman", "Xcorosync")
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]


@pytest.fixture(params=SHELLS)
def mend(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    script = tmp_path / "lab-mend-filesystem-agent"
    script.write_bytes(FILES["lab-mend-filesystem-agent"])

    def do(*words: str) -> Result:
        return run((request.param, str(script), *words), timeout_s=30, check=False)

    return do


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    path = tmp_path / "agents" / "Filesystem"
    path.parent.mkdir()
    path.write_text(AGENT)
    path.chmod(0o755)
    return path


def test_the_faulty_shape_is_mended_and_works(mend, agent: Path) -> None:  # type: ignore[no-untyped-def]
    before = run(("sh", str(agent)), timeout_s=10, check=False)
    assert (before.returncode, before.stdout) == (5, "")
    result = mend(str(agent))
    assert (result.returncode, result.stdout) == (
        0,
        f"lab-mend-filesystem-agent: {agent}: line 14 compares with corosync now\n",
    )
    # One word of one line, and nothing else.
    assert agent.read_text() == AGENT.replace(FAULTY, MENDED)
    assert agent.stat().st_mode & 0o7777 == 0o755
    assert list(agent.parent.iterdir()) == [agent]
    after = run(("sh", str(agent)), timeout_s=10)
    assert after.stdout == "left to the manager\n"


def test_the_second_time_nothing_is_done(mend, agent: Path) -> None:  # type: ignore[no-untyped-def]
    assert mend(str(agent)).returncode == 0
    mended, changed_ns = agent.read_text(), agent.stat().st_mtime_ns
    inode = agent.stat().st_ino
    result = mend(str(agent))
    assert (result.returncode, "nothing to do" in result.stdout) == (0, True)
    assert (agent.read_text(), agent.stat().st_mtime_ns, agent.stat().st_ino) == (mended, changed_ns, inode)


@pytest.mark.parametrize(
    "unknown",
    [
        AGENT.replace("ocfs2_init()\n", "ocfs2_start()\n"),
        AGENT + AGENT,
        AGENT.replace(FAULTY, FAULTY.replace("Xcman", "Xheartbeat")),
        AGENT.replace(FAULTY, FAULTY.replace(" = ", " != ")),
        AGENT.replace(FAULTY, '\tif [ -z "$OCF_RESKEY_options" ]; then\n\t\t:\n\tfi\n' + FAULTY),
        AGENT.replace(FAULTY, '\tif have_binary o2cb || [ "X$HA_cluster_type" = "Xcman" ]; then\n\t\techo "left'),
        AGENT.replace(FAULTY, '\tcase "$HA_cluster_type" in cman) return;; esac\n' + FAULTY),
        "",
        "#!/bin/sh\n",
    ],
    ids=[
        "no-function",
        "two-functions",
        "other-word",
        "negated",
        "other-first",
        "more-than-that",
        "case",
        "empty",
        "bare",
    ],
)
def test_what_is_not_known_is_left_alone(mend, agent: Path, unknown: str) -> None:  # type: ignore[no-untyped-def]
    agent.write_text(unknown)
    result = mend(str(agent))
    assert result.returncode == 3
    assert result.stdout == ""
    assert "is not the known one, so nothing was changed" in result.stderr
    assert "by hand" in result.stderr
    assert agent.read_text() == unknown
    assert list(agent.parent.iterdir()) == [agent]


@pytest.mark.parametrize(
    "written", ['"X${HA_cluster_type}" = "Xcman" ];then', '"X$HA_cluster_type" = "Xcman" ];  then']
)
def test_spellings_that_mean_the_same_are_known(mend, agent: Path, written: str) -> None:  # type: ignore[no-untyped-def]
    text = AGENT.replace(FAULTY, f'\tif [ {written}\n\t\techo "left')
    assert text != AGENT
    agent.write_text(text)
    assert mend(str(agent)).returncode == 0
    assert agent.read_text() == text.replace(written, written.replace("cman", "corosync"))


def test_a_look_changes_nothing(mend, agent: Path) -> None:  # type: ignore[no-untyped-def]
    result = mend("--check", str(agent))
    assert (result.returncode, agent.read_text()) == (4, AGENT)
    assert mend(str(agent)).returncode == 0
    assert mend("--check", str(agent)).returncode == 0


def test_a_link_stays_a_link(mend, agent: Path) -> None:  # type: ignore[no-untyped-def]
    link = agent.parent.parent / "link"
    link.symlink_to(agent)
    assert mend(str(link)).returncode == 0
    assert link.is_symlink()
    assert MENDED in agent.read_text()


def test_wrong_arguments_and_no_file(mend, agent: Path) -> None:  # type: ignore[no-untyped-def]
    assert mend("one", "two").returncode == 2
    result = mend(str(agent) + "x")
    assert (result.returncode, "no such file" in result.stderr) == (2, True)


def fake(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("installed", "apt", "code", "said"),
    [
        ("echo 'install ok installed'", "echo called >> $0.log", 0, ""),
        ("exit 1", "echo called >> $0.log; exit 0", 0, "missing: linux-image-extra-virtual drbd8-utils"),
        ("exit 1", "echo called >> $0.log; exit 100", 1, "cannot install: linux-image-extra-virtual"),
        ("echo 'deinstall ok config-files'", "echo called >> $0.log; exit 100", 1, "cannot install:"),
    ],
    ids=["all-there", "installed-now", "no-way-out", "removed-before"],
)
def test_packages(tmp_path: Path, shell: str, installed: str, apt: str, code: int, said: str) -> None:
    """With dpkg-query and apt-get of our own: what is there is not asked for, and what cannot be had is named."""
    script = tmp_path / "lab-packages"
    script.write_bytes(FILES["lab-packages"])
    fake(tmp_path, "dpkg-query", installed)
    fake(tmp_path, "apt-get", apt)
    argv = ("/usr/bin/env", f"PATH={tmp_path}:{os.environ['PATH']}", shell, str(script))
    result = run(argv, timeout_s=30, check=False)
    assert result.returncode == code
    assert said in result.stdout + result.stderr
    assert (tmp_path / "apt-get.log").exists() is ("missing:" in result.stdout)


@pytest.mark.parametrize("name", FILES)
def test_shellcheck_is_content(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    result = run(("shellcheck", str(path)), timeout_s=60, check=False)
    assert result.ok, result.stdout


def test_the_topology_is_refused_as_long_as_nobody_has_filled_in_the_sum(tmp_path: Path) -> None:
    source = lab_of("ubuntu-14.04").nodes[0].image
    assert source.sha256 == "0" * 64
    image = tmp_path / "trusty.img"
    image.write_bytes(b"QFI\xfb" + bytes(1000))
    with pytest.raises(LabError, match="is not the expected image") as caught:
        fetch(ImageSource(file=str(image), sha256=source.sha256, system=source.system), tmp_path / "cache")
    assert caught.value.remedy.startswith("correct sha256 in the topology")
    assert not list((tmp_path / "cache").glob("*.qcow2"))


def test_without_a_network_the_address_is_named(tmp_path: Path) -> None:
    """A port of this machine at which nobody listens, as a host that cannot be reached."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/trusty/disk1.img"
        with pytest.raises(LabError, match=f"the image {url} cannot be had: .*refused") as caught:
            fetch(ImageSource(url=url, sha256="1" * 64, system="ubuntu-14.04"), tmp_path)
    assert caught.value.remedy == "check path, network and free space"
