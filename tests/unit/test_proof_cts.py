"""Pacemaker's test suite: its lists and logs as it prints them itself, its templates, and its table of names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.junit import parse_junit
from lab.core.proof.apt_sources import source_entries
from lab.core.proof.cases import Case, junit_text, proven, told
from lab.core.proof.cts import (
    BAD_NEWS,
    EXPLAINED_NEWS,
    WHOLE,
    at_home,
    filled,
    hosts_file,
    left_out_cases,
    parse_list,
    parse_log,
    run_arguments,
)
from tests.unit.drill_examples import HOSTILE

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / f"cts-{name}.txt").read_text(encoding="utf-8")


def verdicts(cases: tuple[Case, ...]) -> dict[str, str]:
    return {case.name: case.verdict for case in cases}


def test_the_list_of_tests() -> None:
    names = parse_list(recorded("list"))
    assert len(names) == 15
    assert names[:3] == ("Flip", "Restart", "Stonithd")
    assert "ComponentFail" not in names


@pytest.mark.parametrize(
    "text", ["", "abort: No module named cts", "Nov 25 22:05:43\tTotal 2 tests\nNov 25 22:05:43\tFlip\n"]
)
def test_what_is_no_list_is_an_error(text: str) -> None:
    with pytest.raises(LabError):
        parse_list(text)


def test_what_is_left_out_has_its_reason() -> None:
    wanted = parse_list(recorded("list"))
    lists = {"unsafe": parse_list(recorded("list-unsafe")), "containers": parse_list(recorded("list-containers"))}
    assert left_out_cases(wanted, lists) == (
        Case("ComponentFail", "skipped", "unsafe"),
        Case("RemoteLXC", "skipped", "containers"),
    )


def test_a_run_that_went_well() -> None:
    cases = parse_log(recorded("good"), 0)
    # The suite itself counts the skipped one as a success.
    assert verdicts(cases) == {
        "Flip on brina": "passed",
        "Stonithd on brina": "passed",
        "Reattach on brina": "skipped",
        BAD_NEWS: "passed",
        WHOLE: "passed",
    }
    assert proven(cases)


def test_failures_setups_audits_and_bad_news_are_told_where_they_happened() -> None:
    cases = parse_log(recorded("mixed"), 2)
    assert verdicts(cases) == {
        "Flip on brina": "passed",
        "Restart on brina": "failed",
        "Standby on brina": "passed",
        "Stonithd on brina": "passed",
        "Reattach on brina": "failed",
        "NearQuorumPoint on brina": "failed",
        BAD_NEWS: "failed",
        WHOLE: "passed",
    }
    messages = {case.name: case.message for case in cases}
    assert messages["Restart on brina"] == "Startup of piova failed"
    assert messages["Reattach on brina"] == "Audit ResourceAudit FAILED."
    assert messages["NearQuorumPoint on brina"] == "Setup failed"
    bad = next(case for case in cases if case.name == BAD_NEWS)
    assert bad.lines[0].startswith("Standby: Nov 25 22:00:10 brina pacemaker-controld")
    assert not proven(cases)


#: As the suite printed it of a lab: a node that came back; and one with another configuration.
OLDER = (
    "Nov 27 13:06:06 piova pacemaker-based[2667]:  notice: Local CIB 0.6.130.133a73d9bf553f2d35b117cf0f1813df "
    "differs from brina: 0.6.0.7d579b05ed833a1e91bdcaa0cbc1aa12 0x563775676900"
)
OTHER = OLDER.replace("0.6.0.", "0.7.0.")


ZOMBIE = (
    "Nov 27 13:44:23 brina pacemakerd[10144]:  error: Could not get executable for PID 10147: No such file or directory"
)
GONE = (
    "Nov 27 13:54:21 piova VirtualDomain(VM_1)[1934]: ERROR: Virtual domain passata has unknown status "
    "\"error: domain not found: no domain with matching uuid 'e2004715-7785-586d-817f-6df515c7a49b' (passata)\"!"
)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [(OLDER, "passed"), (ZOMBIE, "passed"), (GONE, "passed"), (OTHER, "failed")],
    ids=["older", "ended", "stopped", "another"],
)
def test_bad_news_that_are_explained_are_told_apart(line: str, verdict: str) -> None:
    text = recorded("good").replace("\tOverall Results", f"\tBadNews: {line}\nNov 25 22:05:43\tOverall Results")
    cases = parse_log(text, 0)
    assert verdicts(cases)[BAD_NEWS] == verdict
    explained = [case for case in cases if case.name == EXPLAINED_NEWS]
    assert [(case.verdict, len(case.lines)) for case in explained] == ([("skipped", 1)] if verdict == "passed" else [])


#: As the suite printed them of a lab, in the test that fences a node.
DOWN = (
    "Nov 29 23:30:40 brina kernel: (dlm-174386ED71A,2286,0):dlm_send_proxy_ast_msg:455 ERROR: "
    "174386ED71A9467A9641F141FE5A3AAE: res M0000000000000000004a1700000000, error -112 send AST to node 1",
    "Nov 29 23:30:40 brina kernel: (dlm-174386ED71A,2286,0):dlm_flush_asts:652 ERROR: status = -112",
)


@pytest.mark.parametrize(("during", "verdict"), [("Stonithd", "passed"), ("Reattach", "failed")])
def test_that_a_node_is_down_is_explained_only_where_one_is_fenced(during: str, verdict: str) -> None:
    text = recorded("good")
    (running,) = [line for line in text.splitlines() if f"Running test {during} " in line]
    news = "".join(f"\nNov 25 22:05:43\tBadNews: {line}" for line in DOWN)
    assert verdicts(parse_log(text.replace(running, running + news), 0))[BAD_NEWS] == verdict


def test_a_resource_is_asked_for_by_what_is_on_the_nodes() -> None:
    line = '"RscRunning"     : CTSvars.CRM_DAEMON_DIR + "/cts-exec-helper -R -r %s",'
    command = ast.literal_eval("{" + at_home(line) + "}")["RscRunning"] % "VM_1"
    assert command == "crm_resource --force-check -r VM_1 2>&1 | grep -q 'returned [08] ('"
    assert at_home("another line") == "another line"


def test_an_exception_of_the_suite_fails_the_test_that_ran() -> None:
    cases = parse_log(recorded("raised"), 1)
    assert verdicts(cases)["Restart on brina"] == "failed"
    assert verdicts(cases)["Flip on brina"] == "passed"


def test_a_suite_that_was_ended_did_not_come_to_its_end() -> None:
    text = recorded("good").partition("Nov 25 22:11:15\t****")[0]
    cases = parse_log(text.replace("\tSkipped", "\tdebug"), -9)
    assert verdicts(cases)["Reattach on brina"] == "failed"
    assert verdicts(cases)[WHOLE] == "failed"


def test_an_exit_code_that_nothing_explains_is_a_failure() -> None:
    assert verdicts(parse_log(recorded("good"), 1))[WHOLE] == "failed"
    nothing = parse_log("brina not found in DNS... aborting\n", 1)
    assert [case.verdict for case in nothing] == ["failed"]


@given(st.text(), st.integers(-15, 300))
def test_any_log_has_a_verdict_of_the_whole(text: str, code: int) -> None:
    cases = parse_log(text, code)
    assert cases[-1].name == WHOLE
    if code:
        assert not proven(cases)


def test_the_arguments_run_each_test_once_on_the_clusters_own_configuration() -> None:
    words = run_arguments(("brina", "piova"), ("Flip", "Stonithd"), "/x/details.log")
    assert words[:4] == ("--nodes", "brina piova", "--no-unsafe-tests", "--no-loop-tests")
    assert words[-5:] == ("--choose", "Flip", "--choose", "Stonithd", "--once")
    # These would write a configuration of their own over the lab's.
    assert not {"--clobber-cib", "-c", "--populate-resources", "-r", "--test-ip-base"} & set(words)


def test_templates_are_filled_or_refused() -> None:
    assert filled('CTS_home="@datadir@/@PACKAGE@/tests/cts"') == 'CTS_home="/usr/share/pacemaker/tests/cts"'
    assert filled("root@host user@") == "root@host user@"
    with pytest.raises(LabError, match="@NEW_THING@"):
        filled("x = @NEW_THING@")


def test_the_table_of_names_has_the_nodes_once_and_this_machine() -> None:
    own = "127.0.0.1\tlocalhost\n10.0.0.9 brina old # piova\n::1 ip6-localhost\n"
    text = hosts_file(own, {"brina": "10.1.0.11", "piova": "10.1.0.12"}, "mine")
    assert text.splitlines() == [
        "127.0.0.1\tlocalhost",
        "::1 ip6-localhost",
        "10.1.0.11\tbrina",
        "10.1.0.12\tpiova",
        "127.0.0.1\tmine",
    ]
    assert hosts_file("127.0.0.1 mine\n", {}, "mine") == "127.0.0.1 mine\n"


def test_the_hosts_sources_are_asked_for_source_packages() -> None:
    lines = "# deb cdrom:\ndeb [signed-by=/k.gpg] mirror:/debian bookworm main\ndeb-src mirror:/x bookworm main\n"
    assert source_entries("sources.list", lines) == (
        "deb-src [signed-by=/k.gpg] mirror:/debian bookworm main\ndeb-src mirror:/x bookworm main\n"
    )
    assert source_entries("empty.list", "# nothing\n") == ""
    stanzas = (
        "Types: deb\n# a comment\nURIs: mirror:/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
        "Signed-By: /k.pgp\n\nEnabled: no\nTypes: deb\nURIs: mirror:/off\n\n# only words\n"
    )
    assert source_entries("debian.sources", stanzas) == (
        "Types: deb-src\nURIs: mirror:/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.pgp\n"
    )


def test_cases_as_junit_are_read_back() -> None:
    cases = (
        Case("Flip", "passed", "", ("a line",), 1.5),
        Case("Restart", "failed", HOSTILE, (HOSTILE,)),
        Case("ComponentFail", "skipped", "unsafe"),
    )
    text = junit_text("suite", cases)
    assert [check.verdict for check in parse_junit(text)] == ["passed", "failed", "skipped"]
    assert told(cases)[2] == "  skipped  ComponentFail: unsafe"


def test_skipped_tests_alone_prove_nothing() -> None:
    assert not proven(())
    assert not proven((Case("a", "skipped"),))
    assert proven((Case("a", "skipped"), Case("b", "passed")))
