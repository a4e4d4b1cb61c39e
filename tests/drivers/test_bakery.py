"""The bakery around its builder (cache, lock, killed bakes), and one real bake of a small image."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.core.errors import InputError, LabError
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import run
from lab.drivers import image_cache
from lab.drivers.bake_build import BuildRequest, BuildResult, explain
from lab.drivers.bakery import bake, find_baked, load_recipe
from lab.drivers.guest_store import guest_store

RECIPE = """
name: small
description: a small image
suite: bookworm
size_mib: 512
kernel: linux-image-cloud-amd64
packages: [busybox-static]
initrd: {kind: tiny, modules: [virtio_pci, virtio_blk, ext4, virtio_net]}
"""


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    directory = tmp_path / "recipes" / "small"
    (directory / "rootfs" / "etc" / "lab").mkdir(parents=True)
    (directory / "recipe.yaml").write_text(RECIPE)
    (directory / "rootfs" / "etc" / "lab" / "hello").write_text("hello\n")
    (directory / "customize.sh").write_text('touch "$1/etc/lab/customized"\n')
    return tmp_path / "recipes"


def fake(counter: list[str], suffix: str = "") -> Callable[[BuildRequest], BuildResult]:
    def build(request: BuildRequest) -> BuildResult:
        counter.append(request.recipe.name)
        request.report("pretending")
        paths = {name: request.work / name for name in ("root", "kernel", "initrd")}
        for name, path in paths.items():
            path.write_text(name + suffix)
        return BuildResult(paths["root"], paths["kernel"], paths["initrd"], {"busybox-static:amd64": "1"}, 1)

    return build


def test_a_second_bake_takes_what_the_first_has_made(recipes: Path, tmp_path: Path) -> None:
    built: list[str] = []
    steps: list[tuple[str, str]] = []
    source = load_recipe("small", recipes=recipes)
    first = bake(source, tmp_path / "cache", builder=fake(built), report=lambda *step: steps.append(step))
    second = bake(source, tmp_path / "cache", builder=fake(built))
    assert built == ["small"]
    assert steps == [("small", "pretending")]
    assert (first.cached, second.cached) == (False, True)
    assert first.root == second.root
    assert first.root.read_text() == "root"
    assert second.packages == {"busybox-static:amd64": "1"}
    manifest = json.loads(second.manifest.read_text())
    assert manifest["key"] == source.key
    assert manifest["files"]["kernel"]["size"] == len("kernel")


@pytest.mark.parametrize("changed", ["recipe.yaml", "customize.sh", "rootfs/etc/lab/hello", "mode", "suite"])
def test_every_changed_input_makes_another_image(recipes: Path, tmp_path: Path, changed: str) -> None:
    built: list[str] = []
    first = bake(load_recipe("small", recipes=recipes), tmp_path / "cache", builder=fake(built))
    if changed == "mode":
        (recipes / "small/rootfs/etc/lab/hello").chmod(0o755)
    elif changed != "suite":
        with (recipes / "small" / changed).open("a") as file:
            file.write("\n# changed\n")
    source = load_recipe("small", recipes=recipes, suite="trixie" if changed == "suite" else "")
    second = bake(source, tmp_path / "cache", builder=fake(built))
    assert len(built) == 2
    assert first.root != second.root
    assert first.root.exists()


def test_a_damaged_image_is_not_trusted(recipes: Path, tmp_path: Path) -> None:
    source = load_recipe("small", recipes=recipes)
    image = bake(source, tmp_path / "cache", builder=fake([]))
    image.root.write_text("ro")
    assert find_baked(source, tmp_path / "cache") is None
    assert bake(source, tmp_path / "cache", builder=fake([])).root.read_text() == "root"
    image.manifest.write_text("{")
    assert find_baked(source, tmp_path / "cache") is None


def test_two_bakes_of_one_image_at_once_build_it_once(recipes: Path, tmp_path: Path) -> None:
    built: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    steps: list[str] = []

    def slow(request: BuildRequest) -> BuildResult:
        begun.set()
        assert go_on.wait(10)
        return fake(built)(request)

    def report(_name: str, step: str) -> None:
        steps.append(step)
        go_on.set()

    source = load_recipe("small", recipes=recipes)
    results: list[bool] = []
    first = threading.Thread(target=lambda: results.append(bake(source, tmp_path, builder=slow).cached))
    first.start()
    assert begun.wait(10)
    # The second one reports that it waits, which lets the first one go on.
    assert bake(source, tmp_path, builder=fake(built), report=report, wait_s=10).cached
    first.join()
    assert built == ["small"]
    assert results == [False]
    assert steps[0] == "waiting for another bake of the same image"


def test_waiting_for_another_bake_ends(recipes: Path, tmp_path: Path) -> None:
    image_cache.prepare(tmp_path)
    with (
        image_cache.lock(tmp_path, "small-bookworm", wait_s=1),
        pytest.raises(LabError, match="another bake of small-bookworm"),
    ):
        bake(load_recipe("small", recipes=recipes), tmp_path, builder=fake([]), wait_s=0.2)


def test_a_failed_build_leaves_nothing_but_its_log(recipes: Path, tmp_path: Path) -> None:
    def failing(request: BuildRequest) -> BuildResult:
        (request.work / "root").write_text("half")
        raise LabError("no")

    source = load_recipe("small", recipes=recipes)
    with pytest.raises(LabError, match="no"):
        bake(source, tmp_path, builder=failing)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "logs", "packages", "recipes"]
    assert find_baked(source, tmp_path) is None


KILLED = """
import sys, time
from pathlib import Path
from lab.drivers.bakery import bake, load_recipe

