"""The steps on the workstation, from its first boot to a machine that the lab has left again."""

from __future__ import annotations

from collections.abc import Callable

from lab.core import addressing
from lab.core.errors import LabError
from lab.core.host_facts import ECHO_SETTING
from lab.core.model import Lab
from lab.core.proof.cases import Case
from lab.core.workstation import judgement, plan
from lab.core.workstation.hosted import Hosted, hosted
from lab.core.workstation.refusals import echoes_allowed, judged, ready, refusals, warned_of_echoes
from lab.doors import files
from lab.drivers.workstation_machine import packed_clone
from lab.workflows.options import ROOT, TOPOLOGIES, Options, load_lab
from lab.workflows.workstation_stage import Stage, command_case, fact_case

#: In the clone on the machine it has limits for emulated hardware.
SMOKE = "topologies/smoke.yaml"
#: Where the lab is exported to, beside its own folder, which goes with it.
BUNDLE = "build/smoke.bundle"
#: What a hosted runner types is typed word for word, each line where its turn is; a test holds that none is left out.
WORKFLOW = ROOT / ".github" / "workflows" / "lab.yml"
#: Where the user's images are.
IMAGES = "~/.cache/ha-lab/images"
#: What a runner keeps of a baking; there is none where the images were handed in.
BAKING_LOGS = f"{IMAGES}/logs/"
SYSTEM_RUNNING = "systemctl is-system-running --wait"
BEFORE_FILE = "before-the-lab.json"


def smoke_lab() -> Lab:
    """The lab of the smallest topology."""
    return load_lab(Options(topology=TOPOLOGIES / "smoke.yaml"))


def runner() -> Hosted:
    """What a hosted runner types and keeps, with KVM."""
    return hosted(WORKFLOW.read_text(encoding="utf-8"), "kvm")


def put_clone(stage: Stage) -> str:
    """Copy a fresh clone of the last commit to the machine; what was generated in an older one stays.

    Returns:
        The commit.
    """
    commit, archive = packed_clone(ROOT)
    keep = "find . -mindepth 1 -maxdepth 1 ! -name build ! -name .venv -exec rm -rf {} +"
    stage.shell.succeed(
        f"mkdir -p {plan.CLONE} && (cd {plan.CLONE} && {keep}) && tar -xzf -", stdin=archive, timeout_s=120
    )
    _put_smoke(stage, plan.topology_text(_smoke_text(), stage.wishes.suite))
    return commit


def _smoke_text() -> str:
    return (TOPOLOGIES / "smoke.yaml").read_text(encoding="utf-8")


def _put_smoke(stage: Stage, text: str) -> None:
    stage.shell.succeed(f"mkdir -p {plan.CLONE}/build && cat > {plan.CLONE}/{SMOKE}", stdin=text.encode())


def boot(stage: Stage) -> list[Case]:
    """The machine is up, plain, and offers KVM to whoever may use it."""
    settled = stage.asked(SYSTEM_RUNNING)
    needed = "libvirt-daemon qemu-system-x86 mmdebstrap python3-venv gcc"
    plain = stage.asked(f"dpkg-query -W -f '${{Package}}\\n' {needed} 2>/dev/null || true")
    packages = judgement.lines_of(plain.stdout)
    user = stage.asked("id -un; sudo -n id -un")
    nested = stage.asked("cat /sys/module/kvm_amd/parameters/nested; ls -l /dev/kvm")
    return [
        fact_case("the machine has booted, no unit has failed", settled, "running"),
        Case("nothing of the project's needs is there", "failed", ", ".join(sorted(packages)))
        if packages
        else Case("nothing of the project's needs is there", "passed"),
        fact_case("an ordinary user with sudo", user, f"{plan.USER}\nroot"),
        fact_case("KVM is there, with nesting", nested, "1"),
    ]


