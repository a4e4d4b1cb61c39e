from __future__ import annotations

import io
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invoke.program import Program

import tasks
from lab import surface
from lab.core.drills.programme import UNSAID, Wishes
from lab.core.errors import InputError, LabError, Problem
from lab.core.outcome import Outcome
from lab.doors import process
from lab.help_option import asked_for
from lab.workflows.options import TOPOLOGIES, Options, known_topology, resolve_topology

ALL_TASKS = sorted(tasks.namespace.task_names)
#: Taken once: invoke hands out the help of an option to the first who asks.
ARGUMENTS = {name: tasks.namespace[name].get_arguments() for name in ALL_TASKS}
Carry = Callable[..., int]


@pytest.fixture
def carry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Carry:
    """Run `lab.up` with a workflow of our own, without libvirt, in a build directory of our own."""
    monkeypatch.setattr(surface, "start_libvirt", lambda: None)

    def carry_out(workflow: Callable[[Options], Any], *, as_json: bool = False) -> int:
        module = types.ModuleType("fake_workflow")
        vars(module)["up"] = workflow
        monkeypatch.setitem(sys.modules, "fake_workflow", module)
        monkeypatch.setitem(surface.WORKFLOWS, "up", "fake_workflow:up")
        monkeypatch.setattr(surface, "options_from", lambda **_: Options(build=tmp_path, name="mylab"))
        return surface.carry_out("up", as_json=as_json)

    return carry_out


def raising(error: BaseException) -> Callable[[Options], Any]:
    def workflow(_options: Options) -> None:
        raise error

    return workflow


def run_command(*words: str) -> int:
    """The command line, in this process; returns the exit code."""
    program = Program(namespace=tasks.namespace, name="inv")
    with pytest.raises(SystemExit) as ended:
        program.run(["inv", *words])
        raise SystemExit(0)
    return int(ended.value.code or 0)


def test_a_result_is_printed_as_text_or_json(carry: Carry, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome("all is well", {"ok": True})
    assert carry(lambda _: outcome) == 0
    assert capsys.readouterr() == ("all is well\n", "")
    assert carry(lambda _: outcome, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True}


def test_a_bad_outcome_ends_with_1_and_a_code_is_passed_on(carry: Carry) -> None:
    assert carry(lambda _: Outcome("not well", ok=False)) == 1
    assert carry(lambda _: 37) == 37
    assert carry(lambda _: None) == 0


@pytest.mark.parametrize("ok", [True, False])
def test_a_reader_who_has_had_enough_is_no_mistake(ok: bool) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        assert surface.print_result(Outcome("all of it", ok=ok), stream, as_json=False) == (0 if ok else 1)


def test_a_failure_has_message_details_and_remedy_and_no_traceback(
    carry: Carry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_masked", set())
    process.mask(["swordfish"])
    error = LabError("brina does not boot", remedy="Look at its console", details=["last line", "key swordfish"])
    assert carry(raising(error)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "Error: brina does not boot\n    last line\n    key ***\nWhat to try: Look at its console.\n"
    )


def test_bad_input_ends_with_2(carry: Carry, capsys: pytest.CaptureFixture[str]) -> None:
    problems = [Problem("nodes.brina.memory", "12 elephants is not a size", "Write 3 GiB", 7)]
    assert carry(raising(InputError("my.yaml", problems))) == 2
    assert "my.yaml:7: nodes.brina.memory: 12 elephants is not a size. Write 3 GiB." in capsys.readouterr().err


def test_an_interruption_says_how_to_go_on(carry: Carry, capsys: pytest.CaptureFixture[str]) -> None:
    assert carry(raising(KeyboardInterrupt())) == 130
    assert "`./inv lab.up` continues, `./inv lab.down` removes everything." in capsys.readouterr().err


def test_a_mistake_of_the_program_leaves_its_traceback_in_a_file(
    carry: Carry, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert carry(raising(ZeroDivisionError("division by zero"))) == 1
    err = capsys.readouterr().err
    assert "Error: unexpected ZeroDivisionError: division by zero" in err
    assert "Traceback" not in err
    assert "Traceback" in (tmp_path / "mylab/crash.log").read_text(encoding="utf-8")


def test_a_name_that_is_a_path_does_not_move_the_crash_log(tmp_path: Path) -> None:
    surface.print_crash(ValueError("x"), Options(build=tmp_path, name="../../etc"), io.StringIO())
    assert (tmp_path / "etc/crash.log").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"accel": "xen"}, "--accel xen is not known"),
        ({"driver": "virtualbox"}, "--driver virtualbox is not known"),
        ({"topology": "no-such"}, "there is no topology no-such"),
        ({"secrets": "/no/such/directory"}, "is not a directory"),
    ],
)
def test_options_that_cannot_be_meant_end_with_2(given: dict[str, str], message: str) -> None:
    with pytest.raises(LabError, match=message) as caught:
        surface.options_from(**given)
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_a_topology_is_a_file_or_a_bare_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = resolve_topology("two-node")
    assert shipped.name == "two-node.yaml"
    assert resolve_topology("two-node.yaml") == shipped
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("", encoding="utf-8")
    assert resolve_topology("mine.yaml") == Path("mine.yaml")
    assert resolve_topology(str(tmp_path / "mine.yaml")) == tmp_path / "mine.yaml"
    with pytest.raises(LabError):
        resolve_topology("../two-node")


@pytest.mark.parametrize("verb", sorted(surface.WORKFLOWS))
def test_every_verb_has_its_workflow(verb: str) -> None:
    assert callable(surface.workflow(verb))


