"""What has to be changed in a lab for new secrets: found by comparing two renderings of it, the old and the new one.

Nodes are made by cloud-init from their ``user-data`` and switch it off after their first boot; so what differs in two
``user-data`` is carried out here as cloud-init's modules of the same names would have done: ``write_files``, ``users``,
``chpasswd``, ``ssh`` (the latter keeps given host keys as ``/etc/ssh/ssh_host_<type>_key``). Anything else that differs
is no matter of secrets, and refused.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from lab.core.errors import LabError
from lab.core.model import Secrets

#: How far a renewal has come; each one is noted when what it names is about to begin.
Phase = Literal["wanted", "seeds", "nodes", "renewed"]
PHASES: tuple[Phase, ...] = ("wanted", "seeds", "nodes", "renewed")

#: Folders of a lab's secrets while they are being renewed, below ``build/<lab>``.
CURRENT, OLD, NEW = "secrets", "secrets.old", "secrets.new"

_USER_DATA = re.compile(r"nodes/([^/]+)/user-data")
_NODE_SEED = re.compile(r"nodes/([^/]+)/seed\.iso")
_GUEST_SEED = re.compile(r"guests/([^/]+)/seed\.tar")
#: What is written on the host and nothing more; a node's files are shown there as they are in its user-data.
_HOST_ONLY = re.compile(r"ssh_config|known_hosts|libvirt/volumes/[^/]+-seed\.xml|nodes/[^/]+/files/.+")
_HOST_KEY = re.compile(r"([a-z0-9]+)_(private|public)")
_IDENTITY = re.compile(r"^(\s*IdentityFile\s+\S*/)secrets(/\S+)$", re.MULTILINE)
#: An ed25519 key's private half is at byte 161 of its file (PROTOCOL.key of OpenSSH), a line has 52.5 of them.
_KEY_LINE = 3


@dataclass(frozen=True)
class NewFile:
    """A file that is to be put on a node.

    Args:
        path: absolute path there.
        content: its new content.
        mode: permission bits in octal digits.
        owner: ``user:group``, by name or number.
    """

    path: str
    content: bytes
    mode: str
    owner: str


@dataclass(frozen=True)
class NodeChange:
    """What is to be changed on one node.

    Args:
        node: its name.
        files: the files that differ.
        passwords: new password by user.
    """

    node: str
    files: tuple[NewFile, ...]
    passwords: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """Everything that differs.

    Args:
        nodes: what is to be changed on each node.
        node_seeds: names of the nodes whose seed is another one.
        guest_seeds: domains of the guests whose personal files are others.
        host_files: rendered paths that are only written on the host.
    """

    nodes: tuple[NodeChange, ...]
    node_seeds: tuple[str, ...]
    guest_seeds: tuple[str, ...]
    host_files: tuple[str, ...]


def plan_of(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Plan:
    """What differs between two renderings of one lab with different secrets.

    Args:
        old: bytes by rendered path, with the old secrets.
        new: the same, with the new ones.

    Raises:
        LabError: something differs that is no matter of secrets.
    """
    different = sorted(path for path in {*old, *new} if old.get(path) != new.get(path))
    nodes, unknown = [], []
    found: dict[re.Pattern[str], list[str]] = {_NODE_SEED: [], _GUEST_SEED: []}
    host_files = []
    for path in different:
        if path not in old or path not in new:
            unknown.append(path)
        elif match := _USER_DATA.fullmatch(path):
            nodes.append(_node_change(match.group(1), old[path], new[path]))
        elif kind := next((one for one in found if one.fullmatch(path)), None):
            found[kind].append(path.split("/")[1])
        elif _HOST_ONLY.fullmatch(path):
            host_files.append(path)
        else:
            unknown.append(path)
    if unknown:
        raise _refusal(unknown)
    return Plan(tuple(nodes), tuple(found[_NODE_SEED]), tuple(found[_GUEST_SEED]), tuple(host_files))


def _refusal(what: Sequence[str]) -> LabError:
    return LabError(
        "new secrets would change what cannot be changed in a running lab",
        remedy="./inv lab.down --no-cache and ./inv lab.up build the lab anew, with new secrets",
        details=[f"different: {one}" for one in what],
    )


# What cloud-init would have done


def _node_change(node: str, old: bytes, new: bytes) -> NodeChange:
    before, after = _document(old), _document(new)
    readers: dict[str, Callable[[Any], Iterator[NewFile]]] = {
        "write_files": _written,
        "ssh_keys": _host_keys,
        "users": _login_keys,
    }
    different = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    unknown = different - {*readers, "chpasswd"}
    for key in ("users", "chpasswd"):
        unknown |= {key} if _without_secrets(before.get(key)) != _without_secrets(after.get(key)) else set()
    if unknown:
        raise _refusal([f"nodes/{node}/user-data: {key}" for key in sorted(unknown)])
    files: list[NewFile] = []
    for key in sorted(different & {*readers}):
        known, wanted = ({file.path: file for file in readers[key](one[key])} for one in (before, after))
        if known.keys() != wanted.keys():
            raise _refusal([f"nodes/{node}/user-data: {path}" for path in sorted(known.keys() ^ wanted.keys())])
        files += [file for path, file in wanted.items() if file != known[path]]
    known_passwords, passwords = _passwords(before), _passwords(after)
    return NodeChange(
        node,
        tuple(sorted(files, key=lambda file: file.path)),
        {user: password for user, password in passwords.items() if known_passwords.get(user) != password},
    )


def _document(content: bytes) -> dict[str, Any]:
    document = yaml.safe_load(content)
    return document if isinstance(document, dict) else {}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: one for name, one in value.items() if name not in ("ssh_authorized_keys", "password")}
        return {name: _without_secrets(one) for name, one in kept.items()}
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value


def _written(entries: list[dict[str, Any]]) -> Iterator[NewFile]:
    for entry in entries:
        text = entry["content"]
        content = base64.b64decode(text) if entry.get("encoding") == "b64" else text.encode()
        yield NewFile(entry["path"], content, entry["permissions"], entry["owner"])


def _host_keys(entries: dict[str, str]) -> Iterator[NewFile]:
    for name, text in entries.items():
        match = _HOST_KEY.fullmatch(name)
        if match is None:
            raise _refusal([f"ssh_keys: {name}"])
        kind, part = match.groups()
        path = f"/etc/ssh/ssh_host_{kind}_key"
        content = text.rstrip("\n").encode() + b"\n"
        if part == "private":
            yield NewFile(path, content, "0600", "root:root")
        else:
            yield NewFile(f"{path}.pub", content, "0644", "root:root")


def _login_keys(entries: list[dict[str, Any]]) -> Iterator[NewFile]:
    for entry in entries:
        name = entry["name"]
        keys = entry.get("ssh_authorized_keys", [])
        content = "".join(f"{key}\n" for key in keys).encode()
        home = entry.get("homedir", "/root" if name == "root" else f"/home/{name}")
        yield NewFile(f"{home}/.ssh/authorized_keys", content, "0600", f"{name}:{name}")


def _passwords(document: Mapping[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["password"] for entry in document.get("chpasswd", {}).get("users", [])}


# The host in between


def with_keys_of(ssh_config: bytes, folders: Sequence[str]) -> bytes:
    """An ``ssh_config`` that offers the login keys of other folders of secrets instead of the current one.

    Args:
        ssh_config: the rendered file.
        folders: names of folders beside ``secrets``, in the order in which their keys are offered.

    Raises:
        ValueError: the file offers no key of the folder ``secrets``.
    """

    def lines(match: re.Match[str]) -> str:
        return "\n".join(f"{match.group(1)}{folder}{match.group(2)}" for folder in folders)

    text, count = _IDENTITY.subn(lines, ssh_config.decode())
    if not count:
        raise ValueError("the ssh_config offers no key of the lab's secrets")
    return text.encode()


def bridge(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, bytes]:
    """The host's files of ssh that reach a node whichever secrets it has, by rendered path."""
    return {
        "ssh_config": with_keys_of(new["ssh_config"], (CURRENT, NEW)),
        "known_hosts": old["known_hosts"] + new["known_hosts"],
    }


def words_of(secrets: Secrets) -> list[str]:
    """What a file holds, on a line of its text, that carries one of these secrets or lets somebody in with one."""
    private_keys = (secrets.login_private_key, secrets.cluster_private_key, *secrets.host_private_keys.values())
    public_keys = (secrets.login_public_key, secrets.cluster_public_key, *secrets.host_public_keys.values())
    # Of a private key the line with the key itself: the first ones are the same in all keys, the last is its comment.
    bodies = [key.strip().splitlines()[1:-1] for key in private_keys]
    return [
        secrets.drbd_shared_secret,
        secrets.radius_secret,
        secrets.radius_password,
        secrets.database_password,
        secrets.console_password,
        *secrets.sip_passwords.values(),
        *(key.split()[1] for key in public_keys),
        *(body[min(_KEY_LINE, len(body) - 1)] for body in bodies),
    ]
