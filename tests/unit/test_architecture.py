"""The rules of the architecture, read from the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MODULES = [*sorted((ROOT / "lab").rglob("*.py")), ROOT / "tasks.py"]
#: Lower may not import higher.
LAYERS = (
    *("core", "doors", "drivers", "workflows"),
    *("help_option", "surface", "practice", "practice_faults", "practice_proof", "practice_tests"),
    *("practice_vagrant", "tasks"),
)
#: What the pure core may not touch: the outside, the clock, the environment, chance.
IMPURE = {
    *("asyncio", "fcntl", "glob", "http", "httpx", "libvirt", "logging", "multiprocessing", "os", "platform"),
    *("random", "secrets", "shutil", "signal", "socket", "subprocess", "sys", "tempfile", "threading", "time"),
    *("urllib", "vagrant", "rich", "invoke"),
}
MODULE_LINES = 340
FUNCTION_LINES = 55
SKIPPED = {
    ".git",
    ".venv",
    "build",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    "junit",
}
#: In pieces, so that this file does not hold what it looks for.
REGISTRY_HOSTS = [
    "".join(pieces)
    for pieces in (
        ("py", "pi.org"),
        ("python", "hosted.org"),
        ("deb.", "debian.org"),
        ("security.", "debian.org"),
        ("snapshot.", "debian.org"),
        ("ftp.", "debian.org"),
        ("archive.", "ubuntu.com"),
        ("security.", "ubuntu.com"),
        ("registry.", "npmjs"),
        ("app.", "vagrantup.com"),
        ("proxy.", "golang.org"),
        ("crates", ".io"),
    )
]


def layer(module: str) -> int:
    parts = module.split(".")
    return LAYERS.index(parts[1] if parts[0] == "lab" and len(parts) > 1 else parts[0])


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module
            if (ROOT / node.module.replace(".", "/")).is_dir():
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def repository_files() -> Iterator[Path]:
    for path in ROOT.rglob("*"):
        if path.is_file() and not SKIPPED & set(path.relative_to(ROOT).parts):
            yield path


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downwards(path: Path) -> None:
    if path == ROOT / "lab/__init__.py":
        assert not list(imports(path))
        return
    own = layer(name_of(path))
    upwards = [name for name in imports(path) if name.split(".")[0] in ("lab", "tasks") and name != "lab"]
    assert [name for name in upwards if layer(name) > own] == []


def test_no_module_needs_itself_by_way_of_others() -> None:
    """Imports for types count: who is part of a circle cannot be understood alone."""
    modules = {name_of(path).removesuffix(".__init__"): path for path in MODULES}
    TopologicalSorter({name: modules.keys() & set(imports(path)) for name, path in modules.items()}).prepare()


@pytest.mark.parametrize("path", sorted((ROOT / "lab/core").rglob("*.py")), ids=name_of)
def test_the_core_is_pure(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & IMPURE == set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called & {"open", "input", "print", "exec", "eval", "Path"} == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_one_door_each_for_processes_and_for_waiting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.parent != ROOT / "lab/doors":
        assert "subprocess" not in set(imports(path))
        assert "os.system" not in text
    if path != ROOT / "lab/doors/clock.py":
        assert "time.sleep(" not in text


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_docstring = ast.get_docstring(node) is not None
            comment = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
            length = (node.end_lineno or node.lineno) - node.lineno + 1 - comment
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"


def test_no_module_of_leftovers() -> None:
    assert [p for p in MODULES if p.stem in ("utils", "util", "helpers", "misc", "common")] == []


def test_no_file_names_a_package_registry() -> None:
    found = []
    for path in repository_files():
        content = path.read_bytes().lower()
        found += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRY_HOSTS if host.encode() in content]
    assert found == []


def test_every_requirement_is_locked_to_one_version() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        wanted = [line for line in lines if line and not line.startswith(("#", "-r "))]
        assert wanted
        assert [line for line in wanted if line.count("==") != 1] == []


def test_every_direct_requirement_is_in_its_lock() -> None:
    for name in ("requirements", "requirements-dev"):
        direct = (ROOT / f"{name}.in").read_text(encoding="utf-8").splitlines()
        locked = (ROOT / f"{name}.txt").read_text(encoding="utf-8").lower().splitlines()
        packages = {line.split("==")[0] for line in locked}
        assert {line.lower() for line in direct if line and not line.startswith("#")} - packages == set()
