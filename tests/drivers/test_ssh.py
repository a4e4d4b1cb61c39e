"""The door to shells against a real sshd on a loopback address, with the options that rendering writes."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.core.errors import LabError
from lab.doors.clock import Deadline, WaitError, wait_until
from lab.doors.process import ProcessError, run
from lab.doors.ssh import CONNECTION_FAILED, RemoteError, Shell

ADDRESS = f"127.65.{os.getpid() % 250}.{1 + os.getpid() // 250 % 250}"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin") or "/usr/sbin/sshd"
GOLDEN = Path(__file__).resolve().parent.parent / "golden/two-node/ssh_config"


@dataclass
class Host:
    """A host that can be switched on and off."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def shell(self) -> Shell:
        return Shell("brina", Path("lab/ssh_config"), self.folder)

    @property
    def control_path(self) -> Path:
        return self.folder / "lab/ssh-brina"

    def on(self) -> None:
        log = (self.folder / "sshd.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")], stdin=subprocess.DEVNULL, stderr=log
            )

    def off(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=10)
            self.process = None


def key(path: Path) -> str:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], timeout_s=30)
    return path.with_suffix(".pub").read_text().strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def configuration_of(folder: Path, port: int) -> None:
    """What rendering writes for a node, with other addresses, user and port."""
    options = GOLDEN.read_text().split("    User root\n")[1].replace("build/halab/", "lab/")
    user = pwd.getpwuid(os.getuid()).pw_name
    (folder / "lab/ssh_config").write_text(
        f"Host brina\n    HostName {ADDRESS}\n    BindAddress {ADDRESS}\n    Port {port}\n    User {user}\n{options}"
    )


@contextmanager
def separation_folder() -> Iterator[None]:
    """The folder that sshd wants when root starts it; the service of the system makes it at its start."""
    folder = Path("/run/sshd")
    made = os.geteuid() == 0 and not folder.exists()
    if made:
        folder.mkdir(mode=0o755)
    try:
        yield
    finally:
        if made:
            folder.rmdir()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    tmp_path = tmp_path_factory.mktemp("ssh")
    (tmp_path / "lab/secrets").mkdir(parents=True)
    login = key(tmp_path / "lab/secrets/login_key")
    host_key = key(tmp_path / "host_key")
    port = free_port()
    (tmp_path / "authorized_keys").write_text(login + "\n")
    (tmp_path / "lab/known_hosts").write_text(f"[{ADDRESS}]:{port} {host_key}\n")
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress {ADDRESS}:{port}\nHostKey {tmp_path}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path}/authorized_keys\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUseDNS no\n"
    )
    configuration_of(tmp_path, port)
    machine = Host(tmp_path, port)
    with separation_folder():
        try:
            yield machine
        finally:
            machine.shell.close()
            machine.off()


@pytest.fixture
def host(machine: Host) -> Host:
    """The host, switched off, without a kept connection."""
    machine.shell.close()
    machine.off()
    wait_until(lambda: not masters(machine), what="kept connections to end", deadline=Deadline.after(10))
    return machine


@pytest.fixture
def shell(machine: Host) -> Shell:
    """The host, switched on."""
    if machine.process is None:
        machine.on()
    machine.shell.wait_reachable(Deadline.after(60))
    return machine.shell


