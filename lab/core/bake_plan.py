"""What the bakery tells mmdebstrap: arguments and hook scripts of a recipe, as text.

Paths of this machine stay out of the scripts (they get them as arguments), so the scripts can be part of the cache
key. Options are those of mmdebstrap(1), dpkg.cfg(5) and mke2fs(8).
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.recipe import Recipe

#: Documentation and translations that nobody reads in a lab; licences stay.
ALWAYS_EXCLUDED = (
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/doc/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
)
ALWAYS_INCLUDED = ("/usr/share/doc/*/copyright",)

NAMESPACE = uuid.UUID("0f6fa3a4-3c1e-57a8-9a55-6d5f0c2f9a10")


@dataclass(frozen=True)
class BuildPaths:
    """Where a build works; absolute paths without spaces matter to nobody, they are quoted.

    Args:
        build: directory of this build, with the staged inputs; results end there too.
        packages: directory of downloaded packages shared by all builds of a suite.
    """

    build: str
    packages: str


def fixed_arguments(recipe: Recipe, architecture: str) -> list[str]:
    """Arguments of mmdebstrap that do not depend on this machine."""
    arguments = [
        "--variant=minbase",
        "--format=null",
        f"--architectures={architecture}",
        "--components=main",
        '--aptopt=Apt::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::Retries "3"',
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=force-confold",
    ]
    arguments += [f"--dpkgopt=path-exclude={pattern}" for pattern in (*ALWAYS_EXCLUDED, *recipe.exclude)]
    arguments += [f"--dpkgopt=path-include={pattern}" for pattern in ALWAYS_INCLUDED]
    # A tiny initrd needs the kernel's files only; its package would bring initramfs-tools and udev with it.
    kernel = [recipe.kernel] if recipe.initrd == "distribution" else []
    arguments.append(f"--include={','.join((*kernel, *recipe.packages))}")
    # Packages are kept until they have been put into the shared directory. Nothing is left to clean after the last
    # hook: the tree goes away, and apt-get without mmdebstrap's settings would clean this machine's own lists.
    arguments.append("--skip=essential/unlink,cleanup")
    return arguments


def mmdebstrap_arguments(recipe: Recipe, architecture: str, paths: BuildPaths) -> list[str]:
    """The whole argument vector after the program's name."""
    arguments = fixed_arguments(recipe, architecture)
    for stage in ("setup", "essential", "customize"):
        words = ["sh", f"{paths.build}/{stage}.sh"]
        hook = f'{shlex.join(words)} "$1" {shlex.quote(paths.build)} {shlex.quote(paths.packages)}'
        arguments.append(f"--{stage}-hook={hook}")
    return [*arguments, recipe.suite, "/dev/null"]


def scripts(recipe: Recipe) -> dict[str, str]:
    """The hook scripts by name; each gets root directory, build directory and package directory."""
    return {
        "setup.sh": SETUP,
        "essential.sh": _essential(recipe),
        "customize.sh": _customize(recipe),
        "filesystem.sh": _filesystem(recipe),
    }


def fingerprint(recipe: Recipe, architecture: str) -> Sequence[str]:
    """Everything of the plan that decides what comes out; part of the cache key."""
    return (*fixed_arguments(recipe, architecture), *(f"{name}\n{text}" for name, text in scripts(recipe).items()))


PROLOGUE = """\
set -eu
root=$1 build=$2 packages=$3
inside() { chroot "$root" "$@"; }
"""

SETUP = (
    PROLOGUE
    + """\
# Packages that an earlier build has downloaded: hard links where possible, the file system is the same one.
mkdir -p "$root/var/cache/apt/archives"
for file in "$packages"/*.deb; do
    [ -e "$file" ] || continue
    ln "$file" "$root/var/cache/apt/archives/" 2>/dev/null || cp "$file" "$root/var/cache/apt/archives/"
done
"""
)


def _essential(recipe: Recipe) -> str:
    if recipe.initrd == "tiny":
        # The hook directory of initramfs-tools is not there; nothing shall make an initrd.
        return PROLOGUE
    modules = "\n".join(recipe.modules)
    return (
        PROLOGUE
        + f"""\
# In place before the kernel is installed, so that the initrd is made once and small.
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\\nCOMPRESS=zstd\\nFSTYPE=ext4\\nRESUME=none\\n' > "$root/etc/initramfs-tools/conf.d/lab"
cat > "$root/usr/share/initramfs-tools/modules.d/lab" <<'END'
{modules}
END
"""
    )


