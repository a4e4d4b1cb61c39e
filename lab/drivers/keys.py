"""The secrets of a lab: made at random once, kept in a folder of mode 0700 as files of mode 0600.

SSH keys are made by ssh-keygen(1); everything else comes from the system's random source.
"""

from __future__ import annotations

import base64
import secrets as random_source
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from lab.core.errors import LabError
from lab.core.model import Lab, Secrets
from lab.doors import files
from lab.doors.process import mask, run

GUESTS = "guests"
FENCE_KEY_FILE = "fence_xvm.key"
LOGIN_KEY_FILE = "login_key"
VALUES_FILE = "secrets.json"
EXTENSIONS = ("101", "102")
TABLES = ("host_private_keys", "host_public_keys", "sip_passwords")
BINARY = ("corosync_authkey", "fence_key")

#: corosync-keygen(8) makes 256 bytes; fence_virtd takes up to 4096 (fence_virt.conf(5)).
COROSYNC_KEY_BYTES = 256
FENCE_KEY_BYTES = 512


def _password() -> str:
    return random_source.token_hex(12)


def _key_pair(comment: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], timeout_s=30)
        return path.read_text(), path.with_suffix(".pub").read_text().strip()


def make_secrets(lab: Lab) -> Secrets:
    """New random secrets for a lab."""
    login = _key_pair(f"login@{lab.name}")
    cluster = _key_pair(f"cluster@{lab.name}")
    hosts = {name: _key_pair(f"{name}.{lab.name}") for name in (*lab.node_names, GUESTS)}
    return Secrets(
        login_private_key=login[0],
        login_public_key=login[1],
        cluster_private_key=cluster[0],
        cluster_public_key=cluster[1],
        host_private_keys={name: pair[0] for name, pair in hosts.items()},
        host_public_keys={name: pair[1] for name, pair in hosts.items()},
        corosync_authkey=random_source.token_bytes(COROSYNC_KEY_BYTES),
        fence_key=random_source.token_bytes(FENCE_KEY_BYTES),
        drbd_shared_secret=random_source.token_hex(16),
        radius_secret=random_source.token_hex(12),
        radius_password=_password(),
        database_password=_password(),
        sip_passwords={extension: _password() for extension in EXTENSIONS},
        console_password=_password(),
    )


def as_document(secrets: Secrets) -> dict[str, Any]:
    """Secrets as a JSON document."""
    values = dict(vars(secrets))
    for name in BINARY:
        values[name] = base64.b64encode(values[name]).decode()
    return values


def from_document(document: Any) -> Secrets:
    """The secrets of a document.

    Raises:
        ValueError: it is no document of secrets; says why.
    """
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    if wrong := sorted({field.name for field in fields(Secrets)} ^ document.keys()):
        raise ValueError(f"missing or unknown: {', '.join(wrong)}")
    for name, value in document.items():
        if (name in TABLES) != isinstance(value, dict):
            raise ValueError(f"{name} has the wrong form")
        if not all(isinstance(each, str) and each for each in (value.values() if name in TABLES else [value])):
            raise ValueError(f"{name} is empty or no text")
    if not set(EXTENSIONS) <= document["sip_passwords"].keys():
        raise ValueError(f"sip_passwords must have {', '.join(EXTENSIONS)}")
    return Secrets(**{**document, **{name: base64.b64decode(document[name], validate=True) for name in BINARY}})


def _private_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise LabError(
            f"cannot make the folder {folder}: {error.strerror}",
            remedy="Correct the permissions of the folder above it",
        ) from error


def save_secrets(folder: Path, secrets: Secrets) -> None:
    """Write secrets into a folder of their own, as one document and as the files that programs read."""
    _private_folder(folder)
    files.write_json(folder / VALUES_FILE, as_document(secrets), files.SECRET_MODE)
    write_key_files(folder, secrets)


def write_key_files(folder: Path, secrets: Secrets) -> None:
    """Write the files that ssh and fence_virtd on the host read."""
    _private_folder(folder)
    files.write_atomically(folder / LOGIN_KEY_FILE, secrets.login_private_key.encode(), files.SECRET_MODE)
    files.write_atomically(folder / FENCE_KEY_FILE, secrets.fence_key, files.SECRET_MODE)


def load_secrets(folder: Path, lab: Lab) -> Secrets | None:
    """The secrets kept in a folder, or None when there are none.

    Raises:
        LabError: the folder's document is damaged, or belongs to a lab of other nodes (exit code 2).
    """
    path = folder / VALUES_FILE
    if not path.exists():
        return None
    try:
        secrets = from_document(files.read_json(path))
    except ValueError as error:
        raise LabError(
            f"{path} is damaged: {error}", remedy="Remove the folder to have new secrets made", exit_code=2
        ) from error
    known = secrets.host_private_keys.keys() & secrets.host_public_keys.keys()
    missing = [name for name in (*lab.node_names, GUESTS) if name not in known]
    if missing:
        raise LabError(
            f"{path} has no host key of {', '.join(missing)}",
            remedy="Give the secrets of a lab with these nodes, or remove the folder to have new ones made",
            exit_code=2,
        )
    return secrets


def mask_secrets(secrets: Secrets) -> None:
    """Keep every secret out of logs and messages from now on."""
    private_keys = (secrets.login_private_key, secrets.cluster_private_key, *secrets.host_private_keys.values())
    mask(
        [
            secrets.drbd_shared_secret,
            secrets.radius_secret,
            secrets.radius_password,
            secrets.database_password,
            secrets.console_password,
            *secrets.sip_passwords.values(),
            base64.b64encode(secrets.corosync_authkey).decode(),
            base64.b64encode(secrets.fence_key).decode(),
            *(line for key in private_keys for line in key.splitlines()[1:-1]),
        ]
    )
