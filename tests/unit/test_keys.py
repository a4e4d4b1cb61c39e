"""Secrets on the disk: who may read them, what comes back, what is refused, and what never shows in a message."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.core.errors import LabError
from lab.doors import process
from lab.drivers import keys
from tests.golden.example import example_lab, example_secrets

LAB = example_lab()
SECRETS = example_secrets(LAB)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "build" / "secrets"
    keys.save_secrets(path, SECRETS)
    return path


@pytest.fixture
def nothing_masked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(process, "_masked", set())
    yield


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_only_their_owner_may_read_them(folder: Path) -> None:
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        keys.VALUES_FILE: 0o600,
        keys.LOGIN_KEY_FILE: 0o600,
        keys.FENCE_KEY_FILE: 0o600,
    }


def test_modes_that_were_opened_are_closed_again(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    keys.save_secrets(folder, SECRETS)
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}


def test_what_was_saved_comes_back(folder: Path) -> None:
    assert keys.load_secrets(folder, LAB) == SECRETS
    assert (folder / keys.LOGIN_KEY_FILE).read_text() == SECRETS.login_private_key
    assert (folder / keys.FENCE_KEY_FILE).read_bytes() == SECRETS.fence_key


def test_no_secrets_are_none(tmp_path: Path) -> None:
    assert keys.load_secrets(tmp_path, LAB) is None


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def apply(content: bytes) -> bytes:
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return apply


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "bytes": lambda _: b"\xff\xfe\x00",
    "list": lambda _: b"[]",
    "lacking": changed(lambda document: document.pop("fence_key")),
    "unknown": changed(lambda document: document.update(more="x")),
    "empty value": changed(lambda document: document.update(radius_secret="")),
    "number": changed(lambda document: document.update(radius_secret=5)),
    "null table": changed(lambda document: document.update(host_private_keys=None)),
    "table for text": changed(lambda document: document.update(console_password={"a": "b"})),
    "number in a table": changed(lambda document: document["host_private_keys"].update(brina=1)),
    "no base64": changed(lambda document: document.update(corosync_authkey="?!*=")),
    "no extension": changed(lambda document: document["sip_passwords"].pop("102")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_secrets_are_refused_and_left_alone(folder: Path, damage: str) -> None:
    path = folder / keys.VALUES_FILE
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(LabError, match="is damaged") as caught:
        keys.load_secrets(folder, LAB)
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    assert path.read_bytes() == before


@pytest.mark.parametrize("table", ["host_private_keys", "host_public_keys"])
def test_secrets_of_other_nodes_are_refused(folder: Path, table: str) -> None:
    path = folder / keys.VALUES_FILE
    path.write_bytes(changed(lambda document: document[table].pop("piova"))(path.read_bytes()))
    with pytest.raises(LabError, match="has no host key of piova") as caught:
        keys.load_secrets(folder, LAB)
    assert caught.value.exit_code == 2


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="cannot make the folder"):
        keys.save_secrets(tmp_path / "file" / "secrets", SECRETS)


@pytest.mark.usefixtures("nothing_masked")
def test_no_secret_shows_in_a_message() -> None:
    body = base64.b64encode(b"a body of a private key").decode()
    pem = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
    secrets = replace(SECRETS, host_private_keys={**SECRETS.host_private_keys, "piova": pem})
    keys.mask_secrets(secrets)
    shown = process.masked(json.dumps(keys.as_document(secrets)))
    document = json.loads(shown)
    public = {name for name in document if "public" in name}
    for name, value in document.items():
        values = value.values() if isinstance(value, dict) else [value]
        for text in values:
            assert ("***" in text) == (name not in public), name
    assert "fake+private" not in shown
    assert body not in shown


@pytest.mark.usefixtures("nothing_masked")
def test_masking_keeps_what_is_no_secret() -> None:
    keys.mask_secrets(SECRETS)
    text = "-----BEGIN OPENSSH PRIVATE KEY----- ssh-ed25519 brina 101"
    assert process.masked(text) == text
