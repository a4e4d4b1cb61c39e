"""The tiny initrd of the guests: an archive of a static busybox, a few kernel modules and a script.

The archive is the "new ASCII" cpio format that the kernel unpacks (kernel documentation, initramfs buffer format).
It is not compressed: unpacking costs more than loading where the processor is emulated.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping, Sequence

#: Loads the modules in the order given, mounts the root disk and hands over to the init on it. Words
#: MODULE.OPTION=VALUE of the kernel's command line are options of that module, as for modprobe(8).
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
read -r words < /proc/cmdline
while read -r module; do
    options=
    for word in $words; do
        case $word in "${module%.ko}".*=*) options="$options ${word#*.}" ;; esac
    done
    /bin/busybox insmod "/modules/$module" $options || echo "initrd: module $module did not load"
done < /modules/order
tries=0
until [ -b /dev/vda ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ]; then
        echo "initrd: no root disk /dev/vda after 15 s"
        /bin/busybox poweroff -f
    fi
    /bin/busybox usleep 50000
done
if ! /bin/busybox mount -t ext4 -o rw,noatime /dev/vda /root; then
    echo "initrd: the root disk cannot be mounted"
    /bin/busybox poweroff -f
fi
/bin/busybox umount /proc
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""


def module_name(path: str) -> str:
    """Name of the module in a file such as ``kernel/fs/ext4/ext4.ko.xz``; ``-`` and ``_`` are the same."""
    return path.rsplit("/", 1)[-1].partition(".ko")[0].replace("-", "_")


def module_needs(content: bytes) -> tuple[str, ...]:
    """Names of the modules that a module needs, out of the ``depends=`` entry of its information section.

    The kernel package brings no ``modules.dep`` (depmod(8) makes that at installation), so the modules themselves
    are asked, as depmod does.
    """
    match = re.search(rb"(?:^|\0)depends=([A-Za-z0-9_,-]*)\0", content)
    if not match or not match[1]:
        return ()
    return tuple(name.replace("-", "_") for name in match[1].decode().split(","))


def load_order(wanted: Sequence[str], needs: Callable[[str], Sequence[str]]) -> list[str]:
    """Names of modules in an order in which each comes after everything it needs, each once.

    Args:
        wanted: names of modules.
        needs: names of the modules that one needs; raises KeyError for an unknown one.

    Raises:
        KeyError: a module is unknown.
        ValueError: modules need each other.
    """
    order: list[str] = []
    under_way: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in under_way:
            raise ValueError(f"modules need each other: {', '.join(under_way)}")
        under_way.append(name)
        for needed in needs(name):
            visit(needed)
        under_way.pop()
        order.append(name)

    for name in wanted:
        visit(name.replace("-", "_"))
    return order


def tiny_initrd(busybox: bytes, modules: Mapping[str, bytes], order: Sequence[str]) -> bytes:
    """The initrd as a cpio archive; the same input gives the same bytes.

    Args:
        busybox: a static busybox with insmod, mount and switch_root.
        modules: file name to bytes of each module, not compressed.
        order: file names in the order of loading.
    """
    entries: list[tuple[str, int, bytes]] = [
        (directory, stat.S_IFDIR | 0o755, b"") for directory in ("bin", "dev", "modules", "proc", "root")
    ]
    entries.append(("bin/busybox", stat.S_IFREG | 0o755, busybox))
    entries.append(("init", stat.S_IFREG | 0o755, INIT.encode()))
    entries.append(("modules/order", stat.S_IFREG | 0o644, "".join(f"{name}\n" for name in order).encode()))
    entries += [(f"modules/{name}", stat.S_IFREG | 0o644, content) for name, content in sorted(modules.items())]
    # The kernel wants a console before devtmpfs is there: character device 5, 1.
    archive = _member(1, "dev", stat.S_IFDIR | 0o755, b"") + _member(
        2, "dev/console", stat.S_IFCHR | 0o600, b"", device=(5, 1)
    )
    for number, (name, mode, content) in enumerate(entries, start=3):
        archive += _member(number, name, mode, content)
    archive += _member(0, "TRAILER!!!", 0, b"")
    return archive + bytes(-len(archive) % 512)


def _member(number: int, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    path = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + path
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