def hanging(request):
    (request.work / "root").write_text("half")
    print("begun", flush=True)
    time.sleep(60)

bake(load_recipe("small", recipes=Path(sys.argv[1])), Path(sys.argv[2]), builder=hanging)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    root = str(Path(__file__).parent.parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    words = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)


def test_what_a_killed_bake_leaves_is_not_trusted_and_goes_at_the_next_one(recipes: Path, tmp_path: Path) -> None:
    process = start(KILLED, str(recipes), str(tmp_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.kill()
    process.wait()
    leftover = tmp_path / ".work-small-bookworm"
    assert (leftover / "root").exists()
    source = load_recipe("small", recipes=recipes)
    assert find_baked(source, tmp_path) is None
    assert bake(source, tmp_path, builder=fake([])).root.read_text() == "root"
    assert not leftover.exists()


def test_leftovers_of_other_images_go_unless_they_are_at_work(tmp_path: Path) -> None:
    image_cache.prepare(tmp_path)
    for name in ("dead", "busy"):
        (tmp_path / f".work-{name}").mkdir()
    with image_cache.lock(tmp_path, "busy", wait_s=1):
        assert image_cache.remove_leftovers(tmp_path) == ["dead"]
    assert [path.name for path in tmp_path.glob(".work-*")] == [".work-busy"]


@pytest.fixture
def closed_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache below a home that is closed to others, and an ordinary user; builds may go to a place beside it."""
    tmp_path.chmod(0o755)
    open_place = tmp_path / "open"
    home = tmp_path / "home"
    for path, mode in ((open_place, 0o755), (home, 0o700)):
        path.mkdir()
        path.chmod(mode)
    monkeypatch.setattr(image_cache, "OPEN_PLACE", open_place)
    monkeypatch.setattr(image_cache.os, "geteuid", lambda: 1000)
    return home


def test_below_a_closed_home_the_build_is_elsewhere(recipes: Path, tmp_path: Path, closed_home: Path) -> None:
    places: list[Path] = []

    def building(request: BuildRequest) -> BuildResult:
        places.append(request.work)
        assert request.work.parent.stat().st_mode & 0o777 == 0o711
        return fake([])(request)

    image = bake(load_recipe("small", recipes=recipes), closed_home / "cache", builder=building)
    assert image.root.read_text() == "root"
    assert image.root.is_relative_to(closed_home)
    assert places[0].parent.parent == tmp_path / "open"
    assert list((tmp_path / "open").iterdir()) == []
    assert list((closed_home / "cache").glob(".work-*")) == []


def test_a_killed_build_elsewhere_is_found_and_goes(tmp_path: Path, closed_home: Path) -> None:
    image_cache.prepare(closed_home)
    image_cache._make_elsewhere(closed_home / ".work-dead")
    # One that was killed before it had made its directory leaves a link to nowhere.
    (closed_home / ".work-early").symlink_to(tmp_path / "open" / "ha-lab-x" / "y")
    assert image_cache.remove_leftovers(closed_home) == ["dead", "early"]
    assert list((tmp_path / "open").iterdir()) == []
    assert list(closed_home.glob(".work-*")) == []


def test_a_file_from_another_file_system_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft, target = tmp_path / "elsewhere-draft", tmp_path / "image"
    draft.write_text("whole")
    rename = Path.rename

    def other_file_system(self: Path, to: Path) -> Path:
        if self == draft:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", other_file_system)
    image_cache.publish(draft, target)
    assert [path.name for path in tmp_path.iterdir()] == ["image"]
    assert target.read_text() == "whole"


def test_a_recipe_that_is_not_there(recipes: Path) -> None:
    with pytest.raises(LabError) as caught:
        load_recipe("large", recipes=recipes)
    assert caught.value.remedy == "choose one of: small"


def test_a_base_that_is_not_there(recipes: Path) -> None:
    (recipes / "small" / "recipe.yaml").write_text(RECIPE + "base: ground\n")
    with pytest.raises(InputError, match="1 problem"):
        load_recipe("small", recipes=recipes)


def test_the_base_comes_underneath(recipes: Path) -> None:
    base = recipes / "ground"
    (base / "rootfs" / "etc" / "lab").mkdir(parents=True)
    (base / "rootfs" / "etc" / "lab" / "hello").write_text("from the base\n")
    (base / "rootfs" / "etc" / "lab" / "own").symlink_to("hello")
    (base / "customize.sh").write_text("first\n")
    (recipes / "small" / "recipe.yaml").write_text(RECIPE + "base: ground\n")
    files = load_recipe("small", recipes=recipes).files
    assert files.overlay["etc/lab/hello"].content == b"hello\n"
    assert files.overlay["etc/lab/own"].link
    assert [script.split()[0] for script in files.scripts] == [b"first", b"touch"]


@pytest.mark.parametrize(
    ("output", "message", "remedy"),
    [
        ("cp: error writing 'x': No space left on device", "the disk is full", "make room"),
        ("E: Unable to locate package sendmial", "package sendmial is not in this suite", "correct the recipe"),
        ("E: Package 'asterisk' has no installation candidate", "package asterisk is not", "correct the recipe"),
        ("setpriv: failed to execute mmdebstrap: No such file", "mmdebstrap is missing", "install the packages"),
        (
            "E: Failed to fetch http://x/pool/c/corosync/libcfg7_3.1.2-2%2bdeb11u2_amd64.deb  404  Not Found",
            "the package mirror lists libcfg7_3.1.2-2%2bdeb11u2_amd64.deb, but does not have it",
            "try again later, when the mirror is whole again, or choose another suite",
        ),
        (
            "E: Failed to fetch http://x  Temporary failure resolving 'x'",
            "the package mirror cannot",
            "check the network",
        ),
        ("segmentation fault", "a tool failed", "read the log"),
    ],
)
def test_failures_are_explained(output: str, message: str, remedy: str) -> None:
    found_message, found_remedy = explain(output)
    assert found_message.startswith(message)
    assert found_remedy.startswith(remedy)


def test_the_guest_store_is_the_same_for_the_same_images(recipes: Path, tmp_path: Path) -> None:
    image = bake(load_recipe("small", recipes=recipes), tmp_path, builder=fake([]))
    store = guest_store([image, image], tmp_path)
    content = store.read_bytes()
    assert len(content) % 2**20 == 0
    listed = run(["tar", "-tf", str(store)], timeout_s=10).stdout.split()
    assert listed == ["guest-bookworm-initrd", "guest-bookworm-vmlinuz", "small.qcow2"]
    assert run(["tar", "-xOf", str(store), "small.qcow2"], timeout_s=10).stdout == "root"
    store.unlink()
    again = guest_store([image], tmp_path)
    assert again == store
    assert again.read_bytes() == content
    other = bake(load_recipe("small", recipes=recipes, suite="trixie"), tmp_path, builder=fake([], "2"))
    assert guest_store([other], tmp_path) != store
    with pytest.raises(LabError, match="two different images are called small"):
        guest_store([image, other], tmp_path)


def test_a_real_bake(recipes: Path, tmp_path: Path) -> None:
    source = load_recipe("small", recipes=recipes)
    own_lists = sorted(Path("/var/lib/apt/lists").rglob("*"))
    image = bake(source, tmp_path / "cache")
    assert sorted(Path("/var/lib/apt/lists").rglob("*")) == own_lists
    assert image.kernel is not None and image.initrd is not None
    information = json.loads(run(["qemu-img", "info", "--output=json", str(image.root)], timeout_s=30).stdout)
    assert information["format"] == "qcow2"
    assert information["virtual-size"] == 512 * 2**20
    assert information["format-specific"]["data"]["compression-type"] == "zstd"
    assert "busybox-static:amd64" in image.packages
    raw = tmp_path / "root.raw"
    run(["qemu-img", "convert", "-O", "raw", str(image.root), str(raw)], timeout_s=60)
    run(["e2fsck", "-fn", str(raw)], timeout_s=60)

    def inside(command: str) -> str:
        result = run(["debugfs", "-R", command, str(raw)], timeout_s=30)
        return result.stdout + result.stderr.split("\n", 1)[-1]

    assert inside("cat /etc/lab/hello") == "hello\n"
    assert "Type: regular" in inside("stat /etc/lab/customized")
    assert inside("cat /etc/machine-id") == ""
    assert "Mode:  01777" in inside("stat /tmp")
    assert "mmdebstrap" not in inside("ls /tmp") + inside("ls /etc/apt/apt.conf.d")
    # Nothing of the machine that bakes, nothing that only the bake needed.
    for path in ("/etc/hostname", "/etc/resolv.conf", "/proc/version", "/usr/sbin/policy-rc.d", "/usr/share/man/man1"):
        assert "File not found" in inside(f"stat {path}"), path
    assert "virtio_blk.ko" in image.initrd.read_bytes().decode("latin-1")
    assert [path.name for path in (tmp_path / "cache").glob(".work-*")] == []


def test_a_package_that_does_not_exist(recipes: Path, tmp_path: Path) -> None:
    file = recipes / "small" / "recipe.yaml"
    file.write_text(RECIPE.replace("busybox-static", "there-is-no-such-package"))
    with pytest.raises(LabError) as caught:
        bake(load_recipe("small", recipes=recipes), tmp_path / "cache")
    assert str(caught.value).endswith("package there-is-no-such-package is not in this suite")
    assert caught.value.remedy
    log = Path(caught.value.details[-1].removeprefix("log: "))
    assert "Unable to locate package there-is-no-such-package" in log.read_text()


REAL = """
import sys
from pathlib import Path
from lab.drivers.bakery import bake, load_recipe
bake(load_recipe("small", recipes=Path(sys.argv[1])), Path(sys.argv[2]))
"""


def processes_in(directory: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line:
            found.append(line)
    return found


def test_a_killed_real_bake_takes_its_processes_and_mounts_with_it(recipes: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    process = start(REAL, str(recipes), str(cache))

    def packages_come() -> bool:
        return any(cache.glob(".work-*/mmdebstrap.*/var/lib/dpkg/status"))

    try:
        wait_until(packages_come, what="mmdebstrap at work", deadline=Deadline.after(120))
        assert any("mmdebstrap" in line for line in processes_in(cache))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not processes_in(cache), what="the build's end", deadline=Deadline.after(10))
    assert str(cache) not in Path("/proc/self/mounts").read_text()
    assert image_cache.remove_leftovers(cache) == ["small-bookworm"]
