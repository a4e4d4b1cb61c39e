"""Recipes of images: what goes into an image, checked as a whole, and the hash that names the result.

A recipe is a directory ``lab/recipes/<name>/`` with ``recipe.yaml``, an optional overlay tree ``rootfs/`` and an
optional ``customize.sh``. Everything in here works on text and bytes that somebody else has read.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from lab.core.errors import InputError, Problem

InitrdKind = Literal["distribution", "tiny"]

#: Part of every cache key; raised when the bakery makes something else out of the same inputs.
BAKERY_FORMAT = 3

SUITES = ("bullseye", "bookworm", "trixie")
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+-?")
MODULE = re.compile(r"[a-zA-Z0-9_-]+")
UNIT = re.compile(r"[A-Za-z0-9@:_.\\*-]+\.(service|socket|timer|target|path|mount|slice)")
GLOB = re.compile(r"/[A-Za-z0-9_.*?/+@-]+")

#: Largest size of a file system that a recipe may ask for; more is surely a wrong unit.
MAX_SIZE_MIB = 1024 * 1024
MIN_SIZE_MIB = 64


@dataclass(frozen=True)
class Recipe:
    """What an image is made of.

    Args:
        name: name of the recipe and of its directory.
        base: another directory beside it, whose overlay and script come first; empty for none.
        suite: Debian suite that the packages come from.
        size_mib: size of the root file system; the image is sparse and compressed, so size costs nothing.
        packages: packages on top of mmdebstrap's ``minbase``; a name with ``-`` at its end is kept out.
        kernel: package of the kernel.
        initrd: ``distribution`` for initramfs-tools inside the image, ``tiny`` for one of the lab's own.
        modules: kernel modules in the initrd, loaded in this order (their dependencies come by themselves).
        exclude: path patterns that dpkg leaves out, as in dpkg.cfg(5) ``path-exclude``.
        enable, disable, mask: systemd units.
    """

    name: str
    suite: str
    size_mib: int
    packages: tuple[str, ...]
    kernel: str
    initrd: InitrdKind
    modules: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    base: str = ""


@dataclass(frozen=True)
class OverlayFile:
    """One file of the overlay tree; owner is root, mode 0755 or 0644, whatever the checkout's umask was.

    Args:
        content: bytes of the file, or the target of a symbolic link.
        executable: whether the owner's execute bit is set.
        link: whether it is a symbolic link.
    """

    content: bytes
    executable: bool = False
    link: bool = False


@dataclass(frozen=True)
class RecipeFiles:
    """The files beside the recipe.

    Args:
        overlay: path in the image, without a leading slash, to the file.
        scripts: ``customize.sh`` of the base and of the recipe, run with the root directory as their first argument.
    """

    overlay: Mapping[str, OverlayFile] = field(default_factory=dict)
    scripts: tuple[bytes, ...] = ()


class _Checker:
    """Takes values out of a mapping, and collects what is wrong instead of stopping at the first."""

    def __init__(self, document: Mapping[str, Any], place: str, problems: list[Problem]) -> None:
        self.document = document
        self.place = place
        self.problems = problems
        self.known: list[str] = []

    def at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def wrong(self, key: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(self.at(key), message, remedy))

    def text(self, key: str, valid: Callable[[str], object], remedy: str, default: str = "") -> str:
        self.known.append(key)
        value = self.document.get(key, default or None)
        if value is None:
            self.wrong(key, "missing", remedy)
        elif not isinstance(value, str) or not valid(value):
            self.wrong(key, f"not allowed: {value!r}", remedy)
        else:
            return value
        return default

    def integer(self, key: str, lowest: int, highest: int) -> int:
        self.known.append(key)
        value = self.document.get(key)
        remedy = f"give a whole number of MiB from {lowest} to {highest}"
        if value is None:
            self.wrong(key, "missing", remedy)
        elif isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.wrong(key, f"not allowed: {value!r}", remedy)
        else:
            return value
        return lowest

    def texts(self, key: str, pattern: re.Pattern[str], remedy: str) -> tuple[str, ...]:
        self.known.append(key)
        value = self.document.get(key, [])
        if not isinstance(value, list):
            self.wrong(key, f"not a list: {value!r}", remedy)
            return ()
        seen: set[str] = set()
        for number, item in enumerate(value):
            if not isinstance(item, str) or not pattern.fullmatch(item):
                self.wrong(f"{key}[{number}]", f"not allowed: {item!r}", remedy)
            elif item in seen:
                self.wrong(f"{key}[{number}]", f"given twice: {item!r}", "remove one of them")
            else:
                seen.add(item)
        return tuple(item for item in value if isinstance(item, str))

    def mapping(self, key: str) -> _Checker:
        self.known.append(key)
        value = self.document.get(key, {})
        if not isinstance(value, dict):
            self.wrong(key, f"not a mapping: {value!r}", "give keys and values")
            value = {}
        return _Checker(value, self.at(key), self.problems)

    def refuse_unknown(self) -> None:
        for key in self.document:
            if key not in self.known:
                near = difflib.get_close_matches(str(key), self.known, 1)
                remedy = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(self.known))}"
                self.wrong(str(key), "unknown key", remedy)


def parse_recipe(text: str, *, source: str, suite: str = "") -> Recipe:
    """Read and check a recipe.

    Args:
        text: the YAML document.
        source: where it came from, for messages.
        suite: Debian suite to use instead of the recipe's own.

    Raises:
        InputError: with every problem of the document at once.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        problem = Problem("", f"not YAML: {getattr(error, 'problem', error)}", "correct the syntax", line)
        raise InputError(source, [problem]) from error
    if not isinstance(document, dict):
        raise InputError(source, [Problem("", "not a mapping of keys and values", "start with `name: ...`")])
    problems: list[Problem] = []
    recipe = _recipe(_Checker(document, "", problems), suite)
    if problems:
        raise InputError(source, problems)
    return recipe


