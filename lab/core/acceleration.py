"""Whether hardware virtualisation can carry the lab: judged from evidence, never from the existence of /dev/kvm.

Measured: a machine whose /dev/kvm opens, creates a virtual machine, runs firmware and even long mode with paging, yet
executes instructions one at a time in software, so that a stock kernel never gets anywhere. What tells such a back end
from a working one is work: a loop of tens of millions of turns, which takes a real CPU some hundredths of a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.core.model import Accelerator

Wanted = Literal["auto", "kvm", "tcg"]

#: What the trial prints on its way, one letter for each stage it has passed.
STAGES = {
    "R": "real mode",
    "P": "page tables",
    "L": "64-bit mode",
    "I": "an interrupt",
    "C": "a loop of 67 million turns",
}
FINISHED = "."
NESTING_MARKS = "VS"


@dataclass(frozen=True)
class Trial:
    """What a small virtual machine under KVM did.

    Args:
        output: the letters it printed: those of :data:`STAGES`, ``V`` or ``S`` when the CPU it saw offers VMX or SVM,
            and ``.`` at the end.
        duration_s: how long it ran, seconds.
        limit_s: how long it was allowed to run, seconds.
        error: why it could not be run or ended early; empty otherwise.
    """

    output: str
    duration_s: float
    limit_s: float
    error: str = ""


@dataclass(frozen=True)
class Evidence:
    """What is known of this machine's virtualisation.

    Args:
        device: whether /dev/kvm exists.
        device_error: why it cannot be opened; empty when it can.
        cpu_flag: ``vmx`` or ``svm``, whichever the CPU has; empty for none.
        nested: the value of the module parameter ``nested``; empty when no such module is loaded.
        modules: KVM back ends that are loaded, such as ``kvm_intel``.
        trial: the trial; None when the other evidence has already decided.
    """

    device: bool
    device_error: str = ""
    cpu_flag: str = ""
    nested: str = ""
    modules: tuple[str, ...] = ()
    trial: Trial | None = None


@dataclass(frozen=True)
class Choice:
    """The accelerator of a lab.

    Args:
        accelerator: ``kvm`` or ``tcg``.
        reason: why, one sentence for a person.
        remedy: what would make KVM work; empty when it does or nothing would.
        evidence: what was looked at, one line each.
    """

    accelerator: Accelerator
    reason: str
    remedy: str = ""
    evidence: tuple[str, ...] = ()


def obstacle(evidence: Evidence) -> tuple[str, str]:
    """Why KVM cannot carry the lab, and a remedy; two empty texts when nothing speaks against it so far."""
    if evidence.cpu_flag and not evidence.modules and (not evidence.device or evidence.device_error):
        # The device may be there all the same: systemd makes its node beforehand, and opening it finds nobody.
        module = "kvm_amd" if evidence.cpu_flag == "svm" else "kvm_intel"
        return f"the kernel module {module} is not loaded", f"As root: modprobe {module}"
    if not evidence.device:
        return "this machine has no /dev/kvm", "Switch on virtualisation in the firmware, or nesting on its hypervisor"
    if evidence.device_error:
        return f"/dev/kvm cannot be opened: {evidence.device_error}", "Join the group kvm and log in again"
    if not evidence.cpu_flag:
        loaded = f" (loaded: {', '.join(evidence.modules)})" if evidence.modules else ""
        why = f"/dev/kvm is there, but the CPU has neither vmx nor svm{loaded}, so nodes could not run KVM guests"
        return why, "Switch on nesting on the hypervisor of this machine"
    if evidence.nested not in ("1", "Y", "y"):
        module = "kvm_amd" if evidence.cpu_flag == "svm" else "kvm_intel"
        why = f"nesting is off ({module} nested={evidence.nested or 'unknown'}), so nodes could not run KVM guests"
        return why, f"As root: modprobe -r {module} && modprobe {module} nested=1"
    return _trial_obstacle(evidence.trial) if evidence.trial else ("", "")


def judge(evidence: Evidence) -> Choice:
    """The accelerator that the evidence allows: KVM only with a finished trial and nesting offered."""
    lines = _lines(evidence)
    why, remedy = obstacle(evidence)
    if not why and evidence.trial is None:
        why = "KVM has not been tried"
    if why:
        return Choice("tcg", f"TCG, software emulation: {why}", remedy, lines)
    assert evidence.trial is not None
    reason = f"KVM: a small virtual machine ran under it in {evidence.trial.duration_s:.1f} s and was offered nesting"
    return Choice("kvm", reason, "", lines)


def refusal(choice: Choice) -> tuple[str, str]:
    """What to say, and what to try, when KVM was asked for and the choice is another one."""
    remedy = f"{choice.remedy}; or use --accel auto" if choice.remedy else "Use --accel auto, or --accel tcg"
    return f"KVM was asked for and does not work here: {choice.reason.partition(': ')[2]}", remedy


def _trial_obstacle(trial: Trial) -> tuple[str, str]:
    if FINISHED in trial.output:
        if any(mark in trial.output for mark in NESTING_MARKS):
            return "", ""
        return "a virtual machine under KVM is not offered vmx or svm, so nodes could not run KVM guests", ""
    waiting = next((name for mark, name in STAGES.items() if mark not in trial.output), "its end")
    if trial.error:
        return f"a small virtual machine under KVM failed before {waiting}: {trial.error}", ""
    why = (
        f"a small virtual machine under KVM did not get through {waiting} within {trial.limit_s:.0f} s, "
        "so this KVM does not run code at a CPU's speed"
    )
    return why, "Nothing here: the hypervisor below this machine would have to offer real nesting"


def _lines(evidence: Evidence) -> tuple[str, ...]:
    device = "absent" if not evidence.device else evidence.device_error or "opens"
    lines = [
        f"/dev/kvm: {device}",
        f"CPU flag: {evidence.cpu_flag or 'neither vmx nor svm'}",
        f"KVM modules: {', '.join(evidence.modules) or 'none seen'}; nested={evidence.nested or 'unknown'}",
    ]
    if evidence.trial:
        trial = evidence.trial
        passed = [name for mark, name in STAGES.items() if mark in trial.output]
        end = "finished" if FINISHED in trial.output else trial.error or "did not finish"
        lines.append(f"trial: {end} after {trial.duration_s:.1f} s; passed: {', '.join(passed) or 'nothing'}")
    else:
        lines.append("trial: not run, the rest had already decided")
    return tuple(lines)


__all__ = ["Choice", "Evidence", "Trial", "Wanted", "judge", "obstacle", "refusal"]