def _customize(recipe: Recipe) -> str:
    # Disabled first: systemctl disables what a unit names in `Also=`, too, and libvirtd.service of Debian 13 names the
    # very sockets that are enabled here.
    units = "".join(
        f"inside systemctl {verb} {shlex.join(names)}\n"
        for verb, names in (("disable", recipe.disable), ("enable", recipe.enable), ("mask", recipe.mask))
        if names
    )
    kernel = _kernel_beside(recipe) if recipe.initrd == "tiny" else KERNEL_INSIDE
    return (
        PROLOGUE
        + f"""\
for file in "$root"/var/cache/apt/archives/*.deb; do
    [ -e "$packages/${{file##*/}}" ] || ln "$file" "$packages/" 2>/dev/null || true
done
[ -e "$build/overlay.tar" ] && tar -C "$root" --keep-directory-symlink -xf "$build/overlay.tar"
{kernel}\
for script in "$build"/recipe-*.sh; do
    [ -e "$script" ] || continue
    sh -x "$script" "$root"
done
{units}\
inside dpkg-query -W -f '${{Package}}:${{Architecture}}\\t${{Version}}\\n' > "$build/packages.tsv"
{CLEAN}\
# A private bind mount shows the tree without /proc, /sys and the other mounts below it.
mkdir -p "$build/tree"
unshare --mount --propagation private sh "$build/filesystem.sh" "$root" "$build" "$packages"
"""
    )


KERNEL_INSIDE = """\
cp "$root"/boot/vmlinuz-* "$build/kernel"
cp "$root"/boot/initrd.img-* "$build/initrd"
"""


def _kernel_beside(recipe: Recipe) -> str:
    """Unpack the kernel's package beside the image: modules go to the initrd, nothing of it into the image."""
    return f"""\
cp "$root/bin/busybox" "$build/busybox"
(
    export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
    package=$(apt-cache depends {recipe.kernel} | sed -n 's/^ *Depends: \\(linux-image-[0-9][^ ]*\\).*/\\1/p')
    [ -n "$package" ] || package={recipe.kernel}
    mkdir "$build/kernel-package" "$build/kernel-tree"
    cd "$build/kernel-package"
    file=$(apt-get download --print-uris "$package" | cut -d ' ' -f 2)
    if [ -e "$packages/$file" ]; then
        cp "$packages/$file" .
    else
        apt-get -q download "$package"
        ln "$file" "$packages/" 2>/dev/null || true
    fi
    dpkg-deb -x "$file" "$build/kernel-tree"
)
cp "$build"/kernel-tree/boot/vmlinuz-* "$build/kernel"
tar -C "$build"/kernel-tree -cf "$build/modules.tar" --transform 's,^.*/lib/modules/,,' \\
    "$(cd "$build/kernel-tree" && ls -d lib/modules usr/lib/modules 2>/dev/null | head -n 1)"
rm -rf "$build/kernel-tree" "$build/kernel-package"
"""


#: mmdebstrap cleans up after the last hook only, so what it would do is done here, and what is personal goes too.
#: /tmp stays as it is, because mmdebstrap's own settings for apt are there; it is hidden from the image.
CLEAN = """\
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/tmp/* "$root"/var/cache/debconf/*
rm -f "$root"/etc/apt/apt.conf.d/??mmdebstrap "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
rm -f "$root/etc/resolv.conf" "$root/etc/hostname" "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id"
rm -f "$root"/boot/vmlinuz-* "$root"/boot/initrd.img-* "$root"/boot/System.map-*
rm -f "$root"/vmlinuz* "$root"/initrd.img*
find "$root/var/log" -type f -delete
: > "$root/etc/machine-id"
rm -f "$root/usr/sbin/policy-rc.d"
if [ -e "$root/sbin/start-stop-daemon.REAL" ]; then
    mv "$root/sbin/start-stop-daemon.REAL" "$root/sbin/start-stop-daemon"
fi
"""


def _filesystem(recipe: Recipe) -> str:
    identity = uuid.uuid5(NAMESPACE, f"{recipe.name}-{recipe.suite}")
    return (
        PROLOGUE
        + f"""\
mount --bind "$root" "$build/tree"
mount -t tmpfs -o mode=1777 none "$build/tree/tmp"
truncate -s {recipe.size_mib}M "$build/root.raw"
# Nothing is left for the kernel to initialise in the background at first mount.
mke2fs -q -F -t ext4 -L root -U {identity} -m 0 -J size=32 \\
    -E hash_seed={identity},lazy_itable_init=0,lazy_journal_init=0,nodiscard -d "$build/tree" "$build/root.raw"
"""
    )
