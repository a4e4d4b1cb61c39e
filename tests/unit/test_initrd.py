"""The tiny initrd: the archive that the kernel unpacks, and the order in which modules load."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.initrd import load_order, module_name, module_needs, tiny_initrd


def unpack(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """A reader written against the format's description alone: name to (mode, content)."""
    members: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        assert archive[at + 110 + name_size - 1] == 0
        start = (at + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return members
        members[name] = (mode, archive[start : start + size])
        at = (start + size + 3) // 4 * 4


def test_the_archive_holds_what_a_boot_needs() -> None:
    members = unpack(tiny_initrd(b"BUSYBOX", {"b.ko": b"bb", "a.ko": b"a"}, ["b.ko", "a.ko"]))
    assert members["bin/busybox"] == (stat.S_IFREG | 0o755, b"BUSYBOX")
    assert members["modules/order"][1] == b"b.ko\na.ko\n"
    assert members["modules/a.ko"][1] == b"a"
    assert stat.S_ISCHR(members["dev/console"][0])
    assert members["init"][0] == stat.S_IFREG | 0o755
    assert {name for name, (mode, _) in members.items() if stat.S_ISDIR(mode)} >= {"dev", "proc", "root", "modules"}
    assert list(members).index("dev") < list(members).index("dev/console")


names = st.text("abcdefgh", min_size=1, max_size=5)


@given(st.binary(max_size=50), st.dictionaries(names, st.binary(max_size=50), max_size=5))
def test_contents_survive_whatever_their_length(busybox: bytes, modules: dict[str, bytes]) -> None:
    archive = tiny_initrd(busybox, modules, list(modules))
    members = unpack(archive)
    assert members["bin/busybox"][1] == busybox
    assert {name: members[f"modules/{name}"][1] for name in modules} == modules
    assert archive == tiny_initrd(busybox, dict(reversed(modules.items())), list(modules))


@given(
    st.integers(1, 12).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(st.lists(st.integers(0, 11), max_size=4), min_size=count, max_size=count),
            st.lists(st.integers(0, count - 1), min_size=1, max_size=5),
        )
    )
)
def test_every_module_comes_after_what_it_needs_and_once(given_graph: tuple[int, list[list[int]], list[int]]) -> None:
    _, edges, wanted = given_graph
    # Needing only smaller numbers, nothing needs itself.
    needs = {f"m{number}": [f"m{other}" for other in edges[number] if other < number] for number in range(len(edges))}
    order = load_order([f"m{number}" for number in wanted], needs.__getitem__)
    assert len(order) == len(set(order))
    assert {f"m{number}" for number in wanted} <= set(order)
    for position, name in enumerate(order):
        assert set(needs[name]) <= set(order[:position])


def test_modules_that_need_each_other_and_unknown_ones_are_told() -> None:
    with pytest.raises(ValueError, match="need each other: a, b"):
        load_order(["a"], {"a": ["b"], "b": ["a"]}.__getitem__)
    nothing: dict[str, list[str]] = {}
    with pytest.raises(KeyError, match="missing"):
        load_order(["missing"], nothing.__getitem__)


@pytest.mark.parametrize(
    ("content", "needs"),
    [
        (
            b"\x7fELF..license=GPL\0depends=virtio,virtio_ring,net-failover\0name=virtio_net\0",
            ("virtio", "virtio_ring", "net_failover"),
        ),
        (b"\x7fELF\0depends=\0name=virtio\0", ()),
        (b"\x7fELF\0softdepends=no\0", ()),
        (b"", ()),
    ],
)
def test_needs_are_read_from_the_module_itself(content: bytes, needs: tuple[str, ...]) -> None:
    assert module_needs(content) == needs


def test_names_of_modules() -> None:
    assert module_name("6.1.0/kernel/drivers/char/hw_random/virtio-rng.ko.xz") == "virtio_rng"