def _recipe(top: _Checker, suite: str) -> Recipe:
    name = top.text("name", NAME.fullmatch, "lower-case letters, digits and hyphens, as the directory is called", "x")
    top.text("description", str.strip, "say what the image is for", "image")
    own_suite = top.text("suite", lambda value: value in SUITES, f"one of {', '.join(SUITES)}", "bookworm")
    if suite and suite not in SUITES:
        top.wrong("suite", f"not allowed: {suite!r}", f"one of {', '.join(SUITES)}")
    size_mib = top.integer("size_mib", MIN_SIZE_MIB, MAX_SIZE_MIB)
    kernel = top.text("kernel", PACKAGE.fullmatch, "name of a package, such as linux-image-amd64", "linux-image-amd64")
    base = ""
    top.known.append("base")
    if "base" in top.document:
        base = top.text("base", NAME.fullmatch, "name of a directory beside this recipe's")
    packages = top.texts("packages", PACKAGE, "names of Debian packages")
    exclude = top.texts("exclude", GLOB, "absolute path patterns, such as /usr/share/doc/*")
    initrd = top.mapping("initrd")
    kind = initrd.text("kind", lambda value: value in ("distribution", "tiny"), "distribution or tiny", "distribution")
    modules = initrd.texts("modules", MODULE, "names of kernel modules")
    initrd.refuse_unknown()
    units = top.mapping("units")
    remedy = "full names of systemd units, such as drbd.service"
    enable, disable, mask = (units.texts(key, UNIT, remedy) for key in ("enable", "disable", "mask"))
    units.refuse_unknown()
    for unit in sorted(set(enable) & (set(disable) | set(mask))):
        units.wrong("enable", f"{unit!r} is also disabled or masked", "decide for one of them")
    top.refuse_unknown()
    return Recipe(
        name=name,
        suite=suite or own_suite,
        size_mib=size_mib,
        packages=packages,
        kernel=kernel,
        initrd="tiny" if kind == "tiny" else "distribution",
        modules=modules,
        exclude=exclude,
        enable=enable,
        disable=disable,
        mask=mask,
        base=base,
    )


def cache_key(recipe_text: str, files: RecipeFiles, *, suite: str, architecture: str, plan: Sequence[str]) -> str:
    """SHA-256 (hexadecimal) over every input of a bake.

    Each part goes in with its length, so that no two different sets of inputs run into the same bytes.

    Args:
        recipe_text: the recipe document.
        files: overlay and scripts.
        suite: Debian suite.
        architecture: Debian architecture.
        plan: what the bakery itself adds: arguments and scripts, without any path of this machine.
    """
    digest = hashlib.sha256()

    def add(*parts: bytes) -> None:
        for part in parts:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)

    add(b"format", str(BAKERY_FORMAT).encode(), suite.encode(), architecture.encode(), recipe_text.encode())
    add(b"scripts", str(len(files.scripts)).encode(), *files.scripts)
    add(b"plan", str(len(plan)).encode(), *(part.encode() for part in plan))
    for path, file in sorted(files.overlay.items()):
        kind = b"link" if file.link else b"executable" if file.executable else b"file"
        add(b"overlay", path.encode(), kind, file.content)
    return digest.hexdigest()
