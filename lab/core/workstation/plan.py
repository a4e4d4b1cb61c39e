"""What is done with the workstation, in which order and with which limits, and the machine it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SUITES = ("bookworm", "trixie")
#: The user of the image, see its recipe; the first one of a Debian machine.
USER = "ada"
USER_ID = 1000
#: Where the clone is, as the user types it.
CLONE = "ha-lab"
LAB_NAME = "smoke"

#: 24 GiB of disk, thin; the lab asks for 13 where all is on one file system.
MEMORY_MIB = 7168
#: With two, QEMU 7.2 can lose a change of code: while one emulated CPU takes the INT3 of a patched kernel instruction
#: away (text_poke_bp of Linux), the other may translate the old byte once more, keep it, and trap for ever. KVM patches
#: so whenever its first machine comes or its last one goes; both CPUs were seen stuck in finish_task_switch.
CPU_COUNT = 1
#: Limit of what QEMU keeps of translated code in, MiB; the most that it takes (7.2). Three systems' code is in there.
TRANSLATION_CACHE_MIB = 2048
#: As the nodes have it under TCG, and without XSAVE: in a KVM guest of this emulator (7.2) XRSTOR fails, so that the
#: first signal handler of a guest with that feature ends its init ("bad frame in rt_sigreturn"). Without SMAP, too: a
#: node panicked once at the CLAC with which an interrupt of a program enters the kernel.
_FEATURES = "+svm,-xsave,-avx,-avx2,-f16c,-smap"
PROCESSOR = f"EPYC-Rome,{_FEATURES}"
#: Another one that offers AMD-V: what a lab saved under the first must not be started on.
OTHER_PROCESSOR = f"EPYC,{_FEATURES}"
#: QEMU's table of translated code in large pages, as the nodes have it where they are emulated.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclass(frozen=True)
class Step:
    """One step; each begins where the one before it ended, also in a later run.

    Args:
        name: as it is typed.
        limit_s: deadline, seconds.
        what: one line for a person.
        on_machine: whether the machine has to run for it.
        processor: the machine is booted for it with this one, and is not saved after it; goes on as it was when empty.
        on_request: whether it is done only when it is named, because it takes long.
    """

    name: str
    limit_s: float
    what: str
    on_machine: bool = True
    processor: str = ""
    on_request: bool = False


#: The limits of bake, boot and install are some three times what was seen on two cores; the others are estimates.
STEPS = (
    Step("bake", 1800, "the image of the machine, and the lab's images, on this host", on_machine=False),
    Step("boot", 300, "the machine boots, and gets a clone of the repository"),
    Step("install", 2700, "the first command of an ordinary user, which installs what is missing"),
    Step("doctor", 1200, "KVM is found and proven; each bad case is refused with its reason"),
    Step("test", 3600, "linters, unit and golden tests, where the second command begins", on_request=True),
    Step("up", 1800, "the lab, its nodes as KVM guests"),
    Step("verify", 1200, "the lab's own checks"),
    Step("drill", 1500, "a reset, and a power-off drill"),
    Step("export", 900, "the lab with its saves in one file"),
    Step("down", 600, "the lab is removed, and nothing of it is left"),
    Step("other-cpu", 900, "on another processor the file is refused", processor=OTHER_PROCESSOR),
)
#: What the limits are multiplied by: the scheduler of Debian 13 (Linux 6.12) takes turns between two nodes more often,
#: and each turn costs an emulated machine all addresses that it has looked up. See docs/fresh-machine.md.
PATIENCE = {"bookworm": 1, "trixie": 2.5}
#: What the step up gets more, seconds, where the lab's images are baked on the machine: set-up of packages there takes
#: twenty times as long as on the host, which bakes them in a minute and a half.
BAKING_INSIDE_S = 5400.0
#: How much longer a node may be silent until it counts as lost, by the system of the machine: on Debian 13 one stood
#: still for nine seconds while the checks of the lab began, and was fenced.
DETECTION = {"bookworm": 3, "trixie": 6}
#: Words for the machine's kernel, by its system. A program at another address in each process would be translated again
#: for each (norandmaps). What Linux does against faults of processors that are not emulated here costs a sixth of two
#: nodes' boot under KVM on Debian 13, and nothing that can be measured on Debian 12.
KERNEL_WORDS = {"bookworm": "norandmaps", "trixie": "norandmaps mitigations=off"}
STEP_NAMES = tuple(step.name for step in STEPS)
#: Those that are done without being named.
EXPECTED = tuple(step for step in STEPS if not step.on_request)


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line.

    Args:
        suite: Debian suite of the machine.
        steps: these steps and no others, whatever was passed before; all that have not passed when empty.
        fresh: throw away the machine and begin with the first step.
        bake_inside: bake the lab's images on the machine instead of handing in those of this host.
    """

    suite: str = SUITES[0]
    steps: tuple[str, ...] = ()
    fresh: bool = False
    bake_inside: bool = False