def install(stage: Stage) -> list[Case]:
    """The first command of all; it installs what is missing and says what that is."""
    before = stage.look(judgement.LOOKS)
    first = stage.typed(f"./inv lab.doctor -t {SMOKE}")
    cases = [command_case("the first command sets up what it needs and finds the machine ready", first)]
    after = stage.look(judgement.LOOKS)
    cases += judgement.set_up_cases(first.stdout, before, after)
    second = stage.typed(runner().command("lab.doctor"))
    cases.append(command_case("the second one, after a new login, finds it ready too", second))
    again = [line for line in second.stdout.splitlines() if line.startswith("inv: ")]
    name = "the second one sets up nothing"
    return [*cases, Case(name, "failed", "; ".join(again)) if again else Case(name, "passed")]


def doctor(stage: Stage) -> list[Case]:
    """The good machine, each bad one, and the good one again."""
    result, document = stage.document(f"./inv lab.doctor -t {SMOKE} --accel kvm --json")
    cases = [ready(result.returncode, document, result.duration_s)]
    if warned_of_echoes(document):
        # Typed as the remedy says it.
        cases.append(command_case("warned: no ICMP echo may be sent", stage.asked(f"sudo {ECHO_SETTING}")))
    for refusal in refusals(smoke_lab()):
        made = stage.asked(refusal.make)
        if made.ok:
            result, document = stage.document(f"./inv lab.doctor -t {SMOKE} --accel kvm --json")
            cases.append(judged(refusal, result.returncode, document, result.duration_s))
        else:
            cases.append(Case(f"refused: {refusal.name}", "failed", f"the bad host could not be made: {made.stderr}"))
        undone = stage.asked(refusal.undo)
        if not undone.ok:
            cases.append(Case(f"taken back: {refusal.name}", "failed", undone.stderr.strip()))
    result, document = stage.document(f"./inv lab.doctor -t {SMOKE} --accel kvm --json")
    again = ready(result.returncode, document, result.duration_s)
    cases.append(Case(f"{again.name}, again", again.verdict, again.message, again.lines, again.duration_s))
    return [*cases, echoes_allowed(document)]


def test(stage: Stage) -> list[Case]:
    """What the second command of the README begins with; with a lab of its own in it, it would take hours here."""
    # The tests are of the topology as it is in the repository.
    _put_smoke(stage, _smoke_text())
    try:
        return [command_case("test.unit: linters, unit and golden tests", stage.typed("./inv test.unit"))]
    finally:
        _put_smoke(stage, plan.topology_text(_smoke_text(), stage.wishes.suite))


def up(stage: Stage) -> list[Case]:
    """The lab under KVM, guests of the guests included."""
    _hand_in_images(stage)
    before = stage.look(judgement.TRACES)
    files.write_json(stage.machine.folder / BEFORE_FILE, {name: sorted(lines) for name, lines in before.items()})
    since = stage.asked("date +%s").stdout.strip()
    baked = stage.typed(runner().command("lab.bake"))
    brought = stage.typed(runner().command("lab.up"))
    cases = [
        command_case("lab.bake", baked),
        command_case("lab.up: every service has answered a client", brought),
        judgement.root_case(
            "nothing of it asked for root", stage.asked(judgement.ROOT_LOOK.format(since=since)).stdout
        ),
    ]
    if not brought.ok:
        return cases
    lab = smoke_lab()
    domains = " ".join(addressing.domain_name(lab.name, node.name) for node in lab.nodes)
    dump = "virsh -c qemu:///system dumpxml"
    types = f"for d in {domains}; do {dump} $d | grep -o \"<domain type='[a-z]*'\"; done | sort | uniq -c"
    guest = lab.guests[0]
    inside = (
        f"grep . /sys/module/kvm_amd/parameters/nested; virsh dumpxml {guest.domain} | grep -o \"<domain type='kvm'\""
    )
    nested = stage.asked(f"cd {plan.CLONE} && ./inv lab.ssh {guest.home} -t {SMOKE} --command {_quoted(inside)}")
    owner = stage.asked("ps -eo user:20,comm | awk '$2 == \"fence_virtd\" { print $1 }'")
    return [
        *cases,
        fact_case("both nodes are KVM guests", stage.asked(types), f"{len(lab.nodes)} <domain type='kvm'"),
        fact_case("the guest inside is a KVM guest", nested, "1\n<domain type='kvm'"),
        fact_case("the fencing daemon is the user's, not root's", owner, plan.USER),
    ]


