"""The shell text of steps, run by bash for real, and every step of the lab read by shellcheck."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lab_here import BashHere, Recorder, lab_of, session_here

from lab.core.errors import LabError
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run
from lab.doors.ssh import RemoteError
from lab.workflows import cluster, guests, steps, storage
from lab.workflows.steps import Step, carry_out, script

NASTY = """it's a "step" with $HOME, `id`, %s and \\n"""


@pytest.fixture
def here(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> BashHere:
    monkeypatch.setattr(steps, "LOCKS", str(tmp_path_factory.mktemp("locks")))
    return BashHere("brina", Path("ssh_config"), tmp_path)


def do(here: BashHere, *steps: Step) -> list[str]:
    return carry_out(session_here(here, here.root), here, list(steps))


def test_only_what_is_missing_is_done_and_only_once(here: BashHere, tmp_path: Path) -> None:
    wanted = [
        Step("there", "true", "touch never"),
        Step("first", "test -e first", "touch first"),
        Step("second", "test -e second", "test -e first\ntouch second"),
    ]
    assert do(here, *wanted) == ["first", "second"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
    assert do(here, *wanted) == []


def test_a_step_waits_for_the_one_that_a_killed_run_left_at_work(here: BashHere, tmp_path: Path) -> None:
    # As a mount: it fails when another one is under way, and the check sees it only at its end.
    change = "test ! -e begun\ntouch begun\nuntil test -e go; do sleep 0.05; done\ntouch mounted"
    mount = Step("mount", "test -e mounted", change)
    left = subprocess.Popen(["bash", "-s"], cwd=tmp_path, stdin=subprocess.PIPE, start_new_session=True)
    assert left.stdin
    left.stdin.write(script([mount]).encode())
    left.stdin.close()
    wait_until((tmp_path / "begun").exists, what="the first change to begin", deadline=Deadline.after(30))
    with ThreadPoolExecutor() as pool:
        second = pool.submit(do, here, mount)
        waiting = wait_until(lambda: bool(here.scripts), what="the second script", deadline=Deadline.after(30))
        assert waiting and not second.done()
        (tmp_path / "go").touch()
        assert second.result(30) == []
    assert left.wait(30) == 0


@pytest.mark.parametrize("name", ["it's", NASTY, "'", "done twice", "  blanks  "])
def test_a_step_may_be_called_anything(here: BashHere, name: str) -> None:
    assert do(here, Step(name, "false", "true")) == [name]
    with pytest.raises(LabError) as caught:
        do(here, Step(name, "false", "false"))
    assert caught.value.message == f"brina: {name} failed"


def test_a_failure_tells_all_about_itself(here: BashHere, tmp_path: Path) -> None:
    wanted = [
        Step("good", "false", "echo not shown"),
        Step("bad", "false", "echo out\necho err >&2\nexit 7\n", remedy="Try harder"),
        Step("later", "false", "touch later"),
    ]
    with pytest.raises(LabError) as caught:
        do(here, *wanted)
    assert caught.value.message == "brina: bad failed"
    assert caught.value.remedy == "Try harder"
    assert caught.value.details == ("command: echo out echo err >&2 exit 7", "out", "err")
    assert not (tmp_path / "later").exists()


def test_without_a_remedy_there_is_one(here: BashHere) -> None:
    with pytest.raises(LabError, match="bad failed") as caught:
        do(here, Step("bad", "false", "false"))
    assert "./inv lab.ssh brina" in caught.value.remedy


def test_of_much_output_the_end_is_shown(here: BashHere) -> None:
    with pytest.raises(LabError) as caught:
        do(here, Step("bad", "false", "seq 1000; exit 1"))
    assert caught.value.details[1:] == tuple(str(number) for number in range(981, 1001))


@pytest.mark.parametrize(
    "change",
    [
        "false\ntouch after",
        "false; touch after",
        "{ true; false; }\ntouch after",
        'echo "$undefined"\ntouch after',
        "no-such-program\ntouch after",
        "test -e nowhere\ntouch after || true",
    ],
)
def test_a_change_ends_at_its_first_failure(here: BashHere, tmp_path: Path, change: str) -> None:
    with pytest.raises(LabError, match="brina: bad failed"):
        do(here, Step("bad", "false", change))
    assert not (tmp_path / "after").exists()


def test_what_may_fail_in_a_change_may_fail(here: BashHere, tmp_path: Path) -> None:
    change = "false || true\nif false; then :; fi\n! true | false\ntest -e after || touch after"
    assert do(here, Step("tolerant", "test -e after", change)) == ["tolerant"]


def test_standard_input_is_no_ones(here: BashHere) -> None:
    """The script comes by standard input: a command that reads it would eat the steps that follow."""
    steps = [
        Step("reading check", "read -r line", "cat"),
        Step("next", "false", "true"),
    ]
    assert do(here, *steps) == ["reading check", "next"]


def test_a_check_does_not_see_what_another_step_has_set(here: BashHere) -> None:
    steps = [
        Step("one", "variable=1; cd /; false", "cd /; variable=2"),
        Step("two", "pwd | grep -qx /", 'test -z "${variable:-}"'),
    ]
    assert do(here, *steps) == ["one", "two"]


def test_the_language_is_the_same_everywhere(here: BashHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert do(here, Step("language", 'test "$LC_ALL" = C.UTF-8', "false")) == []


def test_a_shell_that_breaks_is_not_a_step(here: BashHere) -> None:
    with pytest.raises(RemoteError, match="brina: `bash -s` failed with exit code 2") as caught:
        do(here, Step("no shell text", "true", ")"))
    assert "syntax error" in "\n".join(caught.value.details)


def test_time_is_allowed_for_all_steps_together_and_scaled(here: BashHere) -> None:
    session = session_here(here, here.root)
    steps = [Step("one", "true", "true", timeout_s=10), Step("two", "true", "true", timeout_s=5)]
    carry_out(session, here, steps)
    assert here.timeouts_s == [15 * session.lab.time_scale]


# The lab's own steps


def scripts_of_the_lab(topology: str, tmp_path: Path) -> dict[str, str]:
    recorder = Recorder("brina", Path("ssh_config"), tmp_path)
    session = session_here(recorder, tmp_path, topology)
    tree = {f"guests/{guest.domain}/seed.tar": b"seed" for guest in session.lab.guests}
    storage.prepare_block_devices(session, session.lab.nodes[0])
    storage.prepare_file_system(session)
    guests.copy_guests(session, tree)
    guests.start_pool(session, session.lab.nodes[0])
    cluster.start_cluster_software(session, session.lab.nodes[0])
    return {f"{number:02}.sh": text for number, text in enumerate(recorder.scripts)}


@pytest.mark.parametrize("topology", ["smoke", "two-node"])
def test_shellcheck_is_content_with_every_step(topology: str, tmp_path: Path) -> None:
    texts = scripts_of_the_lab(topology, tmp_path)
    assert len(texts) >= 8 + len(lab_of(topology).guests)
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    result = run(
        ["shellcheck", "--shell=bash", "--severity=info", "--format=gcc", *sorted(texts)],
        timeout_s=60,
        check=False,
        cwd=tmp_path,
    )
    assert result.ok, result.stdout + result.stderr


def test_no_step_of_the_lab_has_the_name_of_another_in_its_script() -> None:
    lab = lab_of("two-node")
    session = session_here(Recorder("brina", Path(), Path()), Path())
    for of_one in (storage.block_steps(session), guests.kernel_steps(session)):
        names = [step.name for step in of_one]
        assert len(set(names)) == len(names)
        assert script(of_one).count("printf 'done ") == len(names)
    assert all(step.name.endswith(guest.name) for guest in lab.guests for step in guests.disk_steps(session, guest))


def test_a_guests_disk_comes_whole_out_of_the_store_or_not_at_all(
    here: BashHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step itself, with a store of this test, a real tar and a real qemu-img."""
    session = session_here(here, tmp_path)
    guest = session.lab.guests[0]
    mount_point = tmp_path / "mounted"
    mount_point.mkdir()
    object.__setattr__(session.lab.storage, "mount_point", str(mount_point))
    image = tmp_path / f"{guest.image.recipe}.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "64M"], timeout_s=30)
    run(["tar", "-cf", "store", image.name], timeout_s=30, cwd=tmp_path)
    monkeypatch.setattr(guests, "STORE", "missing")
    with pytest.raises(LabError, match=f"disk of {guest.name} failed"):
        do(here, *guests.disk_steps(session, guest))
    target = mount_point / f"{guest.domain}.qcow2"
    assert not target.exists()
    monkeypatch.setattr(guests, "STORE", "store")
    changed = [f"{what} of {guest.name}" for what in ("disk", "writes through", "heartbeat")]
    assert do(here, *guests.disk_steps(session, guest)) == changed
    assert "S" in run(["lsattr", str(target)], timeout_s=30).stdout.split()[0]
    heartbeat = mount_point / f"{guest.domain}-heartbeat.raw"
    assert sorted(mount_point.iterdir()) == [heartbeat, target]
    assert heartbeat.read_bytes() == b"\n" + bytes(65535)
    told = run(["qemu-img", "info", "--output=json", str(target)], timeout_s=30).stdout
    assert f'"virtual-size": {guest.disk_mib * 2**20}' in told
    assert do(here, *guests.disk_steps(session, guest)) == []
