"""The launcher, on a small copy of the repository with an environment of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TASKS = """
from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.tasks import task
import os, pathlib, time

@task
def where(_context):
    print(os.getcwd())

@task
def end(_context, code=0):
    raise Exit(code=code)

@task
def linger(_context):
    pathlib.Path(__file__).with_name("lingering").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        raise Exit(code=130)

namespace = Collection(where, end, linger, Collection("lab", where))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    for name in ("inv", "packages.txt"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "topologies", root / "topologies")
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    only_invoke = [line for line in lock if line.startswith("invoke==")]
    (root / "requirements.txt").write_text("\n".join(only_invoke) + "\n", encoding="utf-8")
    (root / "requirements-dev.txt").write_text("-r requirements.txt\n", encoding="utf-8")
    (root / "tasks.py").write_text(TASKS, encoding="utf-8")
    return root


def inv(root: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(root / "inv"), *words],
        check=False,
        cwd="/",
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_two_at_once_make_one_environment(copy: Path) -> None:
    argv = [str(copy / "inv"), "where"]
    pair = [
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
        )
        for _ in range(2)
    ]
    results = [(*process.communicate(timeout=300), process.returncode) for process in pair]
    assert [(out, code) for out, _, code in results] == [("/\n", 0)] * 2
    told = "".join(err for _, err, _ in results)
    assert told.count("making the virtual environment") == 1
    assert told.count("waiting for the set-up that another inv is doing") == 1
    assert "pip install" in (copy / "build/setup.log").read_text(encoding="utf-8")


def test_nothing_to_do_is_quick_and_quiet(copy: Path) -> None:
    inv(copy, "where")
    times = []
    for _ in range(3):
        started = time.monotonic()
        result = inv(copy, "where")
        times.append(time.monotonic() - started)
        assert (result.stdout, result.stderr) == ("/\n", "")
    bare = time.monotonic()
    subprocess.run([copy / ".venv/bin/python", "-m", "invoke", "--search-root", copy, "where"], check=True, timeout=60)
    assert min(times) - (time.monotonic() - bare) < 0.3


@pytest.mark.parametrize("code", [0, 1, 2, 37])
def test_exit_codes_are_kept(copy: Path, code: int) -> None:
    assert inv(copy, "end", "--code", str(code)).returncode == code


def test_a_changed_lock_is_installed_and_a_half_made_environment_is_repaired(copy: Path) -> None:
    inv(copy, "where")
    lock = copy / "requirements.txt"
    lock.write_text("# changed\n" + lock.read_text(encoding="utf-8"), encoding="utf-8")
    changed = inv(copy, "where")
    assert "making the virtual environment" in changed.stderr
    assert changed.stdout == "/\n"
    # As a killed installation leaves it: no mark, and something missing.
    (copy / ".venv/ready.run").unlink()
    (next(copy.glob(".venv/lib/python3*/site-packages/invoke")) / "__init__.py").unlink()
    assert inv(copy, "where").stdout == "/\n"


