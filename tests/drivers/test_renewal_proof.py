"""The trials that prove a renewal, by real grep, crypt and sshd: what is refused, what is not, what is silent."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from lab.core.errors import LabError
from lab.core.renewal import OLD, NewFile, NodeChange, with_keys_of, words_of
from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline
from lab.drivers import keys
from lab.workflows import renewal_proof as proof
from lab.workflows.options import Options
from lab.workflows.renewal_proof import Trial
from lab.workflows.session import Session
from tests.drivers import test_ssh as real
from tests.drivers.lab_here import BashHere, Quiet, Recorder, lab_of
from tests.golden.example import example_secrets

machine = real.machine
LAB = lab_of("two-node")
FIRST, SECOND = keys.make_secrets(LAB), keys.make_secrets(LAB)
LIMIT_S = 20.0


@pytest.fixture
def here(tmp_path: Path) -> BashHere:
    return BashHere("brina", Path("ssh_config"), tmp_path)


# Files and passwords


def test_words_of_different_secrets_are_all_different() -> None:
    assert not set(words_of(FIRST)) & set(words_of(SECOND))
    assert len(set(words_of(FIRST))) == len(words_of(FIRST)) == 17


def look_for(here: BashHere, words: list[str], *folders: str, **more: Any) -> Trial:
    return proof.words_are_gone(here, words, [str(here.root / name) for name in folders], LIMIT_S, **more)


def test_an_old_word_is_found_wherever_it_stands(here: BashHere) -> None:
    folder = here.root / "etc" / "deep"
    folder.mkdir(parents=True)
    (folder / "file").write_text(f"key {SECOND.drbd_shared_secret}\n")
    (folder / "key").write_text(SECOND.login_private_key)
    assert look_for(here, words_of(FIRST), "etc").fault == ""
    (folder / "left").write_text(f'shared-secret "{FIRST.drbd_shared_secret}";\n')
    assert look_for(here, words_of(FIRST), "etc").fault == f"found: {folder}/left"
    (folder / "left").write_text(FIRST.cluster_private_key)
    assert str(folder / "left") in look_for(here, words_of(FIRST), "etc").fault
    (folder / "left").write_bytes(b"\0\1" + FIRST.host_public_keys["brina"].encode())
    assert str(folder / "left") in look_for(here, words_of(FIRST), "etc").fault


def test_no_old_word_becomes_an_argument(here: BashHere) -> None:
    recorder = Recorder("brina", here.config, here.root)
    proof.words_are_gone(recorder, words_of(FIRST), ["/etc"], LIMIT_S)
    proof.root_password(recorder, SECOND, FIRST, LIMIT_S)
    proof.database(recorder, FIRST.database_password, LIMIT_S)
    assert len(recorder.scripts) == 3
    assert not [word for word in words_of(FIRST) if any(word in line for line in recorder.scripts)]


def test_a_search_that_failed_proves_nothing(here: BashHere) -> None:
    assert "No such file" in look_for(here, ["word"], "missing").fault
    (here.root / "etc").mkdir()
    assert look_for(here, ["word"], "etc", and_printed_by="false").fault.startswith("found: ")
    assert look_for(here, ["word"], "etc", and_printed_by="echo another").fault == ""
    assert "printed" in look_for(here, ["word"], "etc", and_printed_by="echo the word").fault


def test_files_are_compared_by_their_content(here: BashHere) -> None:
    path = here.root / "it's a key"
    change = NodeChange("brina", (NewFile(str(path), b"new", "0600", "root:root"),), {})
    assert "not the new content" in proof.files_are_new(here, change, LIMIT_S).fault
    path.write_bytes(b"old")
    assert "not the new content" in proof.files_are_new(here, change, LIMIT_S).fault
    path.write_bytes(b"new")
    assert proof.files_are_new(here, change, LIMIT_S) == Trial("brina: 1 files with secrets")


@pytest.mark.parametrize("valid", ["new", "old", "neither"])
def test_roots_password_is_asked_of_crypt(here: BashHere, valid: str) -> None:
    word = {"new": SECOND.console_password, "old": FIRST.console_password, "neither": "another"}[valid]
    # The hash as chpasswd(8) would have left it; the shadow file of this machine is nobody's business.
    (here.root / "spwd.py").write_text(
        "import crypt\nfrom types import SimpleNamespace\n"
        f"def getspnam(name): return SimpleNamespace(sp_pwdp=crypt.crypt({word!r}, crypt.mksalt()))\n"
    )
    trial = proof.root_password(here, SECOND, FIRST, LIMIT_S)
    assert (trial.fault == "") == (valid == "new"), trial


@pytest.mark.parametrize(
    ("said", "code", "refused"),
    [
        ("ERROR 1045 (28000): Access denied for user 'lab'@'localhost'", 1, True),
        ("1", 0, False),
        ("no socket", 1, False),
    ],
)
def test_only_a_refusal_of_the_database_counts(
    here: BashHere, monkeypatch: pytest.MonkeyPatch, said: str, code: int, refused: bool
) -> None:
    program = here.root / "mariadb"
    program.write_text(f'#!/bin/sh\ntest "$MYSQL_PWD" = swordfish || exit 9\necho "{said}" >&2\nexit {code}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here.root}:{os.environ['PATH']}")
    assert (proof.database(here, "swordfish", LIMIT_S).fault == "") == refused


# Logins


@pytest.fixture
def session(machine: real.Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A lab whose only host is this machine's sshd, with a new key, and the old one beside it."""
    folder = machine.folder / "lab"
    monkeypatch.setattr(proof, "ROOT", machine.folder)
    monkeypatch.setattr(proof, "LIMIT_S", 5.0)
    # Where the one before did not come to its end, what it made is still there.
    shutil.rmtree(folder / OLD, ignore_errors=True)
    (folder / OLD).mkdir()
    real.key(folder / OLD / keys.LOGIN_KEY_FILE)
    (folder / OLD / "ssh_config").write_bytes(with_keys_of((folder / "ssh_config").read_bytes(), (OLD,)))
    authorized, believed = machine.folder / "authorized_keys", folder / "known_hosts"
    before = authorized.read_text()
    on(machine)
    yield Session(LAB, Options(), example_secrets(LAB), folder, cast(Any, Quiet()))
    authorized.write_text(before)
    for path in (folder / OLD).iterdir():
        path.unlink()
    assert believed.exists()
    machine.shell.close()
    machine.off()


