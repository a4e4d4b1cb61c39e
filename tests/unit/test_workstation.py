"""The plan of the emulated workstation: steps, machine, settings that are handed on, bad hosts and what is left."""

from __future__ import annotations

import configparser
import io
import json
import re
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab.core.errors import LabError
from lab.core.workstation import clients, judgement, plan
from lab.core.workstation.hosted import hosted
from lab.core.workstation.plan import Machine, Wishes
from lab.core.workstation.refusals import echoes_allowed, judged, ready, refusals, warned_of_echoes
from lab.doors.process import Result
from lab.drivers import bakery
from lab.surface import print_error
from lab.workflows.options import TOPOLOGIES, Options, load_lab
from lab.workflows.workstation import NAME, RECIPES, Progress
from lab.workflows.workstation_stage import Stage
from lab.workflows.workstation_steps import ACTIONS, BAKING_LOGS, WORKFLOW, runner, smoke_lab

MACHINE = Machine("k", "i", "disk.qcow2", {"seed": "seed.tar", "images": "images.tar"}, 2222, "m.sock", "console.log")


def names(wishes: Wishes, passed: list[str]) -> list[str]:
    return [step.name for step in plan.due(wishes, passed)]


def test_a_run_goes_on_with_the_first_step_that_has_not_passed() -> None:
    expected = [step.name for step in plan.EXPECTED]
    assert names(Wishes(), []) == expected
    assert names(Wishes(), ["bake", "boot", "install"])[0] == "doctor"
    # What came after a step that is done again was seen on a machine that is no more.
    assert names(Wishes(), ["bake", "install", "doctor"])[0] == "boot"
    assert names(Wishes(), expected) == []
    assert names(Wishes(fresh=True), expected) == expected
    assert names(Wishes(steps=("doctor", "install")), []) == ["install", "doctor"]


def test_a_step_on_request_is_done_only_when_it_is_named() -> None:
    assert [step.name for step in plan.STEPS if step.on_request] == ["test"]
    assert "test" not in names(Wishes(fresh=True), [])
    assert names(Wishes(), ["bake", "boot", "install", "test", "doctor"])[0] == "up"
    assert names(plan.wishes_of("bookworm", "test", False, False), []) == ["test"]


def test_every_step_on_the_machine_has_something_to_do() -> None:
    assert set(ACTIONS) == {step.name for step in plan.STEPS if step.on_machine}