@pytest.mark.parametrize("name", ALL_TASKS)
def test_every_task_explains_itself_and_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    task = tasks.namespace[name]
    assert "Example" in (task.__doc__ or "")
    assert "./inv " in (task.__doc__ or "")
    assert [argument.name for argument in ARGUMENTS[name] if not argument.help] == []
    code = run_command("--help", name)
    assert code == 0
    assert (task.__doc__ or "").splitlines()[0] in capsys.readouterr().out


@pytest.mark.parametrize("name", ALL_TASKS)
def test_short_options_mean_the_same_everywhere(name: str) -> None:
    """Invoke gives letters in the order of the parameters: `lab.ssh brina -t smoke` once named another target."""
    taken = {argument.nicknames[0]: argument.name for argument in ARGUMENTS[name] if argument.nicknames}
    named = {argument.name for argument in ARGUMENTS[name]}
    for letter, option in (("t", "topology"), ("n", "name")):
        assert option not in named or taken[letter] == option


@pytest.mark.parametrize("words", [("--help",), ("-t", "smoke", "--help"), ("-h",)])
def test_the_task_that_help_is_asked_for_is_found(words: tuple[str, ...]) -> None:
    assert asked_for(("lab.save", *words), "save") == "lab.save"
    assert asked_for(words, "save") == "save"


@pytest.mark.parametrize("name", ALL_TASKS)
def test_no_task_takes_the_word_for_help_for_anything_else(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(argv: list[str], **_options: Any) -> process.Result:
        return process.Result(tuple(argv), 0, f"Usage: invoke {' '.join(argv[-2:])}", "")

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(sys, "argv", ["invoke", name, "--help"])
    assert run_command(name, "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith("Usage: ")
    assert name in said


def test_all_tasks_are_there() -> None:
    lab = [
        "audit",
        "bake",
        "box",
        "console",
        "doctor",
        "down",
        "drill",
        "export",
        "fault",
        "faults",
        "forget",
        "halt",
        "heal",
        "import",
        "list",
        "load",
        "proof",
        "prune",
        "render",
        "renew",
        "reset",
        "save",
        "saves",
        "report",
        "schema",
        "ssh",
        "status",
        "traffic",
        "up",
        "verify",
    ]
    test = ["all", "drivers", "faults", "golden", "lab", "matrix", "unit", "vagrant", "workstation"]
    assert sorted([*(f"lab.{name}" for name in lab), *(f"test.{name}" for name in test), "lint"]) == ALL_TASKS


def test_options_of_the_command_line_reach_the_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(surface, "carry_out", lambda *words, **options: seen.append((words, options)) or 3)
    code = run_command("lab.up", "-t", "smoke", "--name", "second", "--accel=tcg", "--driver", "vagrant", "--json")
    assert code == 3
    expected = {"topology": "smoke", "name": "second", "accel": "tcg", "secrets": "", "driver": "vagrant"}
    assert seen == [(("up", True, False), expected | {"as_json": True})]


def test_bundles_are_files(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(surface, "carry_out", lambda *words, **_: seen.append(words) or 0)
    run_command("lab.export", "lab.bundle", "--save", "later")
    run_command("lab.import", "lab.bundle")
    run_command("lab.import", "lab.bundle", "--renew-secrets")
    run_command("lab.down", "--no-cache")
    run_command("lab.up", "--fresh", "--no-save")
    assert seen == [
        ("export", "lab.bundle", "later"),
        ("import", "lab.bundle", False),
        ("import", "lab.bundle", True),
        ("down", False),
        ("up", False, True),
    ]


def test_ssh_takes_target_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(surface, "carry_out", lambda *words, **_: seen.append(words) or 0)
    run_command("lab.ssh", "brina", "--command", "crm status")
    assert seen == [("ssh", "brina", "crm status")]


def test_the_matrix_knows_its_suites(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("test.matrix", "--suites", "bookworm,sid") == 2
    err = capsys.readouterr().err
    assert err.startswith("Error: --suites bookworm,sid: sid is no suite; known are bullseye, bookworm, trixie\n")
    assert "What to try: " in err


def test_the_studys_programme_has_options_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(surface, "carry_out", lambda *words, **_: seen.append(words) or 0)
    run_command("lab.drill", "study")
    run_command("lab.drill", "study", "--quick", "--node", "piova", "--power-offs", "3", "--maintenances=0", "--resume")
    run_command("lab.report", "--programme", "latest")
    assert seen == [
        ("study", Wishes(), False),
        ("study", Wishes(True, "piova", 3, UNSAID, 0), True),
        ("report", "", (12.0, 24.0), "latest"),
    ]


def test_a_lab_that_is_named_only_is_the_one_that_was_built(tmp_path: Path) -> None:
    smoke = TOPOLOGIES / "smoke.yaml"
    assert known_topology("", tmp_path) == known_topology("unknown", tmp_path) == TOPOLOGIES / "two-node.yaml"
    for noted in (str(smoke), "topologies/smoke.yaml"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / "state.json").write_text(json.dumps({"topology": noted}))
        assert known_topology("mine", tmp_path).samefile(smoke)


def test_a_lab_whose_topology_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "state.json").write_text(json.dumps({"topology": str(tmp_path / "gone.yaml")}))
    with pytest.raises(LabError, match=r"the topology .*/gone.yaml that the lab mine was built from is gone") as caught:
        known_topology("mine", tmp_path)
    assert (caught.value.exit_code, caught.value.remedy.split(";")[0]) == (2, "Give the lab's topology with -t")
