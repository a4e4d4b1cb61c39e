"""What is installed on the nodes, by distribution and release, and what that means for the files they get.

Facts about releases of Debian were read from the packages themselves (corosync.conf(5), ``corosync -t``, and ``crm
configure load`` of crmsh with a CIB in a file). Those about Ubuntu 14.04 are from the sources of the versions that it
carries (corosync 2.3.3: man/corosync.conf.5 and exec/totemconfig.c) and from the study; no node of it was started here.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.cluster_model import DrbdSet, Transport
from lab.core.model import ImageSource, Lab


@dataclass(frozen=True)
class Init:
    """How daemons are handled, as shell text with ``{name}`` for one and ``{names}`` for several of them.

    Args:
        running: succeeds when a daemon runs.
        start: starts several daemons, the first one first.
        restart: starts a service anew.
    """

    running: str
    start: str
    restart: str

    def all_running(self, *names: str) -> str:
        """Shell text that succeeds when all of these daemons run."""
        return " && ".join(self.running.format(name=name) for name in names)

    def started(self, *names: str) -> str:
        """Shell text that starts daemons."""
        return self.start.format(names=" ".join(names))


SYSTEMD = Init("systemctl is-active -q {name}", "systemctl start {names}", "systemctl restart {name}")
#: The status of an upstart job is no exit code, so the process is looked for. pacemakerd is the daemon of "pacemaker".
UPSTART = Init(
    "pgrep -x '{name}d?' > /dev/null", 'for name in {names}; do service "$name" start; done', "service {name} restart"
)


@dataclass(frozen=True)
class Software:
    """One release.

    Args:
        title: as people call it.
        corosync: major version of Corosync; the syntax of its file differs.
        init: how daemons are handled.
        transports: transports of Corosync that can be had.
        sets: ways to write the set ``MS_DRBD`` that its crmsh and Pacemaker take.
        role_words: what crmsh and Pacemaker call the two roles of a clone.
        old_crm: whether crmsh is so old that ids are written ``$id=...`` and orders by score.
        delay_by_node: whether the delay of a fence device is told per node (since Pacemaker 2.1.2; 2.1.5 takes a plain
            one, too, and logs an error each time: daemons/fenced/fenced_commands.c, get_action_delay_base).
        fencing: whether the lab's fencing was provided for.
        layers: folders below ``cloudinit/`` whose ``nodes/`` and seed templates come over the common ones, in order.
        without: common files of nodes, by the beginning of their path, that mean nothing there or cannot work there.
        seed_parts: files of the NoCloud seed.
        packages: what has to be installed; baked images have it from their recipe.
    """

    title: str
    corosync: int = 3
    init: Init = SYSTEMD
    transports: tuple[Transport, ...] = ("knet", "udpu")
    sets: tuple[DrbdSet, ...] = ("clone", "ms")
    role_words: tuple[str, str] = ("Promoted", "Unpromoted")
    old_crm: bool = False
    delay_by_node: bool = True
    fencing: bool = True
    layers: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    seed_parts: tuple[str, ...] = ("user-data", "meta-data", "network-config")
    packages: tuple[str, ...] = ()

    def leaves_out(self, path: str) -> bool:
        """Whether a common file of the nodes, by its path without the leading slash, is not for this release."""
        return path.startswith(self.without)


#: What Ubuntu's releases with systemd need beside their cloud image; drbd and ocfs2 are in the generic kernel's extras.
_UBUNTU_PACKAGES = (
    *("linux-image-generic", "drbd-utils", "ocfs2-tools", "pacemaker", "pacemaker-cli-utils", "corosync", "crmsh"),
    *("resource-agents", "fence-virt", "libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "qemu-utils"),
    *("lvm2", "bridge-utils", "qemu-guest-agent", "chrony"),
)


def _ubuntu(title: str) -> Software:
    """A release of Ubuntu with systemd: its network is netplan's (from the seed), its resolver systemd's."""
    return Software(title, layers=("ubuntu",), without=("etc/network/", "etc/resolv.conf"), packages=_UBUNTU_PACKAGES)


_TRUSTY = Software(
    "Ubuntu 14.04",
    corosync=2,
    init=UPSTART,
    transports=("udpu",),
    sets=("ms",),
    role_words=("Master", "Slave"),
    old_crm=True,
    delay_by_node=False,
    fencing=False,
    layers=("ubuntu", "ubuntu-14.04"),
    without=(
        # There is no systemd; and the two programs need Python 3.7, 14.04 has 3.4.
        "etc/systemd/",
        "etc/cron.d/lab-maintenance",
        "usr/local/sbin/lab-guest-answers",
        "usr/local/sbin/lab-maintenance",
        # Without fencing nobody calls it; its words are those of later versions.
        "usr/local/sbin/lab-fence-peer",
        "usr/local/sbin/lab-ocfs2-node-down",
        "etc/cluster/",
        # Read by no program of that age: resolvconf writes resolv.conf, OpenSSH 6.6 knows no Include, and the
        # directives of chrony 1.29 are others.
        "etc/resolv.conf",
        "etc/ssh/sshd_config.d/",
        "etc/chrony/",
    ),
    # cloud-init 0.7.5 reads no network-config; the network is in the meta-data.
    seed_parts=("user-data", "meta-data"),
    packages=(
        *("linux-image-extra-virtual", "drbd8-utils", "drbdlinks", "ocfs2-tools", "pacemaker", "corosync", "crmsh"),
        *("resource-agents", "qemu-kvm", "libvirt-bin", "lvm2", "bridge-utils", "ifenslave", "vlan"),
    ),
)

#: By the key ``system`` of an image, with the suite for Debian.
RELEASES = {
    # Pacemaker 2.0 does not know the words Promoted and Unpromoted yet, nor delays per node.
    "debian-bullseye": Software("Debian 11", role_words=("Master", "Slave"), delay_by_node=False),
    "debian-bookworm": Software("Debian 12"),
    # Pacemaker 3.0 refuses the element "master" that crmsh makes of "ms".
    "debian-trixie": Software("Debian 13", sets=("clone",)),
    "ubuntu-14.04": _TRUSTY,
    "ubuntu-22.04": _ubuntu("Ubuntu 22.04"),
    "ubuntu-24.04": _ubuntu("Ubuntu 24.04"),
}


def software_of(image: ImageSource) -> Software:
    """What a node of this image runs."""
    return RELEASES[release(image.system, image.suite)]


def release(system: str, suite: str) -> str:
    """The key of :data:`RELEASES` for an image's keys ``system`` and ``suite``."""
    return f"{system}-{suite}" if system == "debian" else system


def lab_software(lab: Lab) -> Software:
    """What the nodes of a lab run; all nodes run the same."""
    return software_of(lab.nodes[0].image)
