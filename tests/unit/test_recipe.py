"""Recipes: what is accepted, every problem at once, and the hash over all inputs."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.core.bake_plan import BuildPaths, fingerprint, mmdebstrap_arguments, scripts
from lab.core.errors import InputError
from lab.core.recipe import SUITES, OverlayFile, RecipeFiles, cache_key, parse_recipe

RECIPES = Path(__file__).parent.parent.parent / "lab" / "recipes"

GOOD = """
name: small
description: a small image
suite: bookworm
size_mib: 512
kernel: linux-image-cloud-amd64
packages: [busybox-static, exim4-]
initrd: {kind: tiny, modules: [virtio_blk]}
units: {enable: [ssh.service], mask: [man-db.timer]}
exclude: [/usr/share/games/*]
"""


def problems(text: str, **options: str) -> dict[str, str]:
    with pytest.raises(InputError) as caught:
        parse_recipe(text, source="recipe.yaml", **options)
    assert caught.value.exit_code == 2
    return {problem.place: problem.message for problem in caught.value.problems}


def test_a_whole_recipe() -> None:
    recipe = parse_recipe(GOOD, source="recipe.yaml")
    assert (recipe.name, recipe.suite, recipe.size_mib) == ("small", "bookworm", 512)
    assert recipe.packages == ("busybox-static", "exim4-")
    assert (recipe.initrd, recipe.modules) == ("tiny", ("virtio_blk",))
    assert (recipe.enable, recipe.disable, recipe.mask) == (("ssh.service",), (), ("man-db.timer",))
    assert recipe.exclude == ("/usr/share/games/*",)


def test_another_suite_replaces_the_recipes_own() -> None:
    assert parse_recipe(GOOD, source="recipe.yaml", suite="trixie").suite == "trixie"
    assert problems(GOOD, suite="potato") == {"suite": "not allowed: 'potato'"}


def test_every_problem_is_told_at_once() -> None:
    text = """
name: Big Image
size_mib: "512"
kernel: linux; rm -rf /
packages: [good, 'no way', good, 7]
pakages: []
initrd: {kind: huge, modules: [../x], module: []}
units: {enable: [ssh], mask: [a.service, b.txt]}
exclude: [usr/share]
base: ../elsewhere
"""
    assert problems(text) == {
        "name": "not allowed: 'Big Image'",
        "size_mib": "not allowed: '512'",
        "kernel": "not allowed: 'linux; rm -rf /'",
        "packages[1]": "not allowed: 'no way'",
        "packages[2]": "given twice: 'good'",
        "packages[3]": "not allowed: 7",
        "pakages": "unknown key",
        "initrd.kind": "not allowed: 'huge'",
        "initrd.modules[0]": "not allowed: '../x'",
        "initrd.module": "unknown key",
        "units.enable[0]": "not allowed: 'ssh'",
        "units.mask[1]": "not allowed: 'b.txt'",
        "exclude[0]": "not allowed: 'usr/share'",
        "base": "not allowed: '../elsewhere'",
    }


def test_an_unknown_key_names_the_nearest_one() -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(GOOD.replace("exclude:", "exlude:"), source="recipe.yaml")
    assert [problem.remedy for problem in caught.value.problems] == ["did you mean 'exclude'?"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "not a mapping of keys and values"), ("- a\n", "not a mapping of keys and values"), ("a: [", "not YAML")],
)
def test_what_is_no_recipe_at_all(text: str, message: str) -> None:
    assert problems(text)[""].startswith(message)


def test_a_unit_cannot_be_enabled_and_masked() -> None:
    text = GOOD.replace("mask: [man-db.timer]", "mask: [ssh.service]")
    assert problems(text) == {"units.enable": "'ssh.service' is also disabled or masked"}


scalars = st.none() | st.booleans() | st.integers(-2, 4096) | st.text(string.printable, max_size=8)
documents = (
    scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text("abkind", max_size=4), scalars, max_size=2)
)
keys = st.sampled_from(["name", "suite", "size_mib", "kernel", "packages", "initrd", "units", "exclude", "base", "x"])


@given(st.dictionaries(keys, documents, max_size=8))
def test_any_document_is_accepted_or_refused_with_places(document: dict[str, object]) -> None:
    try:
        parse_recipe(yaml.safe_dump(document), source="recipe.yaml")
    except InputError as error:
        assert error.problems
        assert all(problem.message and problem.remedy for problem in error.problems)


paths = st.text(string.ascii_lowercase + "/", min_size=1, max_size=8)
overlay_files = st.builds(
    OverlayFile, content=st.binary(max_size=8), executable=st.booleans(), link=st.just(value=False)
)
files = st.builds(
    RecipeFiles,
    overlay=st.dictionaries(paths, overlay_files, max_size=3),
    scripts=st.lists(st.binary(max_size=6), max_size=2).map(tuple),
)
inputs = st.tuples(st.text(max_size=6), files, st.sampled_from(SUITES), st.lists(st.text(max_size=4), max_size=2))


def key(given_inputs: tuple[str, RecipeFiles, str, list[str]]) -> str:
    text, recipe_files, suite, plan = given_inputs
    return cache_key(text, recipe_files, suite=suite, architecture="amd64", plan=plan)


@given(inputs, inputs)
def test_the_key_is_the_same_exactly_for_the_same_inputs(
    one: tuple[str, RecipeFiles, str, list[str]], other: tuple[str, RecipeFiles, str, list[str]]
) -> None:
    assert (key(one) == key(other)) == (one == other)


def test_bytes_that_move_from_one_input_to_the_next_change_the_key() -> None:
    one = RecipeFiles(overlay={"ab": OverlayFile(b"c")}, scripts=(b"x", b"y"))
    variants = [
        one,
        RecipeFiles(overlay={"a": OverlayFile(b"bc")}, scripts=one.scripts),
        RecipeFiles(overlay=one.overlay, scripts=(b"xy",)),
        RecipeFiles(overlay={"ab": OverlayFile(b"c", executable=True)}, scripts=one.scripts),
        RecipeFiles(overlay={"ab": OverlayFile(b"c", link=True)}, scripts=one.scripts),
    ]
    assert len({key(("t", variant, "bookworm", [])) for variant in variants}) == len(variants)


def test_the_order_of_overlay_files_does_not_matter() -> None:
    a, b = ("a", OverlayFile(b"1")), ("b", OverlayFile(b"2"))
    assert key(("t", RecipeFiles(dict([a, b])), "bookworm", [])) == key(
        ("t", RecipeFiles(dict([b, a])), "bookworm", [])
    )


def test_arguments_name_the_kernel_only_where_its_package_is_installed() -> None:
    tiny = parse_recipe(GOOD, source="recipe.yaml")
    paths_here = BuildPaths(build="/cache/a b", packages="/cache/packages")
    included = [word for word in mmdebstrap_arguments(tiny, "amd64", paths_here) if word.startswith("--include=")]
    assert included == ["--include=busybox-static,exim4-"]
    whole = replace(tiny, initrd="distribution")
    included = [word for word in mmdebstrap_arguments(whole, "amd64", paths_here) if word.startswith("--include=")]
    assert included == ["--include=linux-image-cloud-amd64,busybox-static,exim4-"]


def test_hooks_get_their_paths_quoted() -> None:
    recipe = parse_recipe(GOOD, source="recipe.yaml")
    arguments = mmdebstrap_arguments(recipe, "amd64", BuildPaths(build="/cache/a b", packages="/p"))
    assert """--customize-hook=sh '/cache/a b/customize.sh' "$1" '/cache/a b' /p""" in arguments
    assert arguments[-2:] == ["bookworm", "/dev/null"]


def test_units_and_what_the_bakery_adds_are_part_of_the_plan() -> None:
    recipe = parse_recipe(GOOD, source="recipe.yaml")
    assert "systemctl mask man-db.timer" in scripts(recipe)["customize.sh"]
    plan = "".join(fingerprint(recipe, "amd64"))
    assert "systemctl mask man-db.timer" in plan
    assert "mke2fs" in plan
    assert "path-exclude=/usr/share/games/*" in plan


def test_units_are_disabled_before_others_are_enabled() -> None:
    """A unit that is disabled takes with it what it names in `Also=`: libvirtd.service of Debian 13 its sockets."""
    recipe = replace(parse_recipe(GOOD, source="recipe.yaml"), disable=("libvirtd.service",))
    customize = scripts(recipe)["customize.sh"]
    assert customize.index("systemctl disable libvirtd.service") < customize.index("systemctl enable ssh.service")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/recipe.yaml")), ids=lambda path: path.parent.name)
def test_the_recipes_of_the_lab(path: Path) -> None:
    recipe = parse_recipe(path.read_text(), source=str(path))
    assert recipe.name == path.parent.name
    assert not recipe.base or (RECIPES / recipe.base).is_dir()


def test_there_is_an_image_for_every_kind_of_service() -> None:
    names = {path.parent.name for path in RECIPES.glob("*/recipe.yaml")}
    assert names == {"node", "guest-dns", "guest-radius", "guest-web", "guest-telephony"}


def test_personal_files_of_guests_with_modes_exist_as_templates() -> None:
    templates = RECIPES.parent.parent / "cloudinit" / "guests"
    inside = {"/".join(path.relative_to(templates).parts[1:]).removesuffix(".j2") for path in templates.rglob("*.j2")}
    modes = yaml.safe_load((templates / "modes.yaml").read_text())
    assert set(modes) <= inside


def test_no_file_of_a_recipe_is_what_a_lost_link_leaves() -> None:
    """Git without links checks a link out as a file that holds its target; a guest with such an init panics."""
    contents = {path: path.read_bytes() for path in RECIPES.rglob("rootfs/**/*") if path.is_file()}
    assert contents
    lost = [path for path, content in contents.items() if re.fullmatch(rb"[.]{0,2}(/[\w.+-]+)+", content)]
    assert lost == []
