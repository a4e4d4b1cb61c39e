"""The proof of a renewal: every old secret is tried or looked for, and each has to be refused or gone.

Each question is asked with the new secret as well where silence could be taken for a refusal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.core.errors import LabError
from lab.core.model import Guest, Node, Secrets
from lab.core.render import is_secret
from lab.core.renewal import OLD, NodeChange, plan_of, with_keys_of, words_of
from lab.doors import files, process
from lab.doors.ssh import CONNECTION_FAILED, Shell
from lab.drivers import keys
from lab.workflows import serving
from lab.workflows.options import ROOT
from lab.workflows.renewing import kept_secrets
from lab.workflows.session import Session, rendered

LIMIT_S = 60.0
KNOWN_HOSTS = "known_hosts"
#: Where a node or guest keeps what it was told; cloud-init's own record of its first boot is elsewhere, and dead.
NODE_FOLDERS = ("/etc", "/root", "/home")
GUEST_FOLDERS = ("/etc", "/root")
#: Tells which of the passwords on its input is root's: crypt(3) with the hash that is there gives the same again.
_WHICH_IS_VALID = """import crypt, spwd, sys
there = spwd.getspnam("root").sp_pwdp
print([name for name, word in zip(("new", "old"), sys.stdin.read().split()) if crypt.crypt(word, there) == there])"""
_DATABASE = "IFS= read -r MYSQL_PWD; export MYSQL_PWD; mariadb --user=lab --execute='SELECT 1' 2>&1"


@dataclass(frozen=True)
class Trial:
    """One question about old secrets.

    Args:
        what: what was tried or looked for, as a person would say it.
        fault: what is wrong; empty when the old secret is refused or gone, and the new one works.
    """

    what: str
    fault: str = ""


def require(session: Session) -> list[Trial]:
    """Prove the renewal of a lab that is up, and served, with its new secrets.

    Raises:
        LabError: an old secret is still of use, or could not be tried; the renewal stays unfinished.
    """
    old = kept_secrets(session, OLD)
    keys.mask_secrets(old)
    trials = prove(session, old)
    if wrong := [trial for trial in trials if trial.fault]:
        raise LabError(
            f"the lab {session.lab.name} has new secrets, but old ones are not all refused or gone",
            remedy="./inv lab.up tries them again; ./inv lab.down --no-cache and ./inv lab.up build the lab anew",
            details=[f"{trial.what}: {trial.fault}" for trial in wrong],
        )
    return trials


def prove(session: Session, old: Secrets) -> list[Trial]:
    """Try everything; the lab is up with the session's secrets, and served.

    Args:
        session: the lab, with the new secrets.
        old: the secrets that it had before.
    """
    before, after = rendered(replace(session, secrets=old)), rendered(session)
    folder = session.folder / OLD
    tree = {"ssh_config": with_keys_of(after["ssh_config"], (OLD,)), KNOWN_HOSTS: before["known_hosts"]}
    files.write_tree(folder, tree, is_secret)
    changes = {change.node: change for change in plan_of(before, after).nodes}
    work: list[Callable[[], list[Trial]]] = [
        *(_each(of_node, session, old, node, changes[node.name]) for node in session.lab.nodes),
        *(_each(of_guest, session, old, guest) for guest in session.lab.guests),
    ]
    with session.reporter.step("no old secret is left"):
        return [trial for trials in session.on_each(work, lambda ask: ask()) for trial in trials]


def _each(function: Callable[..., list[Trial]], *arguments: object) -> Callable[[], list[Trial]]:
    return lambda: function(*arguments)


def of_node(session: Session, old: Secrets, node: Node, change: NodeChange) -> list[Trial]:
    """Everything about one node."""
    shell, limit_s = session.shell(node), LIMIT_S * session.lab.time_scale
    return [
        *(log_in_with_old(session, node.name, user) for user in ("root", "lab")),
        old_host_key(session, node.name),
        files_are_new(shell, change, limit_s),
        words_are_gone(shell, words_of(old), NODE_FOLDERS, limit_s, and_printed_by="drbdsetup show"),
        root_password(shell, session.secrets, old, limit_s),
        *(reach(shell, peer, limit_s) for peer in session.lab.nodes if peer != node),
    ]


def of_guest(session: Session, old: Secrets, guest: Guest) -> list[Trial]:
    """Everything about one guest."""
    shell, limit_s = session.shell(guest), LIMIT_S * session.lab.time_scale
    trials = [
        log_in_with_old(session, guest.domain, "root"),
        old_host_key(session, guest.domain),
        words_are_gone(shell, words_of(old), GUEST_FOLDERS, limit_s),
    ]
    new = session.secrets
    if guest.service == "radius":
        trials += [
            not_served(session, guest, replace(new, radius_secret=old.radius_secret), "the old shared secret"),
            not_served(session, guest, replace(new, radius_password=old.radius_password), "the old password"),
        ]
    elif guest.service == "telephony":
        trials.append(not_served(session, guest, replace(new, sip_passwords=old.sip_passwords), "the old passwords"))
    elif guest.service == "web":
        trials.append(database(shell, old.database_password, limit_s))
    return trials


# The trials


def _ssh(session: Session, config: Path, host: str, *words: str) -> process.Result | str:
    """The result of a login of its own, or why there is none."""
    limit_s = LIMIT_S * session.lab.time_scale
    alone = ("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "BatchMode=yes")
    argv = [*Shell(host, config, ROOT).argv(*alone, *words), "--", "true"]
    try:
        return process.run(argv, timeout_s=limit_s, check=False, cwd=ROOT)
    except process.ProcessError as error:
        return error.message


def _refused(what: str, result: process.Result | str, words: str) -> Trial:
    if isinstance(result, str):
        return Trial(what, f"it was not refused: {result}")
    if result.returncode == CONNECTION_FAILED and words in result.stderr:
        return Trial(what)
    return Trial(what, f"it ended with {result.returncode}: {result.stderr.strip()[-200:] or 'no refusal'}")


def log_in_with_old(session: Session, host: str, user: str) -> Trial:
    """A login with the old key has to be refused by a host that is believed and answers."""
    result = _ssh(session, session.folder / OLD / "ssh_config", host, "-l", user)
    return _refused(f"{host}: ssh as {user} with the old key", result, "Permission denied")


def old_host_key(session: Session, host: str) -> Trial:
    """Who still knows the old host key must not believe the host."""
    known = session.folder.absolute() / OLD / KNOWN_HOSTS
    result = _ssh(session, session.folder / "ssh_config", host, "-o", f'UserKnownHostsFile="{known}"')
    return _refused(f"{host}: the old host key", result, "Host key verification failed")


def files_are_new(shell: Shell, change: NodeChange, limit_s: float) -> Trial:
    """Every file that differs has its new content."""
    what = f"{shell.host}: {len(change.files)} files with secrets"
    wanted = {file.path: hashlib.sha256(file.content).hexdigest() for file in change.files}
    result = shell.run("sha256sum -- " + " ".join(["%s"] * len(wanted)), *wanted, timeout_s=limit_s)
    seen = {path: digest for digest, _, path in (line.partition("  ") for line in result.stdout.splitlines())}
    wrong = [path for path in wanted if seen.get(path) != wanted[path]]
    return Trial(what, f"not the new content: {', '.join(wrong)}" if wrong else "")


def words_are_gone(
    shell: Shell, words: Sequence[str], folders: Sequence[str], limit_s: float, *, and_printed_by: str = ""
) -> Trial:
    """No file below the folders holds an old secret, nor does what a program prints of the running kernel.

    Args:
        shell: the host's.
        words: what is looked for.
        folders: where.
        limit_s: seconds for it.
        and_printed_by: shell text whose output is looked through too.
    """
    what = f"{shell.host}: old secrets in {', '.join(folders)}"
    # grep(1): 0 found, 1 not found, 2 an error, which proves nothing. The words come on its standard input.
    command = "grep -rlF -f - -- " + " ".join(["%s"] * len(folders))
    if and_printed_by:
        what += f" and in `{and_printed_by}`"
        command = (
            f"shown=$(mktemp -d) && {and_printed_by} > $shown/printed || exit 2; "
            f"{command} $shown; told=$?; rm -r $shown; exit $told"
        )
    result = shell.run(command, *folders, timeout_s=limit_s, stdin="\n".join(words).encode())
    if result.returncode == 1:
        return Trial(what)
    found = ", ".join(result.stdout.split("\n")[:5]).strip(", ") or result.stderr.strip()[-200:]
    return Trial(what, f"found: {found}")


def root_password(shell: Shell, new: Secrets, old: Secrets, limit_s: float) -> Trial:
    """Root's password at the console is the new one."""
    words = f"{new.console_password}\n{old.console_password}\n".encode()
    result = shell.run("python3 -W ignore -c %s", _WHICH_IS_VALID, stdin=words, timeout_s=limit_s)
    fault = "" if result.stdout.strip() == "['new']" else f"{result.stdout.strip()} {result.stderr.strip()[-200:]}"
    return Trial(f"{shell.host}: root's password", fault)


def reach(shell: Shell, peer: Node, limit_s: float) -> Trial:
    """Root comes from one node to the other, as live migration does."""
    result = shell.run("ssh %s true", peer.name, timeout_s=limit_s)
    return Trial(f"{shell.host}: ssh to {peer.name}", "" if result.ok else result.stderr.strip()[-200:] or "it fails")


def not_served(session: Session, guest: Guest, secrets: Secrets, with_what: str) -> Trial:
    """A client with an old secret is not served, where it is served with the new one."""
    other = replace(session, secrets=secrets)
    thorough = guest.service == "telephony"
    results = serving.ask(other, thorough=thorough, guests=[guest])
    served = [result.as_line() for result in results if result.ok]
    return Trial(f"{guest.name}: {results[0].service} with {with_what}", "; ".join(served))


def database(shell: Shell, password: str, limit_s: float) -> Trial:
    """The database of the web guest refuses the old password."""
    result = shell.run(_DATABASE, stdin=f"{password}\n".encode(), timeout_s=limit_s)
    refused = not result.ok and "Access denied" in result.stdout
    return Trial(f"{shell.host}: the old password of the database", "" if refused else result.stdout.strip()[-200:])


__all__ = ["Trial", "prove"]