@pytest.mark.parametrize(
    ("suite", "steps", "message"),
    [
        ("sid", "", "sid is no suite of the workstation"),
        ("bookworm", "boot,fly", "fly is no step; known are bake, boot"),
    ],
)
def test_wishes_that_cannot_be_meant(suite: str, steps: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan.wishes_of(suite, steps, False, False)


def test_the_machine_offers_virtualisation_and_is_reached_through_loopback_alone() -> None:
    words = plan.qemu_arguments(MACHINE)
    assert words[words.index("-cpu") + 1].startswith("EPYC-Rome,+svm,-xsave")
    assert words[words.index("-accel") + 1].startswith("tcg,tb-size=")
    assert words[words.index("-smp") + 1] == "1"
    netdev = words[words.index("-netdev") + 1]
    assert re.findall(r"hostfwd=([^,]*)", netdev) == ["tcp:127.0.0.1:2222-:22"]
    # Only the first disk is written, so only it has to hold snapshots.
    drives = [words[place + 1] for place, word in enumerate(words) if word == "-drive"]
    assert [("readonly=on" in drive) for drive in drives] == [False, True, True]
    assert "-loadvm" not in words


@pytest.mark.parametrize("suite", plan.SUITES)
def test_what_helps_an_emulated_kernel_is_said_to_it(suite: str) -> None:
    words = plan.qemu_arguments(Machine(**{**vars(MACHINE), "suite": suite}))
    said = words[words.index("-append") + 1].split()
    assert "norandmaps" in said
    assert ("mitigations=off" in said) == (suite == "trixie")


def test_a_machine_that_was_saved_goes_on_from_there() -> None:
    words = plan.qemu_arguments(Machine(**{**vars(MACHINE), "snapshot": "passed"}))
    assert words[-2:] == ["-loadvm", "passed"]


def test_another_processor_offers_virtualisation_too_and_has_another_name() -> None:
    steps = [step for step in plan.STEPS if step.processor]
    assert [step.name for step in steps] == ["other-cpu"]
    # The machine is not saved after it, so nothing may come after it.
    assert plan.STEPS[-1] is steps[0]
    words = plan.qemu_arguments(Machine(**{**vars(MACHINE), "processor": steps[0].processor}))
    processor = words[words.index("-cpu") + 1]
    assert processor.startswith("EPYC,+svm,-xsave")
    assert processor != plan.PROCESSOR


def test_every_command_is_a_login_of_its_own() -> None:
    config = plan.ssh_config("/w/build", 2222)
    assert "ControlMaster" not in config
    assert "StrictHostKeyChecking yes" in config
    assert "HostName 127.0.0.1" in config


@pytest.mark.parametrize("suite", plan.SUITES)
def test_the_topology_is_the_smallest_with_longer_limits_under_kvm(suite: str) -> None:
    text = plan.topology_text((TOPOLOGIES / "smoke.yaml").read_text(), suite)
    path = TOPOLOGIES.parent / "build" / "unit-workstation.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    try:
        lab = load_lab(Options(topology=path))
    finally:
        path.unlink()
    assert lab.name == plan.LAB_NAME
    assert (lab.timing.scale_under_kvm, lab.timing.detection_under_kvm) == (6, plan.DETECTION[suite])
    assert (lab.probes.dns_per_s, lab.probes.icmp_per_s) == (1, 1)
    assert lab.storage.al_extents == 67


def test_each_suite_has_its_patience() -> None:
    assert set(plan.PATIENCE) == set(plan.SUITES)
    assert min(plan.PATIENCE.values()) >= 1


def test_baking_on_the_machine_takes_longer_and_nothing_else_does() -> None:
    steps = {step.name: step for step in plan.STEPS}
    inside = Wishes("trixie", bake_inside=True)
    assert plan.limit_s(steps["up"], Wishes("trixie")) == steps["up"].limit_s * plan.PATIENCE["trixie"]
    assert plan.limit_s(steps["up"], inside) == (steps["up"].limit_s + plan.BAKING_INSIDE_S) * plan.PATIENCE["trixie"]
    assert plan.limit_s(steps["drill"], inside) == plan.limit_s(steps["drill"], Wishes("trixie"))


@pytest.mark.parametrize("suite", plan.SUITES)
def test_the_image_holds_nothing_that_the_project_needs(suite: str) -> None:
    recipe = bakery.load_recipe(NAME, suite=suite, recipes=RECIPES).recipe
    lines = (TOPOLOGIES.parent / "packages.txt").read_text().splitlines()
    needed = {line.split()[1] for line in lines if line and not line.startswith("#")}
    # Debian has these on every machine with ssh, a network and an initrd.
    assert set(recipe.packages) & needed == {"iproute2", "iputils-ping", "zstd", "openssh-server"}
    assert recipe.size_mib > 13 * 1024


DUMP = """\
APT::Architecture "amd64";
Acquire::cdrom::mount "/media/cdrom/";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::Check-Valid-Until "false";
Acquire::Languages:: "none";
Acquire::Changelogs::AlwaysOnline "true";
Acquire::Retries "";
"""


def test_what_apt_was_told_about_fetching_is_handed_on() -> None:
    assert clients.apt_settings(DUMP) == (
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::Check-Valid-Until "false";\n'
        'Acquire::Languages:: "none";\n'
    )
    assert clients.apt_proxies({"HTTPS_PROXY": "http://p:1", "no_proxy": "x"}) == (
        'Acquire::https::Proxy "http://p:1";\n'
    )


def test_sources_of_this_release_are_those_of_the_other_one() -> None:
    files = {
        "/etc/apt/sources.list.d/own.sources": "Suites: bookworm bookworm-updates\n",
        "/etc/apt/sources.list.d/vendor.list": "deb https://vendor.example any main\n",
        "/etc/apt/sources.list.d/old.sources.off": "Suites: bookworm\n",
    }
    assert clients.apt_sources(files, "bookworm", "trixie") == {
        "/etc/apt/sources.list.d/own.sources": "Suites: trixie trixie-updates\n"
    }
    assert clients.apt_sources(files, "", "trixie") == {}


def test_pip_keeps_what_does_not_lie_on_this_disk() -> None:
    text = clients.pip_settings(
        {
            "/etc/pip.conf": "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\nindex-url = https://one.example/s\n",
            "~/pip.conf": "[global]\nindex-url = https://two.example/s\nfind-links = /opt/wheels\n"
            "extra-index-url = file:///opt/a https://three.example/s\n    https://four.example/s\n",
        }
    )
    read = configparser.ConfigParser()
    read.read_string(text)
    assert dict(read["global"]) == {
        "cert": "/etc/ssl/certs/ca-certificates.crt",
        "index-url": "https://two.example/s",
        "extra-index-url": "https://three.example/s\nhttps://four.example/s",
    }


def test_the_environment_of_a_login_has_proxies_and_pips_variables() -> None:
    environment = {"PIP_DEFAULT_TIMEOUT": "180", "PIP_FIND_LINKS": "/opt/wheels", "HOME": "/x", "no_proxy": "a,b"}
    environment |= {"PIP_CERT": "/etc/ssl/certs/ca-certificates.crt"}
    assert clients.environment_file(environment) == (
        'PIP_CERT="/etc/ssl/certs/ca-certificates.crt"\nPIP_DEFAULT_TIMEOUT="180"\nno_proxy="a,b"\n'
    )


def test_each_bad_host_of_the_doctor_is_taken_back() -> None:
    cases = refusals(smoke_lab())
    assert len({case.name for case in cases}) == len(cases) == 7
    for case in cases:
        assert case.make != case.undo
        assert case.undo


def document(**changes: object) -> dict[str, object]:
    finding = {"name": "memory", "ok": False, "severity": "failure", "message": "5 MiB available, 9 MiB needed"}
    return {"ok": False, "findings": [{**finding, "remedy": "End other programs", **changes}]}


@pytest.mark.parametrize(
    ("returncode", "answer", "verdict", "why"),
    [
        (1, document(), "passed", ""),
        (1, None, "failed", "no table of findings"),
        (0, document(), "failed", "not refused"),
        (1, document(name="disk"), "failed", "the reason is missing"),
        (1, document(message="too small"), "failed", "the reason is missing"),
        (1, document(severity="warning"), "failed", "the reason is missing"),
        (1, document(remedy=""), "failed", "no remedy"),
    ],
)
def test_a_refusal_has_its_exit_code_reason_and_remedy(
    returncode: int, answer: dict[str, object] | None, verdict: str, why: str
) -> None:
    memory = next(case for case in refusals(smoke_lab()) if case.finding == "memory")
    case = judged(memory, returncode, answer, 1.0)
    assert case.verdict == verdict
    assert why in case.message


def test_a_machine_is_ready_only_with_kvm() -> None:
    assert (
        ready(0, {"accelerator": {"accelerator": "kvm", "reason": "KVM: ran", "evidence": []}}, 1.0).verdict == "passed"
    )
    assert ready(0, {"accelerator": {"accelerator": "tcg"}}, 1.0).verdict == "failed"
    assert ready(1, None, 1.0).verdict == "failed"


def test_a_doctor_that_says_nothing_of_echoes_has_not_looked() -> None:
    assert echoes_allowed(None).verdict == "failed"
    assert not warned_of_echoes(document())


SAID = """\
inv: adding ada to the groups libvirt and kvm with sudo
inv: installing with apt-get sudo: gcc libvirt-dev (log: /home/ada/ha-lab/build/setup.log)
"""
EMPTY: dict[str, frozenset[str]] = dict.fromkeys(judgement.LOOKS, frozenset())


def test_a_set_up_that_does_what_it_said() -> None:
    after = {
        **EMPTY,
        "packages": frozenset({"gcc", "libvirt-dev"}),
        "groups": frozenset({"libvirt", "kvm"}),
        "sockets": frozenset({"tcp 127.0.0.1:16509 x", 'udp [::1]:53 users:(("x"', "udp 127.0.0.53%lo:53 x"}),
    }
    assert {case.verdict for case in judgement.set_up_cases(SAID, EMPTY, after)} == {"passed"}


@pytest.mark.parametrize(
    ("look", "line"),
    [
        ("packages", "nginx"),
        ("groups", "docker"),
        ("failed units", "fence_virtd.service"),
        ("sockets", 'tcp 0.0.0.0:1229 users:(("fence_virtd"'),
    ],
)
def test_a_set_up_that_does_more_is_found_out(look: str, line: str) -> None:
    cases = judgement.set_up_cases(SAID, EMPTY, {**EMPTY, look: frozenset({line})})
    assert [case.message for case in cases if case.verdict == "failed"] == [line]


OWN_LOOK = "COMMAND=/usr/bin/true\nCOMMAND=/usr/bin/journalctl --sync\nCOMMAND=/usr/bin/journalctl -q -t sudo\n"


@pytest.mark.parametrize(
    ("seen", "message", "lines"),
    [
        ("", "the journal does not show what sudo was asked for", ()),
        ("sudo: a password is required\n", "the journal does not show what sudo was asked for", None),
        (OWN_LOOK + "COMMAND=/usr/sbin/modprobe nbd\n", "as root: 1", ("COMMAND=/usr/sbin/modprobe nbd",)),
        (OWN_LOOK + "COMMAND=/usr/bin/true-like\n", "as root: 1", ("COMMAND=/usr/bin/true-like",)),
    ],
)
def test_a_command_that_asked_for_root_is_found_out(seen: str, message: str, lines: tuple[str, ...] | None) -> None:
    case = judgement.root_case("nothing asked for root", seen)
    assert (case.verdict, case.message) == ("failed", message)
    assert lines is None or case.lines == lines


def test_commands_that_asked_for_nothing_of_root_pass() -> None:
    assert judgement.root_case("nothing asked for root", OWN_LOOK).verdict == "passed"


@dataclass
class Typist:
    """Stands for a stage on a machine where every command ends well and every look shows nothing."""

    machine: SimpleNamespace
    wishes: Wishes = field(default_factory=Wishes)
    lines: list[str] = field(default_factory=list)

    def typed(self, command: str) -> Result:
        self.lines.append(command)
        return Result((command,), 0, "", "", 1.0)

    def asked(self, command: str) -> Result:
        return Result((command,), 0, "", "", 1.0)

    def look(self, looks: dict[str, str]) -> dict[str, frozenset[str]]:
        return dict.fromkeys(looks, frozenset())

    @property
    def shell(self) -> SimpleNamespace:
        return SimpleNamespace(succeed=lambda *_words, **_options: "")


def test_what_a_hosted_runner_types_is_typed_word_for_word_in_its_order(tmp_path: Path) -> None:
    kvm = runner()
    tasks = [command.split()[1] for command in kvm.commands]
    assert tasks == ["lab.doctor", "lab.bake", "lab.up", "lab.verify", "lab.status", "lab.down"]
    assert kvm.command("lab.up") == "./inv lab.up -t topologies/smoke.yaml --accel kvm"
    typist = Typist(SimpleNamespace(folder=tmp_path))
    for step in plan.STEPS:
        if step.name in ("install", "up", "verify", "drill", "export", "down"):
            ACTIONS[step.name](cast("Stage", typist))
    assert [line for line in typist.lines if line in kvm.commands] == list(kvm.commands)
    # Of another lab nothing is typed in between.
    assert {line.split("-t ")[1].split()[0] for line in typist.lines} == {"topologies/smoke.yaml"}


class Watcher(Typist):
    """As a typist, and takes down which topology the machine has while something is typed; the typing may break off."""

    breaks_off = False

    def typed(self, command: str) -> Result:
        self.lines.append(command)
        if self.breaks_off:
            raise LabError("the step did not end in time")
        return Result((command,), 0, "", "", 1.0)

    @property
    def shell(self) -> SimpleNamespace:
        def succeed(_command: str, *, stdin: bytes) -> str:
            self.lines.append("stretched" if b"scale_under_kvm" in stdin else "as in the repository")
            return ""

        return SimpleNamespace(succeed=succeed)


@pytest.mark.parametrize("breaks_off", [False, True])
def test_the_tests_find_the_topology_of_the_repository(tmp_path: Path, breaks_off: bool) -> None:
    watcher = Watcher(SimpleNamespace(folder=tmp_path))
    watcher.breaks_off = breaks_off
    with pytest.raises(LabError) if breaks_off else nullcontext():
        ACTIONS["test"](cast("Stage", watcher))
    assert watcher.lines == ["as in the repository", "./inv test.unit", "stretched"]


class Patient(Typist):
    """A machine on which no echo may be sent before something is set, or at all."""

    curable = True

    def asked(self, command: str) -> Result:
        self.lines.append(command)
        return Result((command,), 0, "", "", 1.0)

    def document(self, command: str) -> tuple[Result, dict[str, object]]:
        allowed = self.curable and any("ping_group_range" in line for line in self.lines)
        echo = {"name": "ICMP echo", "severity": "ok" if allowed else "warning", "message": "m", "remedy": "r"}
        return self.asked(command), {"findings": [{**echo, "ok": True}]}


@pytest.mark.parametrize("curable", [True, False])
def test_what_the_doctor_warns_of_is_mended_as_it_says(tmp_path: Path, curable: bool) -> None:
    patient = Patient(SimpleNamespace(folder=tmp_path))
    patient.curable = curable
    cases = {case.name: case.verdict for case in ACTIONS["doctor"](cast("Stage", patient))}
    assert cases["warned: no ICMP echo may be sent"] == "passed"
    assert cases["an ICMP echo may be sent"] == ("passed" if curable else "failed")
    assert [line for line in patient.lines if "ping" in line] == [
        "sudo sysctl -w net.ipv4.ping_group_range='0 2147483647'"
    ]


def test_the_entry_without_kvm_types_the_same() -> None:
    kvm, tcg = (hosted(WORKFLOW.read_text(), accelerator) for accelerator in ("kvm", "tcg"))
    assert tcg.commands == tuple(line.replace("kvm", "tcg") for line in kvm.commands)
    assert {"build/smoke/verify.xml", BAKING_LOGS} <= set(kvm.kept)


def test_a_workflow_that_does_not_type_anything_is_an_error() -> None:
    text = "jobs: {a: {strategy: {matrix: {accelerator: [tcg]}}, steps: [{run: ./inv lab.up}]}}"
    assert hosted(text, "tcg").commands == ("./inv lab.up",)
    with pytest.raises(ValueError, match="types anything for kvm"):
        hosted(text, "kvm")
    with pytest.raises(ValueError, match=r"types lab\.down 0 times"):
        hosted(text, "tcg").command("lab.down")


MADE, HERE = "AMD EPYC-Rome 01234567", "AMD EPYC 89abcdef"
REMEDY = "Use the same QEMU, and under KVM the same processor; or build the lab here with ./inv lab.up"


def refused(here: str = HERE, more: str = "", remedy: str = REMEDY) -> str:
    """What a person reads of a bundle that another processor's machine has written."""
    why = f"it was made on the processor {MADE!r}, and this is {here!r}{more}"
    stream = io.StringIO()
    print("    0.0 s  read smoke.bundle ...", file=stream)
    print_error(LabError(f"the bundle of the lab smoke does not fit this machine: {why}", remedy=remedy), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("returncode", "said", "why"),
    [
        (2, refused(), ""),
        (2, refused(more=" (it lacks topoext, it adds avx)"), ""),
        (0, refused(), "exit code 0"),
        (2, f"Error: the bundle is damaged\nWhat to try: {REMEDY}", "the reason is missing, or there is another one"),
        (2, refused(more="; topology, program or images are others now"), "or there is another one"),
        (2, refused(here=MADE), "the same name"),
        (2, refused(remedy=""), "the reason has no remedy"),
    ],
)
def test_another_processor_is_refused_for_this_reason_alone(returncode: int, said: str, why: str) -> None:
    case = judgement.refused_processor(returncode, said, 1.0)
    assert case.verdict == ("failed" if why else "passed")
    assert why in case.message


def test_what_a_removed_lab_left_is_found() -> None:
    before: dict[str, frozenset[str]] = dict.fromkeys(judgement.TRACES, frozenset())
    kept = {**before, "pools": frozenset({"ha-lab-cache"}), "images": frozenset({"ha-lab-cache"})}
    assert judgement.left_behind("nothing", before, kept).verdict == "passed"
    left = judgement.left_behind("nothing", before, {**kept, "domains": frozenset({"smoke-brina"})})
    assert (left.verdict, left.message) == ("failed", "domains: smoke-brina")


def test_what_has_passed_survives_as_json() -> None:
    case = {"name": "it boots", "verdict": "passed", "message": "", "lines": ["x"], "duration_s": 1.0}
    steps = {"boot": {"ok": True, "commit": "c", "cases": [case]}, "install": {"ok": False, "commit": "c", "cases": []}}
    progress = Progress(**json.loads(json.dumps(vars(Progress("image", "c", steps)))))
    assert progress.passed() == ["boot"]
    assert [one.name for one in progress.cases()] == ["boot: it boots"]