def on(machine: real.Host) -> None:
    machine.off()
    machine.on()
    try:
        machine.shell.wait_reachable(Deadline.after(60))
    except LabError as error:
        error.add_note((machine.folder / "sshd.log").read_text(errors="replace"))
        raise


def me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def test_the_old_key_is_refused_or_told(machine: real.Host, session: Session) -> None:
    # A kept connection of the new key must not be taken for a login with the old one.
    machine.shell.succeed("true")
    assert proof.log_in_with_old(session, "brina", me()) == Trial(f"brina: ssh as {me()} with the old key")
    old = (session.folder / OLD / f"{keys.LOGIN_KEY_FILE}.pub").read_text()
    with (machine.folder / "authorized_keys").open("a") as stream:
        stream.write(old)
    assert proof.log_in_with_old(session, "brina", me()).fault == "it ended with 0: no refusal"


def test_a_host_that_is_off_has_refused_nothing(machine: real.Host, session: Session) -> None:
    machine.off()
    assert "it ended with 255: " in proof.log_in_with_old(session, "brina", me()).fault
    (session.folder / OLD / "known_hosts").write_text("")
    assert "it ended with 255: " in proof.old_host_key(session, "brina").fault


def test_who_knows_the_old_host_key_does_not_believe_the_host(machine: real.Host, session: Session) -> None:
    known = session.folder / OLD / "known_hosts"
    present = (session.folder / "known_hosts").read_text()
    other = (session.folder / OLD / f"{keys.LOGIN_KEY_FILE}.pub").read_text().split()[1]
    known.write_text(present.replace(present.split()[2], other))
    assert proof.old_host_key(session, "brina") == Trial("brina: the old host key")
    known.write_text(present)
    assert "no refusal" in proof.old_host_key(session, "brina").fault


# Services, and the whole


def test_a_client_with_an_old_secret_that_is_served_is_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = next(guest for guest in LAB.guests if guest.service == "radius")
    asked: list[str] = []

    def ask(one: Session, **_named: Any) -> list[ProbeResult]:
        asked.append(one.secrets.radius_secret)
        return [ProbeResult("radius-access", guest.name, "x:1", one.secrets == FIRST, "said", 1.0)]

    monkeypatch.setattr(proof.serving, "ask", ask)
    assert proof.not_served(session, guest, SECOND, "the old secret").fault == ""
    assert "radius-access" in proof.not_served(session, guest, FIRST, "the old secret").fault
    assert asked == [SECOND.radius_secret, FIRST.radius_secret]


def test_one_fault_is_enough_and_all_are_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.save_secrets(session.folder / OLD, FIRST)
    trials = [Trial("a"), Trial("b", "still there"), Trial("c", "too")]
    monkeypatch.setattr(proof, "prove", lambda _session, old: trials if old == FIRST else [])
    with pytest.raises(LabError, match="not all refused or gone") as caught:
        proof.require(session)
    assert caught.value.details == ("b: still there", "c: too")
    del trials[1:]
    assert proof.require(session) == trials