def masters(host: Host) -> list[int]:
    """Kept connections of this host."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if words.startswith("ssh: lab/ssh-brina") and (entry / "cwd").readlink() == host.folder:
                found.append(int(entry.name))
    return found


def test_the_whole_result_of_a_command_comes_back(shell: Shell) -> None:
    result = shell.run("echo out; echo err >&2; exit 3")
    assert (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert shell.succeed("printf %s äöü") == "äöü"


@pytest.mark.parametrize(
    "value", ["plain", "two words", "it's", 'a "b"', "$HOME `id` $(id)", "a\nb", "-e", "%s %d", "*", "\\", "ä", ""]
)
def test_arguments_arrive_as_they_are(shell: Shell, value: str) -> None:
    assert shell.succeed("printf '%%s|' %s %s", value, "end") == f"{value}|end|"


def test_without_arguments_nothing_is_replaced(shell: Shell) -> None:
    assert shell.succeed("printf '%s' 100%") == "100%"


def test_standard_input_arrives_and_is_empty_otherwise(shell: Shell) -> None:
    content = bytes(range(256)) * 4000
    assert shell.succeed("sha256sum", stdin=content) == shell.succeed("cat | sha256sum", stdin=content)
    assert int(shell.succeed("wc -c", stdin=content)) == len(content)
    assert shell.succeed("wc -c").strip() == "0"


def test_a_failure_is_told_with_host_command_and_output(shell: Shell) -> None:
    with pytest.raises(RemoteError) as caught:
        shell.succeed("seq 30; echo %s >&2; exit 9", "why", remedy="Try again")
    assert caught.value.message == "brina: `seq 30; echo %s >&2; exit 9` failed with exit code 9"
    assert (caught.value.details, caught.value.remedy) == (("why",), "Try again")
    assert caught.value.result.returncode == 9
    with pytest.raises(RemoteError) as silent:
        shell.succeed("seq 30; false")
    assert silent.value.details == tuple(str(number) for number in range(11, 31))


def test_past_its_deadline_a_command_is_given_up(shell: Shell) -> None:
    started = time.monotonic()
    with pytest.raises(ProcessError, match="did not end within 1 s") as caught:
        shell.run("echo begun; sleep 30", timeout_s=1)
    assert caught.value.result.stdout == "begun\n"
    assert time.monotonic() - started < 10
    assert shell.succeed("echo still").strip() == "still"


def test_a_host_that_falls_silent_ends_a_command_on_its_own_connection(shell: Shell, tmp_path: Path) -> None:
    # The server's own process for the connection stands still, as that of a node without power does.
    told = tmp_path / "server"
    try:
        result = shell.run_alone(
            f"echo begun; echo $PPID > {told}; kill -STOP $PPID; sleep 60", timeout_s=45, silence_s=6
        )
    finally:
        os.kill(int(told.read_text()), signal.SIGKILL)
    assert result.returncode == CONNECTION_FAILED
    assert result.stdout in ("", "begun\n")
    assert shell.run_alone("exit 3", timeout_s=30, silence_s=6).returncode == 3


def test_a_file_is_put_whole_with_its_mode(shell: Shell, tmp_path: Path) -> None:
    target = tmp_path / "there's a file"
    content = bytes(range(256)) * 2000
    shell.put(content, str(target), "0600")
    assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o600
    inode = target.stat().st_ino
    shell.put(b"", str(target))
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"", 0o644)
    assert target.stat().st_ino != inode
    assert not Path(f"{target}.new").exists()


def test_a_file_that_cannot_be_put_is_told(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="brina"):
        shell.put(b"x", str(tmp_path / "no/such/folder/file"))


def test_one_connection_serves_all_and_close_leaves_nothing(machine: Host, shell: Shell) -> None:
    # Every connection of its own would be a child of sshd with another client port.
    ports = {shell.succeed("echo $SSH_CONNECTION").split()[1] for _ in range(3)}
    assert len(ports) == 1
    assert len(masters(machine)) == 1
    assert machine.control_path.is_socket()
    shell.close()
    wait_until(lambda: not masters(machine), what="the kept connection to end", deadline=Deadline.after(10))
    assert not machine.control_path.exists()
    shell.close()


def test_a_host_that_comes_later_is_waited_for(host: Host) -> None:
    assert not host.shell.reachable()
    looks = []

    def switch_on() -> str:
        looks.append(1)
        if len(looks) == 2:
            host.on()
        return ""

    host.shell.wait_reachable(Deadline.after(30), switch_on)
    assert len(looks) >= 2
    assert host.shell.reachable()


def test_a_host_that_cannot_come_is_not_waited_for(host: Host) -> None:
    with pytest.raises(WaitError, match="ssh to brina: the node is off"):
        host.shell.wait_reachable(Deadline.after(60), lambda: "the node is off")
    with pytest.raises(WaitError, match="ssh to brina: not so after 1 s"):
        host.shell.wait_reachable(Deadline.after(1))


def test_a_host_that_vanished_fails_and_comes_back(machine: Host, shell: Shell) -> None:
    for number in masters(machine):
        os.kill(number, 9)
    machine.off()
    assert shell.run("true").returncode == CONNECTION_FAILED
    machine.on()
    # The killed connection has left its socket behind: nobody may be stopped by it.
    shell.wait_reachable(Deadline.after(30))


def test_asked_tells_an_answer_from_no_answer(machine: Host, shell: Shell) -> None:
    result = shell.asked("test -e %s", "/nowhere")
    assert result is not None and result.returncode == 1
    assert shell.asked("sleep 20", timeout_s=1) is None
    shell.close()
    machine.off()
    assert shell.asked("true", timeout_s=20) is None


def test_another_host_at_the_address_is_refused(host: Host) -> None:
    known = host.folder / "lab/known_hosts"
    right = known.read_text()
    other = key(host.folder / "other_key")
    known.write_text(f"{right.split()[0]} {other}\n")
    host.on()
    wait_until(lambda: listening(host.port), what="sshd", deadline=Deadline.after(20), interval_s=0.05)
    result = host.shell.run("true")
    assert result.returncode == CONNECTION_FAILED
    assert "HOST IDENTIFICATION HAS CHANGED" in result.stderr or "Host key verification failed" in result.stderr
    with pytest.raises(LabError):
        host.shell.succeed("true")
    known.write_text(right)
    assert host.shell.reachable()


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((ADDRESS, port)) == 0
