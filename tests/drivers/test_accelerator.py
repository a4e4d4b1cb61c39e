"""The proof of the accelerator against the QEMU of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.acceleration import FINISHED, STAGES, judge
from lab.core.errors import LabError
from lab.doors.process import run
from lab.drivers import accelerator

SOURCE = Path(accelerator.__file__).with_name("accelerator_payload.S")


def test_the_payload_is_what_its_source_assembles_to(tmp_path: Path) -> None:
    run(["as", "--64", "-o", str(tmp_path / "payload.o"), str(SOURCE)], timeout_s=30)
    argv = ["ld", "-m", "elf_x86_64", "-Ttext", "0x7c00", "--oformat", "binary"]
    run([*argv, "-o", str(tmp_path / "payload.bin"), str(tmp_path / "payload.o")], timeout_s=30)
    assembled = (tmp_path / "payload.bin").read_bytes()
    assert assembled == accelerator.PAYLOAD.ljust(510, b"\0") + b"\x55\xaa"


@pytest.mark.parametrize(("cpu", "nesting"), [("EPYC-Rome,+svm", "S"), ("EPYC-Rome,-svm", "")])
def test_the_payload_finishes_on_a_sound_machine_and_sees_nesting(cpu: str, nesting: str) -> None:
    trial = accelerator.run_trial("tcg", cpu=cpu, limit_s=60)
    assert trial.error == ""
    assert trial.output == "".join(STAGES) + nesting + FINISHED


def test_a_machine_that_is_too_slow_is_ended_at_the_limit() -> None:
    trial = accelerator.run_trial("tcg", cpu="max", limit_s=0.05)
    assert FINISHED not in trial.output
    assert trial.error == ""


def test_an_accelerator_that_is_not_there_is_told_apart() -> None:
    trial = accelerator.run_trial("nonsense", cpu="max")
    assert "nonsense" in trial.error
    assert trial.output == ""


def machine(root: Path, flags: str, nested: dict[str, str]) -> Path:
    (root / "dev").mkdir()
    (root / "dev/kvm").touch()
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n", encoding="utf-8")
    for module, value in nested.items():
        (root / "sys/module" / module / "parameters").mkdir(parents=True)
        (root / "sys/module" / module / "parameters/nested").write_text(value + "\n", encoding="utf-8")
    return root


def test_evidence_that_has_already_decided_saves_the_trial(tmp_path: Path) -> None:
    evidence = accelerator.gather(machine(tmp_path, "fpu vmx", {"kvm_intel": "N"}))
    assert evidence.cpu_flag == "vmx"
    assert evidence.nested == "N"
    assert evidence.trial is None
    assert "kvm_intel nested=N" in judge(evidence).reason


def test_no_device_is_seen(tmp_path: Path) -> None:
    evidence = accelerator.gather(tmp_path)
    assert not evidence.device
    assert judge(evidence).accelerator == "tcg"


def test_evidence_in_favour_leads_to_a_real_trial(tmp_path: Path) -> None:
    """The outcome depends on the machine; what does not: a trial took place, and KVM is chosen only if it finished."""
    evidence = accelerator.gather(machine(tmp_path, "fpu svm", {"kvm_amd": "1"}))
    assert evidence.trial is not None
    choice = judge(evidence)
    assert (choice.accelerator == "kvm") == (FINISHED in evidence.trial.output and "S" in evidence.trial.output)


def test_choosing_on_this_machine_agrees_with_itself() -> None:
    choice = accelerator.choose("auto")
    assert accelerator.choose("tcg").accelerator == "tcg"
    if choice.accelerator == "kvm":
        assert accelerator.choose("kvm").accelerator == "kvm"
        return
    with pytest.raises(LabError, match="KVM was asked for and does not work here") as caught:
        accelerator.choose("kvm")
    assert caught.value.exit_code == 1
    assert caught.value.remedy