def test_ctrl_c_reaches_the_task(copy: Path) -> None:
    inv(copy, "where")
    process = subprocess.Popen([str(copy / "inv"), "linger"], stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 30
    while not (copy / "lingering").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 130


def test_without_rights_the_command_to_type_is_told(copy: Path, tmp_path: Path) -> None:
    """A machine that lacks a package, seen by a person without root or sudo."""
    fakes = {"dpkg-query": "exit 1", "id": "echo 1000", "sudo": "exit 1"}
    for name, body in fakes.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
    result = inv(copy, "lab.up", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.returncode == 2
    assert "as root, run: apt-get update && apt-get install -y --no-install-recommends" in result.stderr
    for package in ("python3-venv", "libvirt-daemon-system", "mmdebstrap"):
        assert package in result.stderr
    assert "shellcheck" not in result.stderr
    skipped = inv(copy, "where", PATH=f"{tmp_path}:{os.environ['PATH']}", INV_SKIP_PACKAGES="1")
    assert skipped.stdout == "/\n"


#: Runs a task; gives its result, what apt-get was asked for, and where the policy of services would be.
Lacking = Callable[..., tuple[subprocess.CompletedProcess[str], list[str], Path]]
FAKE_APT = """#!/bin/sh
# Notes what it was to install, and whether services may be started meanwhile.
policy=start
[ ! -x {policy} ] || {policy} || policy=no-start-$?
case "$*" in *' -s '*) ;; *) echo "$policy $*" >>{notes} ;; esac
exit {code}
"""


#: Each package has a service, a template of one, and a socket.
FAKE_DPKG = """\
#!/bin/sh
[ "$1" = -L ] || exit 0
for unit in "$2.service" "$2@.service" "$2.socket"; do echo "/lib/systemd/system/$unit"; done
"""


@pytest.fixture
def lacking(copy: Path, tmp_path: Path) -> Lacking:
    """Runs a task, as root, on a machine that lacks every package and whose policy file is one of this test."""
    inv(copy, "where")
    policy, notes = tmp_path / "policy-rc.d", tmp_path / "notes"
    script = (copy / "inv").read_text(encoding="utf-8")
    changed = tmp_path / "copy"
    shutil.copytree(copy, changed, symlinks=True)
    script = script.replace("=/usr/sbin/policy-rc.d", f"={policy}")
    # As if systemd ran here.
    (changed / "inv").write_text(script.replace("-d /run/systemd/system", f"-d {tmp_path}"), encoding="utf-8")
    fakes = tmp_path / "fakes"
    fakes.mkdir()

    def run(*words: str, code: int = 0) -> tuple[subprocess.CompletedProcess[str], list[str], Path]:
        bodies = {
            "apt-get": FAKE_APT.format(policy=policy, notes=notes, code=code),
            "dpkg-query": "#!/bin/sh\nexit 1\n",
            "dpkg": FAKE_DPKG,
            "id": "#!/bin/sh\necho 0\n",
            "systemctl": f'#!/bin/sh\necho "systemctl $*" >>"{notes}"\n',
        }
        for name, body in bodies.items():
            (fakes / name).write_text(body, encoding="utf-8")
            (fakes / name).chmod(0o755)
        result = inv(changed, *words, PATH=f"{fakes}:{os.environ['PATH']}")
        return result, notes.read_text(encoding="utf-8").splitlines() if notes.exists() else [], policy

    return run


DAEMONS = ("openssh-server", "unbound", "freeradius", "kamailio")


def test_daemons_of_tests_are_installed_without_starting_them(
    lacking: Lacking,
) -> None:
    _, notes, policy = lacking("test.drivers")
    installs = [line for line in notes if " install " in line]
    assert len(installs) == 2
    assert installs[0].startswith("start ")
    assert "libvirt-daemon-system" in installs[0]
    assert installs[1].startswith("no-start-101 ")
    for name in DAEMONS:
        assert name not in installs[0].split()
        assert name in installs[1].split()
    assert not policy.exists()


def test_no_service_of_a_daemon_starts_at_the_next_boot(lacking: Lacking) -> None:
    _, notes, _ = lacking("lab.up")
    assert [line for line in notes if line.startswith("systemctl ")] == [
        "systemctl disable fence-virtd.service",
        "systemctl disable fence-virtd.socket",
    ]


def test_a_failed_installation_leaves_no_policy_behind(
    lacking: Lacking,
) -> None:
    result, notes, policy = lacking("test.drivers", code=100)
    assert result.returncode == 1
    assert notes
    assert not policy.exists()


def test_a_policy_of_the_machine_is_left_alone(lacking: Lacking, tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 7\n", encoding="utf-8")
    policy.chmod(0o755)
    _, notes, _ = lacking("test.drivers")
    assert {line.split()[0] for line in notes if " install " in line} == {"no-start-7"}
    assert policy.read_text(encoding="utf-8") == "#!/bin/sh\nexit 7\n"


def test_daemons_are_for_driver_tests_alone(
    lacking: Lacking,
) -> None:
    for words in (["lab.up"], ["test.unit"], ["lint"]):
        _, notes, _ = lacking(*words)
        assert notes
        assert not {name for line in notes for name in line.split()} & set(DAEMONS)


@pytest.mark.parametrize(
    "words",
    [
        ("lab.up", "-t", "switch"),
        ("lab.doctor", "-tswitch", "--json"),
        ("lab.up", f"--topology={ROOT}/topologies/switch.yaml"),
        ("lab.up", "--topology", "switch"),
    ],
)
def test_open_vswitch_is_for_topologies_that_want_it_and_is_not_started(
    lacking: Lacking, words: tuple[str, ...]
) -> None:
    _, notes, _ = lacking(*words)
    (line,) = [line for line in notes if "openvswitch-switch" in line.split()]
    assert line.startswith("no-start-101 ")


def test_the_fencing_daemon_is_not_started(lacking: Lacking) -> None:
    _, notes, _ = lacking("lab.up")
    (line,) = [line for line in notes if "fence-virtd" in line.split()]
    assert line.startswith("no-start-101 ")


#: An ordinary user: `id` tells the groups of this login, and of the user those in a file; sudo says what it is asked.
FAKE_USER = {
    "id": """\
case "$*" in
    -u) echo 1000 ;;
    -un) echo ada ;;
    -nG) cat "$fakes/login" ;;
    "-nG ada") cat "$fakes/user" ;;
esac
""",
    "sudo": """\
echo "sudo $*" >>"$fakes/asked"
case "$1" in
    -v) exit 1 ;;
    -n) [ -z "${FAKE_PASSWORD:-}" ] ; exit ;;
    -E) cp "$fakes/user" "$fakes/login"; shift 4 ;;
esac
exec "$@"
""",
    "usermod": """\
echo "$(cat "$fakes/user") $(echo "$3" | tr , ' ')" >"$fakes/user"
""",
    "getent": "exit 0\n",
    "apt-get": "exit 0\n",
    "dpkg": "exit 0\n",
    "dpkg-query": "exit 1\n",
    "systemctl": "exit 0\n",
    "tee": "cat >/dev/null\n",
}


@pytest.fixture
def user(copy: Path, tmp_path: Path) -> Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]:
    """Run a command as an ordinary user in some groups; what it printed, and what sudo was asked."""
    inv(copy, "where")
    fakes = tmp_path / "fakes"
    fakes.mkdir()

    def run(*words: str, groups: str, login: str = "", **environment: str) -> tuple[Any, list[str]]:
        for name, body in FAKE_USER.items():
            (fakes / name).write_text(f"#!/bin/sh\nfakes={fakes}\n{body}", encoding="utf-8")
            (fakes / name).chmod(0o755)
        (fakes / "user").write_text(f"{groups}\n", encoding="utf-8")
        (fakes / "login").write_text(f"{login or groups}\n", encoding="utf-8")
        (fakes / "asked").write_text("", encoding="utf-8")
        result = inv(copy, *words, PATH=f"{fakes}:{os.environ['PATH']}", **environment)
        return result, (fakes / "asked").read_text(encoding="utf-8").splitlines()

    return run


User = Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]


def test_an_ordinary_user_joins_the_groups_when_a_labs_packages_are_installed(user: User) -> None:
    result, asked = user("lab.where", groups="ada sudo")
    assert "inv: adding ada to the groups libvirt and kvm with sudo" in result.stderr
    assert [line for line in asked if "usermod" in line] == ["sudo usermod --append --groups libvirt,kvm ada"]
    # The command itself runs once, in a login that knows of the groups.
    assert asked[-1].startswith("sudo -E -u ada -- ")
    assert result.stdout.splitlines() == ["/"]
    # Who is in one of them joins the other one.
    result, asked = user("lab.where", groups="ada sudo libvirt")
    assert [line for line in asked if "usermod" in line] == ["sudo usermod --append --groups kvm ada"]


def test_who_has_left_a_group_is_not_put_back_later(user: User) -> None:
    result, asked = user("lab.where", groups="ada sudo", INV_SKIP_PACKAGES="1")
    assert asked == []
    assert result.stdout.splitlines() == ["/"]


def test_a_login_that_is_older_than_the_groups_is_renewed_where_sudo_asks_nothing(user: User) -> None:
    common = {"groups": "ada sudo libvirt kvm", "login": "ada sudo", "INV_SKIP_PACKAGES": "1"}
    result, asked = user("lab.where", **common)
    assert asked[-1].startswith("sudo -E -u ada -- ")
    result, asked = user("lab.where", **common, FAKE_PASSWORD="1")
    assert asked == ["sudo -n true"]
    assert result.stdout.splitlines() == ["/"]
    # What is no business of libvirt's needs no group.
    assert user("where", **common)[1] == []


@pytest.mark.parametrize("words", [("lab.up",), ("lab.up", "-t", "smoke"), ("test.unit",)])
def test_other_topologies_need_no_open_vswitch(lacking: Lacking, words: tuple[str, ...]) -> None:
    _, notes, _ = lacking(*words)
    assert notes
    assert not [line for line in notes if "openvswitch-switch" in line.split()]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("lab.up", "--driver", "vagrant"), True),
        (("lab.up", "--driver=vagrant", "-t", "smoke"), True),
        (("lab.up", "-dvagrant"), True),
        (("lab.box",), True),
        (("test.vagrant",), True),
        (("lab.up",), False),
        (("lab.up", "--driver", "libvirt"), False),
        (("test.unit",), False),
    ],
)
def test_vagrant_is_for_those_who_ask_for_it(lacking: Lacking, words: tuple[str, ...], wanted: bool) -> None:
    result, notes, _ = lacking(*words)
    assert notes
    there = {name for line in notes for name in line.split()} & {"vagrant", "vagrant-libvirt"}
    assert there == ({"vagrant", "vagrant-libvirt"} if wanted else set())
    assert ("vagrant-libvirt" in result.stderr) == wanted


def test_every_package_has_a_known_group_and_a_reason() -> None:
    lines = (ROOT / "packages.txt").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert entries
    for line in entries:
        words, _, reason = line.partition("#")
        assert words.split()[0] in ("python", "lab", "fencing", "test", "daemons", "switch", "vagrant"), line
        assert len(words.split()) == 2, line
        assert reason.strip(), line


def test_the_ci_script_is_the_test_command() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "./inv test </dev/null" in script