def wishes_of(suite: str, steps: str, fresh: bool, bake_inside: bool) -> Wishes:
    """The wishes as they were typed.

    Args:
        suite: Debian suite.
        steps: names with commas between them.
        fresh: as in :class:`Wishes`.
        bake_inside: as in :class:`Wishes`.

    Raises:
        ValueError: an unknown suite or step; the message says which are known.
    """
    if suite not in SUITES:
        raise ValueError(f"{suite} is no suite of the workstation; known are {', '.join(SUITES)}")
    names = tuple(dict.fromkeys(word.strip() for word in steps.split(",") if word.strip()))
    unknown = [name for name in names if name not in STEP_NAMES]
    if unknown:
        raise ValueError(f"{unknown[0]} is no step; known are {', '.join(STEP_NAMES)}")
    return Wishes(suite, names, fresh, bake_inside)


def due(wishes: Wishes, passed: Sequence[str]) -> tuple[Step, ...]:
    """The steps of this run, in their order.

    Args:
        wishes: what was asked for.
        passed: steps that an earlier run of this machine has passed.
    """
    if wishes.steps:
        return tuple(step for step in STEPS if step.name in wishes.steps)
    done = 0
    if not wishes.fresh:
        # Up to the first that has not passed: what comes after it was seen on a machine that is no more.
        done = next((place for place, step in enumerate(EXPECTED) if step.name not in passed), len(EXPECTED))
    return EXPECTED[done:]


def limit_s(step: Step, wishes: Wishes) -> float:
    """How long a step may take, seconds.

    Args:
        step: the step.
        wishes: what was asked for; another system and baking on the machine take longer.
    """
    baking_s = BAKING_INSIDE_S if wishes.bake_inside and step.name == "up" else 0.0
    return (step.limit_s + baking_s) * PATIENCE[wishes.suite]


@dataclass(frozen=True)
class Machine:
    """Files and port of the machine; paths as QEMU gets them.

    Args:
        kernel, initrd: of the image.
        disk: qcow2 overlay, the only disk that is written.
        disks: read-only raw disks by serial number.
        ssh_port: port on this host's loopback that leads to the machine's sshd.
        monitor: socket of QEMU's monitor.
        console: file that the serial console is appended to.
        snapshot: name of the snapshot in the disk to start from; boots when empty.
        processor: QEMU's name of it, with its features.
        suite: Debian suite.
    """

    kernel: str
    initrd: str
    disk: str
    disks: Mapping[str, str]
    ssh_port: int
    monitor: str
    console: str
    snapshot: str = ""
    processor: str = PROCESSOR
    suite: str = SUITES[0]


