"""Baking: a recipe and Debian's packages become a disk image, a kernel and an initrd; nothing is booted.

mmdebstrap makes the tree, mke2fs the file system, qemu-img the compressed image. The result is cached by the hash of
every input (:func:`lab.core.recipe.cache_key`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.core import bake_plan
from lab.core.errors import InputError, LabError, Problem
from lab.core.recipe import BAKERY_FORMAT, OverlayFile, Recipe, RecipeFiles, cache_key, parse_recipe
from lab.doors.clock import now_s
from lab.drivers import image_cache
from lab.drivers.bake_build import BuildRequest, BuildResult, build
from lab.drivers.image_cache import BakedImage

RECIPES = Path(__file__).parent.parent / "recipes"
ARCHITECTURE = "amd64"

#: Space that a bake takes at its worst: tree, raw image (sparse), packages and the result.
NEEDED_MIB = 4096

Report = Callable[[str, str], None]
"""Called with the image's name and what happens now."""


@dataclass(frozen=True)
class RecipeSource:
    """A recipe with the files beside it, read from disk."""

    recipe: Recipe
    text: str
    files: RecipeFiles

    @property
    def key(self) -> str:
        """Hash of every input of a bake."""
        plan = bake_plan.fingerprint(self.recipe, ARCHITECTURE)
        return cache_key(self.text, self.files, suite=self.recipe.suite, architecture=ARCHITECTURE, plan=plan)

    @property
    def stem(self) -> str:
        """Beginning of the names of all files of the image."""
        return f"{self.recipe.name}-{self.recipe.suite}-{self.key[:16]}"


def load_recipe(name: str, *, suite: str = "", recipes: Path = RECIPES) -> RecipeSource:
    """Read a recipe and its files.

    Args:
        name: name of the recipe, which is the name of its directory.
        suite: Debian suite to use instead of the recipe's own.
        recipes: directory of recipes.

    Raises:
        InputError: the recipe is wrong.
        LabError: there is none of this name.
    """
    directory = recipes / name
    file = directory / "recipe.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.parent.name for path in recipes.glob("*/recipe.yaml")))
        raise LabError(f"there is no recipe {name!r} in {recipes}", remedy=f"choose one of: {known}", exit_code=2)
    text = file.read_text()
    recipe = parse_recipe(text, source=str(file), suite=suite)
    directories = [recipes / recipe.base] if recipe.base else []
    directories.append(directory)
    for each in directories:
        if not each.is_dir():
            problem = Problem("base", f"there is no directory {each.name!r}", f"choose one in {recipes}")
            raise InputError(str(file), [problem])
    scripts = tuple(path.read_bytes() for path in (each / "customize.sh" for each in directories) if path.is_file())
    return RecipeSource(recipe, text, RecipeFiles(_overlay(directories), scripts))


def _overlay(directories: Sequence[Path]) -> dict[str, OverlayFile]:
    """The files of each ``rootfs``, later ones over earlier ones."""
    overlay = {}
    for root in (directory / "rootfs" for directory in directories):
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root).as_posix()
            if path.is_symlink():
                overlay[inside] = OverlayFile(str(path.readlink()).encode(), link=True)
            elif path.is_file():
                overlay[inside] = OverlayFile(path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))
    return overlay


def find_baked(source: RecipeSource, cache_dir: Path) -> BakedImage | None:
    """The image of this recipe when it is in the cache already."""
    return image_cache.find(cache_dir, source.stem)


def bake(
    source: RecipeSource,
    cache_dir: Path,
    *,
    report: Report = lambda _name, _step: None,
    builder: Callable[[BuildRequest], BuildResult] = build,
    wait_s: float = 1800.0,
) -> BakedImage:
    """The image of a recipe, out of the cache or made now.

    Two bakes of the same image do not run at once: the second one waits, and takes the first one's result.

    Args:
        source: the recipe.
        cache_dir: directory of the image cache; made when missing.
        report: told about each step.
        builder: makes the files; tests give one of their own.
        wait_s: how long to wait for another bake of the same image, seconds.

    Raises:
        LabError: a tool or package is missing, the disk is full, or the bake failed; with its last output and log.
    """
    name = source.recipe.name
    found = find_baked(source, cache_dir)
    if found:
        return found
    image_cache.prepare(cache_dir)
    lock_name = f"{name}-{source.recipe.suite}"
    waiting = lambda: report(name, "waiting for another bake of the same image")  # noqa: E731
    with image_cache.lock(cache_dir, lock_name, wait_s=wait_s, waiting=waiting):
        found = find_baked(source, cache_dir)
        if found:
            return found
        with image_cache.work_directory(cache_dir, lock_name) as work:
            _require_space(cache_dir)
            _require_space(work)
            return _bake_into(source, cache_dir, work, report, builder)


def _bake_into(
    source: RecipeSource,
    cache_dir: Path,
    work: Path,
    report: Report,
    builder: Callable[[BuildRequest], BuildResult],
) -> BakedImage:
    started_s = now_s()
    log = cache_dir / "logs" / f"{source.stem}.log"
    packages = cache_dir / "packages" / source.recipe.suite
    packages.mkdir(parents=True, exist_ok=True)
    request = BuildRequest(
        recipe=source.recipe,
        files=source.files,
        architecture=ARCHITECTURE,
        work=work,
        packages=packages,
        log=log,
        report=lambda step: report(source.recipe.name, step),
    )
    result = builder(request)
    manifest: dict[str, Any] = {
        "name": source.recipe.name,
        "suite": source.recipe.suite,
        "architecture": ARCHITECTURE,
        "key": source.key,
        "format": BAKERY_FORMAT,
        "packages": result.packages,
        "tree_mib": result.tree_mib,
        "duration_s": round(now_s() - started_s, 1),
    }
    files = {
        "root": (result.root, ".qcow2"),
        "kernel": (result.kernel, "-vmlinuz"),
        "initrd": (result.initrd, "-initrd"),
    }
    image_cache.store(cache_dir, source.stem, files, manifest)
    image = find_baked(source, cache_dir)
    if image is None:
        raise LabError(
            f"the image {source.stem} vanished from {cache_dir}", remedy="bake again", details=[f"log: {log}"]
        )
    return replace(image, cached=False)


def _require_space(cache_dir: Path) -> None:
    free_mib = shutil.disk_usage(cache_dir).free // 2**20
    if free_mib < NEEDED_MIB:
        raise LabError(
            f"only {free_mib} MiB are free in {cache_dir}, a bake needs {NEEDED_MIB} MiB",
            remedy="make room there, or empty the image cache with lab.prune",
        )


def bake_all(
    sources: Sequence[RecipeSource],
    cache_dir: Path,
    *,
    report: Report = lambda _name, _step: None,
    workers: int = 2,
) -> list[BakedImage]:
    """Bake several images, some at once; the order of the results is that of the recipes.

    Args:
        sources: the recipes.
        cache_dir: directory of the image cache.
        report: told about each step, from several threads.
        workers: how many at once.

    Raises:
        LabError: the first failure; what has begun is finished before, what has not begun is left.
    """
    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(bake, source, cache_dir, report=report) for source in sources]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
