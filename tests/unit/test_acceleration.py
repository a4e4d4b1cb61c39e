from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from lab.core.acceleration import STAGES, Evidence, Trial, judge, refusal

FINE = Evidence(
    device=True, cpu_flag="svm", nested="1", modules=("kvm_amd",), trial=Trial("RPLICS.", duration_s=0.3, limit_s=5.0)
)


def with_(**changes: object) -> Evidence:
    return Evidence(**{**vars(FINE), **changes})  # type: ignore[arg-type]


def test_kvm_when_a_machine_ran_and_nesting_is_offered() -> None:
    choice = judge(FINE)
    assert choice.accelerator == "kvm"
    assert "0.3 s" in choice.reason
    assert choice.remedy == ""


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (with_(device=False, cpu_flag=""), "no /dev/kvm"),
        (with_(device=False), "no /dev/kvm"),
        (with_(device=False, modules=()), "the kernel module kvm_amd is not loaded"),
        (with_(device_error="No such device", cpu_flag="vmx", modules=()), "the kernel module kvm_intel is not loaded"),
        (with_(device_error="Permission denied"), "cannot be opened: Permission denied"),
        (with_(cpu_flag="", modules=("kvm_pvm",)), "neither vmx nor svm (loaded: kvm_pvm)"),
        (with_(nested="0"), "nesting is off (kvm_amd nested=0)"),
        (with_(nested="N", cpu_flag="vmx"), "nesting is off (kvm_intel nested=N)"),
        (with_(nested=""), "nesting is off (kvm_amd nested=unknown)"),
        (with_(trial=None), "has not been tried"),
        (with_(trial=Trial("RPLIC.", 0.3, 5.0)), "not offered vmx or svm"),
        (with_(trial=Trial("RPLI", 5.0, 5.0)), "did not get through a loop of 67 million turns within 5 s"),
        (with_(trial=Trial("", 5.0, 5.0)), "did not get through real mode"),
        (with_(trial=Trial("RP", 0.1, 5.0, "KVM internal error")), "failed before 64-bit mode: KVM internal error"),
    ],
)
def test_tcg_with_the_reason_otherwise(evidence: Evidence, reason: str) -> None:
    choice = judge(evidence)
    assert choice.accelerator == "tcg"
    assert reason in choice.reason


@given(some.text(alphabet="".join(STAGES) + "VS"))
def test_a_trial_that_did_not_finish_never_proves_kvm(output: str) -> None:
    assert judge(with_(trial=Trial(output, 5.0, 5.0))).accelerator == "tcg"


def test_intel_nesting_counts_as_well() -> None:
    trial = Trial("RPLICV.", 0.2, 5.0)
    assert judge(with_(cpu_flag="vmx", nested="Y", modules=("kvm_intel",), trial=trial)).accelerator == "kvm"


def test_the_evidence_tells_how_far_the_trial_got() -> None:
    assert "passed: real mode, page tables, 64-bit mode, an interrupt" in judge(
        with_(trial=Trial("RPLI", 5.0, 5.0))
    ).evidence[-1].replace("did not finish after 5.0 s; ", "")


def test_a_refusal_has_a_reason_and_a_way_out() -> None:
    message, remedy = refusal(judge(with_(nested="0")))
    assert message == (
        "KVM was asked for and does not work here: nesting is off (kvm_amd nested=0), so nodes could not run KVM guests"
    )
    assert "modprobe kvm_amd nested=1" in remedy
    assert "--accel auto" in remedy