def qemu_arguments(machine: Machine) -> list[str]:
    """QEMU's argument vector: a machine whose emulated processor offers AMD-V, so that KVM works inside.

    Its only card is QEMU's user networking: it reaches what this host reaches, and nobody reaches it but through the
    port on loopback.
    """
    forward = f"hostfwd=tcp:127.0.0.1:{machine.ssh_port}-:22"
    arguments = ["qemu-system-x86_64", "-name", "workstation", "-machine", "q35"]
    arguments += ["-accel", f"tcg,tb-size={TRANSLATION_CACHE_MIB}"]
    arguments += ["-cpu", machine.processor, "-smp", str(CPU_COUNT), "-m", str(MEMORY_MIB)]
    arguments += ["-nodefaults", "-display", "none", "-kernel", machine.kernel, "-initrd", machine.initrd]
    words = f"root=/dev/vda rw console=ttyS0 quiet {KERNEL_WORDS[machine.suite]} systemd.hostname=workstation"
    arguments += ["-append", words]
    arguments += _drive("system", f"file={machine.disk},format=qcow2,cache=unsafe,discard=unmap")
    for serial, path in machine.disks.items():
        arguments += _drive(serial, f"file={path},format=raw,readonly=on")
    arguments += ["-netdev", f"user,id=net,ipv6=off,{forward}", "-device", "virtio-net-pci,netdev=net,romfile="]
    arguments += ["-device", "virtio-rng-pci"]
    arguments += ["-chardev", f"file,id=console,path={machine.console},append=on", "-serial", "chardev:console"]
    arguments += ["-qmp", f"unix:{machine.monitor},server=on,wait=off"]
    return [*arguments, *(["-loadvm", machine.snapshot] if machine.snapshot else [])]


def _drive(serial: str, options: str) -> list[str]:
    return ["-drive", f"{options},if=none,id={serial}", "-device", f"virtio-blk-pci,drive={serial},serial={serial}"]


def ssh_config(folder: str, port: int) -> str:
    """The ssh_config with which the machine is reached, and no other machine.

    No connection is kept: groups that a user has joined count from the next login on.

    Args:
        folder: where key and known_hosts are, absolute.
        port: on loopback.
    """
    return f"""\
# ssh -F {folder}/ssh_config workstation
Host workstation
    HostName 127.0.0.1
    Port {port}
    User {USER}
    HostKeyAlias workstation
    IdentityFile "{folder}/key"
    IdentitiesOnly yes
    UserKnownHostsFile "{folder}/known_hosts"
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
    ServerAliveInterval 20
    ServerAliveCountMax 9
    LogLevel ERROR
"""


def topology_text(smoke: str, suite: str) -> str:
    """The smallest topology, with limits and rates for nodes whose hardware virtualisation is itself emulated.

    Args:
        smoke: text of ``topologies/smoke.yaml``, which has no section timing, probes or storage.
        suite: of the machine.
    """
    timing = "# KVM whose processor is emulated: ten times slower than real hardware.\n"
    timing += f"timing:\n  scale_under_kvm: 6\n  detection_under_kvm: {DETECTION[suite]}\n"
    # Ten requests a second to each address left the machine nothing for the nodes.
    probes = "probes:\n  dns: 1/s\n  icmp: 1/s\n"
    # A node whose power was cut is healthy again when DRBD has copied these areas, 4 MiB each. The usual 127 of them
    # took 807 s of the 1304 s of a drill; these are the fewest that DRBD takes.
    storage = "storage:\n  al_extents: 67\n"
    return f"{smoke.rstrip()}\n\n{timing}\n{probes}\n{storage}"


__all__ = [
    "BAKING_INSIDE_S",
    "DETECTION",
    "ENVIRONMENT",
    "EXPECTED",
    "KERNEL_WORDS",
    "OTHER_PROCESSOR",
    "PATIENCE",
    "PROCESSOR",
    "STEPS",
    "STEP_NAMES",
    "SUITES",
    "Machine",
    "Step",
    "Wishes",
    "due",
    "qemu_arguments",
    "ssh_config",
    "topology_text",
    "wishes_of",
]
