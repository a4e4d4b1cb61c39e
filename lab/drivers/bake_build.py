"""One build: mmdebstrap with the hooks of :mod:`lab.core.bake_plan`, then the initrd and the compressed image."""

from __future__ import annotations

import io
import lzma
import os
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.core import bake_plan
from lab.core.errors import LabError
from lab.core.initrd import load_order, module_name, module_needs, tiny_initrd
from lab.core.kernel_image import unpacked
from lab.core.recipe import Recipe, RecipeFiles
from lab.doors.process import ProcessError, Result, run

BUILD_TIMEOUT_S = 1800.0
CONVERT_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class BuildRequest:
    """What to build and where.

    Args:
        recipe, files: the inputs.
        architecture: Debian architecture.
        work: an empty directory for this build alone.
        packages: directory of downloaded packages, shared with other builds.
        log: file for everything that the tools print.
        report: told about each step.
    """

    recipe: Recipe
    files: RecipeFiles
    architecture: str
    work: Path
    packages: Path
    log: Path
    report: Callable[[str], None]


@dataclass(frozen=True)
class BuildResult:
    """What came out, as files in the work directory.

    Args:
        root, kernel, initrd: the files.
        packages: version by ``name:architecture``.
        tree_mib: what the file system holds, MiB.
    """

    root: Path
    kernel: Path
    initrd: Path
    packages: dict[str, str]
    tree_mib: int


def build(request: BuildRequest) -> BuildResult:
    """Build an image.

    Raises:
        LabError: with the last output, the path of the log and what to try.
    """
    work, recipe = request.work, request.recipe
    _stage(request)
    paths = bake_plan.BuildPaths(build=str(work), packages=str(request.packages))
    arguments = bake_plan.mmdebstrap_arguments(recipe, request.architecture, paths)
    request.report("installing packages")
    _logged(request, [*_bound_to_us(), "mmdebstrap", "--verbose", *arguments], BUILD_TIMEOUT_S)
    packages = dict(line.split("\t") for line in (work / "packages.tsv").read_text().splitlines())
    kernel = work / "kernel"
    startable = unpacked(kernel.read_bytes())
    if startable is not None:
        kernel.write_bytes(startable)
    initrd = work / "initrd"
    if recipe.initrd == "tiny":
        request.report("making the initrd")
        initrd.write_bytes(_tiny(recipe, work))
    request.report("compressing the image")
    raw, root = work / "root.raw", work / "root.qcow2"
    tree_mib = raw.stat().st_blocks * 512 // 2**20
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-W", "-m", "4"]
    _logged(request, [*convert, "-o", "compression_type=zstd", str(raw), str(root)], CONVERT_TIMEOUT_S)
    raw.unlink()
    return BuildResult(root=root, kernel=kernel, initrd=initrd, packages=packages, tree_mib=tree_mib)


def _stage(request: BuildRequest) -> None:
    """Put what the hooks need into the work directory."""
    if os.geteuid():
        _open_to_namespace(request.work)
    for name, text in bake_plan.scripts(request.recipe).items():
        (request.work / name).write_text(text)
    for number, script in enumerate(request.files.scripts):
        (request.work / f"recipe-{number}.sh").write_bytes(script)
    if request.files.overlay:
        (request.work / "overlay.tar").write_bytes(_overlay_archive(request.files))


def _open_to_namespace(work: Path) -> None:
    """Let the users of mmdebstrap's unshare mode work here; what shall be ours afterwards is there before.

    Raises:
        LabError: a directory above is closed to others, as homes often are.
    """
    closed = [path for path in work.parents if not path.stat().st_mode & 0o001]
    if closed:
        raise LabError(
            f"{closed[0]} is closed to other users, so nothing can be baked below it without being root",
            remedy="bake as root, or open that directory with chmod o+x",
        )
    work.chmod(0o777)
    for name in ("kernel", "initrd", "busybox", "modules.tar", "packages.tsv", "root.raw"):
        (work / name).touch()
        (work / name).chmod(0o666)


