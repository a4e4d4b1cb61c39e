"""The workflow of load, from its options to the file that it leaves, against real daemons on loopback."""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from lab_here import Quiet
from probe_daemons import LAB, PORTS, SECRETS, name_servers, radius_servers, server_of, web_server

from lab.drivers.load import sending
from lab.workflows import traffic as workflow
from lab.workflows.options import Options
from lab.workflows.session import Session
from lab.workflows.traffic import running_traffic, traffic

pytestmark = pytest.mark.filterwarnings("error")
#: Without telephony, whose calls would make every test ten seconds longer.
SILENT = dataclasses.replace(LAB, guests=LAB.guests[:4])


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The lab on loopback; its services listen where the daemons of the tests do."""
    one = Session(SILENT, Options(), SECRETS, tmp_path / "build", cast(Any, Quiet()))

    @contextmanager
    def opened(_options: Options, _verb: str) -> Iterator[Session]:
        yield one

    monkeypatch.setattr(workflow, "open_session", opened)
    monkeypatch.setattr(workflow, "sending", functools.partial(sending, ports=PORTS))
    return one


def test_figures_are_printed_kept_and_the_same(session: Session, tmp_path: Path) -> None:
    with name_servers(tmp_path), radius_servers(tmp_path), web_server(server_of("Soldi")):
        outcome = traffic(Options(), "study", "", "2")
    assert outcome.ok
    (kept,) = (session.folder / "traffic").iterdir()
    assert json.loads(kept.read_text()) == json.loads(json.dumps(outcome.document))
    assert (outcome.document["scale"], outcome.document["accelerator"]) == (0.05, "tcg")
    streams = cast(list[dict[str, Any]], outcome.document["streams"])
    assert [(one["kind"], one["lost"]) for one in streams] == [
        ("dns", 0),
        *[("radius-access", 0), ("radius-accounting", 0)] * 2,
        ("http", 0),
    ]
    assert all(one["answered"] == one["sent"] > 0 for one in streams)
    assert outcome.text.startswith("Load study times 0.05 on probed (tcg), for 2 s\n")
    assert "dns Passata" in outcome.text
    assert kept.name in outcome.text


def test_a_service_that_answers_nothing_fails_the_command(session: Session, tmp_path: Path) -> None:
    with name_servers(tmp_path), radius_servers(tmp_path):
        outcome = traffic(Options(), "study", "0.2", "2")
    assert not outcome.ok
    streams = {one["kind"]: one for one in cast(list[dict[str, Any]], outcome.document["streams"])}
    assert (streams["http"]["sent"], streams["http"]["answered"], streams["http"]["lost"]) == (2, 0, 2)
    assert "connection refused" in outcome.text


def test_load_runs_beside_a_drill_and_shows_what_it_broke(session: Session, tmp_path: Path) -> None:
    with ExitStack() as web, name_servers(tmp_path), radius_servers(tmp_path):
        web.enter_context(web_server(server_of("Soldi")))
        with running_traffic(session, "study", 1.0) as run:
            threading.Event().wait(2)
            web.close()
            threading.Event().wait(2)
            served = {f"{one.kind} {one.guest}": one for one in run.finish()}
            document = run.document()
    assert served["http Soldi"].answered > 0
    assert served["http Soldi"].lost > 0
    assert (served["dns Passata"].lost, served["radius-accounting Masterauth"].lost) == (0, 0)
    assert served["dns Passata"].answered > 1000
    assert document["scale"] == 1.0
