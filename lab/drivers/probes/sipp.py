"""The tool sipp (Debian package sip-tester) as a telephone: one run of one scenario, bound and bounded.

Passwords reach it in a file of mode 0600 that is removed after the run, never on the command line.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import as_file, files
from ipaddress import IPv4Address
from pathlib import Path

from lab.core.errors import LabError
from lab.core.parsers.sip import parse_sipp_errors, parse_sipp_statistics, parse_udp_sockets
from lab.doors.clock import Deadline, wait_until
from lab.doors.process import ProcessError, Result, run

REMEDY = "Install the Debian package sip-tester"
#: Time for sipp to end by itself after its own limit (which has whole seconds), before its process group is ended.
GRACE_S = 0.5
_EXIT_CANNOT_BIND = 254


@dataclass(frozen=True)
class Telephone:
    """One extension at one place.

    Args:
        extension, password: what the exchange knows it by.
        address, port: where it speaks from and listens (UDP).
        control_port: UDP port on the same address where the running sipp takes commands.
        exchange, exchange_port: the SIP server.
        work: directory for what sipp leaves behind.
    """

    extension: str
    password: str
    address: IPv4Address
    port: int
    control_port: int
    exchange: IPv4Address
    exchange_port: int
    work: Path

    def play(self, scenario: str, third_field: str, deadline: Deadline, *, once: bool = True, log: str = "") -> str:
        """Play one scenario to its end and say why it failed; empty when every call in it was completed.

        Args:
            scenario: name of a file in the package's folder ``sip``, without its ending.
            third_field: what the scenario calls field 2.
            deadline: when to give up.
            once: end after one call; otherwise the scenario ends itself.
            log: beginning of the names of the files left in the work directory; the scenario's name when empty.

        Raises:
            LabError: sipp is not installed, or left no statistics behind.
        """
        left_s = deadline.remaining_s()
        if left_s <= 0:
            return "no time was left"
        stem = f"{log or scenario}-{self.extension}"
        fields = self.write_fields(stem, third_field)
        try:
            with as_file(files("lab.drivers.probes") / "sip" / f"{scenario}.xml") as document:
                argv = self.argv(document, fields, stem, left_s)
                argv += ["-timeout_error", "-trace_msg", "-message_file", str(self.work / f"{stem}.messages")]
                argv += ["-m", "1"] if once else []
                result = run(argv, timeout_s=left_s + GRACE_S, check=False, remedy=REMEDY, cwd=self.work)
        except ProcessError as error:
            if error.result.returncode < 0:
                return f"{scenario} did not end within {left_s:.1f} s"
            raise
        finally:
            fields.unlink(missing_ok=True)
        return self._verdict(result, stem)

    def hang_up(self) -> None:
        """Tell the sipp that plays this telephone's scenario, if one still does, to end at once."""
        self._command(b"Q")

    def call_no_more(self) -> None:
        """Tell it to begin no further call, and to end when those that there are have ended."""
        self._command(b"q")

    def _command(self, word: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            control.bind((str(self.address), 0))
            control.sendto(word, (str(self.address), self.control_port))

    def wait_until_listening(self, deadline: Deadline, hopeless: Callable[[], str]) -> None:
        """Wait until something listens on the telephone's port.

        Args:
            deadline: when to give up.
            hopeless: says why nothing ever will, or an empty string.

        Raises:
            WaitError: nothing does at the deadline, or it is hopeless.
        """
        place = (self.address, self.port)
        wait_until(
            lambda: place in parse_udp_sockets(Path("/proc/net/udp").read_text(encoding="ascii")),
            what=f"waiting for the telephone {self.extension} to listen",
            deadline=deadline,
            interval_s=0.02,
            hopeless=hopeless,
        )

    def write_fields(self, stem: str, third_field: str) -> Path:
        """Write what the scenarios call fields, password included; to be removed as soon as sipp has ended.

        Args:
            stem: name of the file in the work directory, without its ending.
            third_field: what the scenario calls field 2.
        """
        credentials = f"[authentication username={self.extension} password={self.password}]"
        path = self.work / f"{stem}.fields"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"SEQUENTIAL\n{self.extension};{credentials};{third_field}\n")
        return path

    def argv(self, document: Path, fields: Path, stem: str, left_s: float) -> list[str]:
        """Sipp playing a scenario at this place, as an argument vector.

        Args:
            document: the scenario.
            fields: see :meth:`write_fields`.
            stem: beginning of the names of the files left in the work directory.
            left_s: seconds after which it ends by itself.
        """
        own = str(self.address)
        argv = ["sipp", f"{self.exchange}:{self.exchange_port}", "-sf", str(document), "-inf", str(fields)]
        argv += ["-i", own, "-p", str(self.port), "-mi", own, "-ci", own, "-cp", str(self.control_port)]
        argv += ["-nostdin", "-aa", "-timeout", f"{max(1, int(left_s))}s"]
        argv += ["-trace_stat", "-stf", str(self.work / f"{stem}.csv")]
        return [*argv, "-trace_err", "-error_file", str(self.work / f"{stem}.errors")]

    def _verdict(self, result: Result, stem: str) -> str:
        if result.returncode == _EXIT_CANNOT_BIND:
            return f"sipp could not bind to {self.address}"
        errors_file = self.work / f"{stem}.errors"
        errors = parse_sipp_errors(errors_file.read_text(errors="replace")) if errors_file.exists() else ()
        statistics_file = self.work / f"{stem}.csv"
        if not statistics_file.exists():
            said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-5:]
            raise LabError(f"sipp ended with {result.returncode} before its first call", details=said, remedy=REMEDY)
        counted = parse_sipp_statistics(statistics_file.read_text(errors="replace"))
        if result.ok and counted.successful and not counted.failed:
            return ""
        return errors[0] if errors else f"sipp ended with {result.returncode}, {counted.successful} calls completed"


def free_udp_ports(address: IPv4Address, count: int) -> Sequence[int]:
    """Different UDP ports that nothing on the address used a moment ago.

    Raises:
        OSError: no interface has the address, or no port is left.
    """
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            trial = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            trial.bind((str(address), 0))
            ports.append(int(trial.getsockname()[1]))
        return ports