def _overlay_archive(files: RecipeFiles) -> bytes:
    """The overlay as a tar of files alone, so that directories and links of the image stay as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, file in sorted(files.overlay.items()):
            member = tarfile.TarInfo(path)
            member.mode = 0o755 if file.executable else 0o644
            if file.link:
                member.type, member.linkname = tarfile.SYMTYPE, file.content.decode()
                archive.addfile(member)
            else:
                member.size = len(file.content)
                archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


def _bound_to_us() -> list[str]:
    """A prefix that ends the whole build when this process ends, even by SIGKILL.

    As root the build gets a PID namespace of its own, which the kernel empties when its first process dies;
    mmdebstrap does the same by itself in its unshare mode.
    """
    prefix = ["setpriv", "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        prefix += ["unshare", "--pid", "--mount-proc", "--fork", "--kill-child=KILL"]
    return prefix


def _logged(request: BuildRequest, argv: list[str], timeout_s: float) -> Result:
    """Run a tool, append what it prints to the log, and turn a failure into an error that helps."""
    name = request.recipe.name
    try:
        result = run(argv, timeout_s=timeout_s, check=False, env={"TMPDIR": str(request.work)})
    except ProcessError as error:
        result = error.result
    with request.log.open("a") as log:
        log.write(f"$ {' '.join(argv)}\n{result.stdout}{result.stderr}exit code {result.returncode}\n")
    if result.ok:
        return result
    output = (result.stdout + result.stderr).strip().splitlines()
    what, remedy = explain(result.stdout + result.stderr)
    raise LabError(
        f"baking {name} ({request.recipe.suite}) failed: {what}",
        remedy=remedy,
        details=[*output[-15:], f"log: {request.log}"],
    )


#: Pattern in the output, what it means, what to do about it.
FAILURES = (
    (r"No space left on device", "the disk is full", "make room, or empty the image cache with lab.prune"),
    (
        r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate",
        "package {} is not in this suite",
        "correct the recipe's packages, or choose another suite",
    ),
    (
        r"No such file or directory: '(mmdebstrap|qemu-img|unshare|setpriv)'"
        r"|(?:failed to execute|exec|execute) (mmdebstrap|qemu-img|unshare)",
        "{} is missing",
        "install the packages mmdebstrap, qemu-utils, e2fsprogs and util-linux",
    ),
    (
        r"Failed to fetch \S+/(\S+)\s+404 ",
        "the package mirror lists {}, but does not have it",
        "try again later, when the mirror is whole again, or choose another suite",
    ),
    (
        r"Could not resolve|Temporary failure resolving|Could not connect|Unable to connect|Failed to fetch",
        "the package mirror cannot be reached",
        "check the network, or the proxy in http_proxy",
    ),
)


def explain(output: str) -> tuple[str, str]:
    """What a failed build's output means, and what to try."""
    for pattern, meaning, remedy in FAILURES:
        match = re.search(pattern, output)
        if match:
            word = next((group for group in match.groups() if group), "")
            return meaning.format(word), remedy
    return "a tool failed", "read the log; bake again when the cause is gone"


def _tiny(recipe: Recipe, work: Path) -> bytes:
    """The lab's own initrd out of the image's busybox and the modules of the kernel."""
    with tarfile.open(work / "modules.tar") as archive:
        members = {module_name(name): name for name in archive.getnames() if ".ko" in name}
        version = next(name for name in archive.getnames() if name.endswith("/modules.builtin"))
        builtin = {module_name(line) for line in _read(archive, version).decode().splitlines()}
        modules: dict[str, bytes] = {}

        def needs(name: str) -> tuple[str, ...]:
            if name not in modules:
                content = _read(archive, members[name])
                modules[name] = lzma.decompress(content) if members[name].endswith(".xz") else content
            return tuple(each for each in module_needs(modules[name]) if each not in builtin)

        try:
            order = load_order([name for name in recipe.modules if name.replace("-", "_") not in builtin], needs)
        except KeyError as error:
            raise LabError(
                f"the kernel of {recipe.suite} has no module {error.args[0]}",
                remedy=f"correct initrd.modules of the recipe {recipe.name}",
            ) from error
    files = {f"{name}.ko": modules[name] for name in order}
    return tiny_initrd((work / "busybox").read_bytes(), files, [f"{name}.ko" for name in order])


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise LabError(f"{name} is not a file", remedy="look at the kernel package of the recipe")
    return file.read()
