"""Proving the accelerator: a small virtual machine really runs under KVM within a time limit, or TCG it is."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lab.core.acceleration import FINISHED, Choice, Evidence, Trial, Wanted, judge, obstacle, refusal
from lab.core.errors import LabError
from lab.doors.process import ProcessError, run

QEMU = "qemu-system-x86_64"
#: Real hardware needs some tenths of a second; a machine that is itself emulated, and whose KVM works, 3 s.
TRIAL_LIMIT_S = 8.0
#: The payload of the trial; source and recipe in accelerator_payload.S.
PAYLOAD = base64.b64decode(
    "6gV8AAD6McCO2I7AjtC8AHywUubpvwAQZjHAuQAM/Gbzq8cGABADIMcGACADMMcGADCDAA8BFhh9DyDgZoPIIA8i4Ga4ABAAAA8i"
    "2Ga5gAAAwA8yZg0AAQAADzCwUObpDyDAZg0BAACADyLA6nF8CABmuBAAjtiOwI7QvAB8AACwTObpv2BAAAC473wAAGaJB2bHRwII"
    "AGbHRwQAjsdHBgAAAADHRwoAAAAADwEcJR59AAAPC7kAAAAE/8l1/LBD5um4AQAAAA+iD7rhBXMEsFbm6bgBAACAD6IPuuECcwSw"
    "U+bpsC7m6bAA5vT06/2wSebpSMcEJLV8AABIzw8fAAAAAAAAAAAAAAAAAACaIAAAAAAAAJIAABcAAH0AAP8PAEA="
)
_SECTOR_SIZE = 512
_DISK_SIZE = 1024 * 1024  # the firmware does not boot from a disk of less than a cylinder
_FINISHED_CODE = 1  # isa-debug-exit ends QEMU with twice the value written, plus one


def choose(wanted: Wanted) -> Choice:
    """The accelerator for a lab, with the reason.

    Args:
        wanted: ``auto`` proves KVM and falls back to TCG; ``kvm`` insists; ``tcg`` asks nothing.

    Raises:
        LabError: ``kvm`` was asked for and does not work here.
    """
    if wanted == "tcg":
        return Choice("tcg", "TCG, software emulation: asked for with --accel tcg")
    choice = judge(gather())
    if wanted == "kvm" and choice.accelerator != "kvm":
        message, remedy = refusal(choice)
        raise LabError(message, remedy=remedy, details=choice.evidence)
    return choice


def gather(root: Path = Path("/")) -> Evidence:
    """All that is known of this machine's virtualisation; the trial is run only when nothing speaks against KVM.

    Args:
        root: where /dev, /proc and /sys are, for tests.
    """
    device = root / "dev/kvm"
    evidence = Evidence(
        device=device.exists(),
        device_error=_open_error(device),
        cpu_flag=_cpu_flag(root / "proc/cpuinfo"),
        nested=_nested(root / "sys/module"),
        modules=tuple(sorted(path.name for path in (root / "sys/module").glob("kvm_*"))),
    )
    if obstacle(evidence)[0]:
        return evidence
    return replace(evidence, trial=run_trial("kvm"))


def run_trial(accelerator: str, *, limit_s: float = TRIAL_LIMIT_S, cpu: str = "host") -> Trial:
    """Boot the payload and see how far it gets; QEMU has ended when this returns.

    Args:
        accelerator: ``kvm``; ``tcg`` shows that the payload itself is sound.
        limit_s: how long it may run, seconds.
        cpu: QEMU's CPU model; under KVM ``host`` offers all that a node could be offered.
    """
    with tempfile.TemporaryDirectory(prefix="accelerator-") as directory:
        disk = Path(directory) / "payload.img"
        boot_sector = PAYLOAD.ljust(_SECTOR_SIZE - 2, b"\0") + b"\x55\xaa"
        disk.write_bytes(boot_sector.ljust(_DISK_SIZE, b"\0"))
        argv = [QEMU, "-accel", accelerator, "-cpu", cpu, "-machine", "q35", "-m", "64"]
        argv += ["-nodefaults", "-display", "none", "-no-reboot", "-debugcon", "stdio"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        argv += ["-drive", f"file={disk},format=raw,if=none,id=payload,readonly=on"]
        argv += ["-device", "virtio-blk-pci,drive=payload"]
        try:
            result = run(argv, timeout_s=limit_s, check=False)
        except ProcessError as error:
            started = error.result.returncode < 0
            return Trial(error.result.stdout, error.result.duration_s, limit_s, "" if started else error.message)
    failed = result.returncode != _FINISHED_CODE or FINISHED not in result.stdout
    error_text = (result.stderr.strip().splitlines() or [f"QEMU ended with {result.returncode}"])[-1] if failed else ""
    return Trial(result.stdout, result.duration_s, limit_s, error_text)


def _open_error(device: Path) -> str:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _cpu_flag(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return next((flag for flag in ("vmx", "svm") if flag in flags), "")


def _nested(modules: Path) -> str:
    values: Mapping[str, str] = {
        path.parent.parent.name: path.read_text(encoding="utf-8").strip()
        for path in modules.glob("kvm_*/parameters/nested")
    }
    return next(iter(values.values()), "")


__all__ = ["TRIAL_LIMIT_S", "choose", "gather", "run_trial"]