def _hand_in_images(stage: Stage) -> None:
    """The lab's images come from this host; when they are to be baked on the machine, it must not have any."""
    if stage.wishes.bake_inside:
        stage.shell.succeed(f"rm -rf {IMAGES}", timeout_s=300)
        return
    stage.shell.succeed(
        f"mkdir -p {IMAGES} && sudo cat /dev/disk/by-id/virtio-images | tar -xf - -C {IMAGES}", timeout_s=300
    )


def verify(stage: Stage) -> list[Case]:
    """The lab's own checks, and what a hosted runner keeps of them."""
    cases = [command_case(task, stage.typed(runner().command(task))) for task in ("lab.verify", "lab.status")]
    # Nothing was baked on the machine where the images were handed in.
    paths = [path for path in runner().kept if path != BAKING_LOGS or stage.wishes.bake_inside]
    there = stage.asked(f"cd {plan.CLONE} && ls -d {' '.join(paths)}")
    return [*cases, command_case("what a hosted runner keeps is there", there)]


def drill(stage: Stage) -> list[Case]:
    """Back to how it was within seconds, then the power of a node is cut."""
    reset = command_case("lab.reset", stage.typed(f"./inv lab.reset -t {SMOKE}"))
    if reset.verdict != "passed":
        return [reset]
    return [reset, command_case("lab.drill power-off", stage.typed(f"./inv lab.drill power-off -t {SMOKE}"))]


def export(stage: Stage) -> list[Case]:
    """The running lab with its saves in one file."""
    return [command_case("lab.export", stage.typed(f"./inv lab.export {BUNDLE} -t {SMOKE}"))]


def down(stage: Stage) -> list[Case]:
    """The lab goes, and the machine is as it was before it came."""
    removed = command_case("lab.down", stage.typed(runner().command("lab.down")))
    return [removed, _left_behind(stage, "lab.down leaves nothing but the image cache and libvirt's logs")]


def _left_behind(stage: Stage, name: str) -> Case:
    before = files.read_json(stage.machine.folder / BEFORE_FILE)
    if before is None:
        raise LabError("it is not known how the machine was before the lab", remedy="Do the step up again")
    after = stage.look(judgement.TRACES)
    return judgement.left_behind(name, {look: frozenset(lines) for look, lines in before.items()}, after)


def other_processor(stage: Stage) -> list[Case]:
    """The machine has another processor now; what the lab's saves hold of the old one cannot go on there.

    It is the first boot since the set-up, too: of what that installed nothing may have started by itself.
    """
    settled = fact_case("the machine has booted", stage.asked(SYSTEM_RUNNING), "running")
    taken = stage.typed(f"./inv lab.import {BUNDLE}")
    refused = judgement.refused_processor(taken.returncode, taken.stdout + taken.stderr, taken.duration_s)
    nothing = stage.asked(f"ls -d {plan.CLONE}/build/{plan.LAB_NAME} 2>/dev/null || echo none")
    alone = _left_behind(stage, "nothing of the lab or of the set-up has started with the machine")
    return [settled, alone, refused, fact_case("no lab was taken in", nothing, "none")]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


#: What is done in each step that needs the machine.
ACTIONS: dict[str, Callable[[Stage], list[Case]]] = {
    "boot": boot,
    "install": install,
    "doctor": doctor,
    "test": test,
    "up": up,
    "verify": verify,
    "drill": drill,
    "export": export,
    "down": down,
    "other-cpu": other_processor,
}
