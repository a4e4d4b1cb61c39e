"""DRBD 8.4: ``/proc/drbd`` and the one-line answers of ``drbdadm``.

Debian 12's kernel carries DRBD 8.4.11, which has no JSON status, so ``/proc/drbd`` is the source. Its layout is the one
that the kernel's ``drivers/block/drbd/drbd_proc.c`` prints; the words in it are explained in drbdsetup-8.4(8).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core.errors import LabError

UNCONFIGURED = "Unconfigured"

_VERSION = re.compile(r"version: (\S+) \(api:\d+/proto:[\d-]+\)")
_DEVICE = re.compile(
    r"\s*(?P<minor>\d+): cs:(?P<connection>\w+)"
    r"(?: ro:(?P<local_role>\w+)/(?P<peer_role>\w+) ds:(?P<local_disk>\w+)/(?P<peer_disk>\w+)"
    r" (?P<protocol>[ABC ]) (?P<flags>\S{4,6}))?"
)
_COUNTERS = re.compile(r"(?:\s+[a-z]{2}:\d+){4,}.*")
_COUNTER = re.compile(r"\b([a-z]{2,3}):(\d+|[a-z])(?!\S)")
_PROGRESS = re.compile(r"(sync'ed|verified):\s*(\d+\.\d)%\s+\((\d+)/(\d+)\)([KM])")
_SPEED = re.compile(r"finish: (\d+):(\d\d):(\d\d) speed: ([\d,]+) ")
_PAIR = re.compile(r"(\w+)/(\w+)")
_KIB = {"K": 1, "M": 1024}


@dataclass(frozen=True)
class DrbdProgress:
    """How far a resynchronisation or a verification has come.

    Args:
        verifying: whether blocks are compared and not copied.
        done_percent: share done, 0 to 100.
        left_kib, total_kib: what is left and what there was to do; multiples of 1024 for large devices.
        finish_s: the kernel's estimate of the time left, in seconds; None where it gives none.
        speed_kib_s: current speed; None where it gives none.
        stalled: whether nothing has moved for a while.
    """

    verifying: bool
    done_percent: float
    left_kib: int
    total_kib: int
    finish_s: int | None = None
    speed_kib_s: int | None = None
    stalled: bool = False


@dataclass(frozen=True)
class DrbdDevice:
    """One device as the node sees it.

    Args:
        minor: the N of ``/dev/drbdN``.
        connection: connection state, such as ``Connected``, ``WFConnection``, ``SyncTarget``, ``StandAlone``;
            ``Unconfigured`` for a device that is down, and then all other words are empty.
        local_role, peer_role: ``Primary``, ``Secondary`` or ``Unknown``.
        local_disk, peer_disk: disk state, such as ``UpToDate``, ``Inconsistent``, ``Outdated``, ``Diskless``,
            ``DUnknown``.
        protocol: ``A``, ``B``, ``C``, or empty without a network configuration.
        suspended: whether input and output are frozen (as while a peer is being fenced).
        out_of_sync_kib: what differs from the peer, as far as known.
        pending: requests sent to the peer and not yet acknowledged.
        progress: how far a resynchronisation has come; None when none is running.
    """

    minor: int
    connection: str
    local_role: str = ""
    peer_role: str = ""
    local_disk: str = ""
    peer_disk: str = ""
    protocol: str = ""
    suspended: bool = False
    out_of_sync_kib: int = 0
    pending: int = 0
    progress: DrbdProgress | None = None

    @property
    def configured(self) -> bool:
        """Whether the device is up."""
        return self.connection != UNCONFIGURED

    @property
    def dual_primary(self) -> bool:
        """Whether it is what the cluster needs: connected, primary and up to date on both sides, nothing frozen."""
        states = (self.connection, self.local_role, self.peer_role, self.local_disk, self.peer_disk)
        return states == ("Connected", "Primary", "Primary", "UpToDate", "UpToDate") and not self.suspended

    def __str__(self) -> str:
        if not self.configured:
            return self.connection
        states = f"{self.connection} {self.local_role}/{self.peer_role} {self.local_disk}/{self.peer_disk}"
        return f"{states}, suspended" if self.suspended else states


@dataclass(frozen=True)
class DrbdStatus:
    """What ``/proc/drbd`` says.

    Args:
        version: version of the kernel's driver, such as ``8.4.11``.
        devices: the devices, by minor.
    """

    version: str
    devices: tuple[DrbdDevice, ...]

    def device(self, minor: int) -> DrbdDevice:
        """The device of this minor; an unconfigured one when the kernel does not list it."""
        return next((device for device in self.devices if device.minor == minor), DrbdDevice(minor, UNCONFIGURED))


def parse_proc_drbd(text: str) -> DrbdStatus:
    """Read the whole of ``/proc/drbd``.

    Args:
        text: the file.

    Raises:
        LabError: it does not begin with a version of the 8 series, or has a line of a device that is not of the
            known form.
    """
    lines = text.splitlines()
    version = _VERSION.match(lines[0]) if lines else None
    if version is None or not version[1].startswith("8."):
        first = lines[0] if lines else "an empty file"
        raise LabError(f"/proc/drbd cannot be read: no version of DRBD 8 in {first!r}", remedy="Load the module drbd")
    blocks: list[list[str]] = []
    for line in lines[1:]:
        if re.match(r"\s*\d+: ", line):
            blocks.append([line])
        elif blocks and line.strip():
            blocks[-1].append(line)
    return DrbdStatus(version[1], tuple(_device(block) for block in blocks))


def parse_states(text: str) -> tuple[tuple[str, str], ...]:
    """Read what ``drbdadm dstate`` or ``drbdadm role`` prints: ``local/peer``, a line for each volume.

    A resource that is down has one word instead of two (``Unconfigured``); the other one is then empty.

    Raises:
        LabError: nothing was printed, or a line has another form.
    """
    return tuple(_pair(line) for line in _lines(text))


def parse_connection_states(text: str) -> tuple[str, ...]:
    """Read what ``drbdadm cstate`` prints: one word, a line for each volume.

    Raises:
        LabError: nothing was printed, or a line has another form.
    """
    words = _lines(text)
    for word in words:
        if not re.fullmatch(r"\w+", word):
            raise LabError(f"the answer of drbdadm cannot be read: {word!r} is no connection state")
    return words


def _lines(text: str) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise LabError("the answer of drbdadm cannot be read: it is empty")
    return lines


def _pair(line: str) -> tuple[str, str]:
    if line == UNCONFIGURED:
        return (line, "")
    pair = _PAIR.fullmatch(line)
    if pair is None:
        raise LabError(f"the answer of drbdadm cannot be read: {line!r} is no pair of states")
    return (pair[1], pair[2])


def _device(block: list[str]) -> DrbdDevice:
    first = _DEVICE.fullmatch(block[0].rstrip())
    if first is None or (first["local_role"] is None and first["connection"] != UNCONFIGURED):
        raise LabError(f"/proc/drbd cannot be read: {block[0]!r} is not the state of a device")
    minor = int(first["minor"])
    if first["local_role"] is None:
        return DrbdDevice(minor, UNCONFIGURED)
    counters = _counters(block)
    return DrbdDevice(
        minor=minor,
        connection=first["connection"],
        local_role=first["local_role"],
        peer_role=first["peer_role"],
        local_disk=first["local_disk"],
        peer_disk=first["peer_disk"],
        protocol=first["protocol"].strip(),
        suspended=first["flags"].startswith("s"),
        out_of_sync_kib=counters["oos"],
        pending=counters["pe"],
        progress=_progress("\n".join(block[1:])),
    )


def _counters(block: list[str]) -> dict[str, int]:
    for line in block[1:]:
        if _COUNTERS.fullmatch(line):
            found = {name: int(value) for name, value in _COUNTER.findall(line) if value.isdigit()}
            if "oos" in found and "pe" in found:
                return found
    raise LabError(f"/proc/drbd cannot be read: no counters after {block[0]!r}")


def _progress(text: str) -> DrbdProgress | None:
    done = _PROGRESS.search(text)
    if done is None:
        return None
    speed = _SPEED.search(text)
    hours, minutes, seconds = (int(speed[number]) for number in (1, 2, 3)) if speed else (0, 0, 0)
    return DrbdProgress(
        verifying=done[1] == "verified",
        done_percent=float(done[2]),
        left_kib=int(done[3]) * _KIB[done[5]],
        total_kib=int(done[4]) * _KIB[done[5]],
        finish_s=hours * 3600 + minutes * 60 + seconds if speed else None,
        speed_kib_s=int(speed[4].replace(",", "")) if speed else None,
        stalled="(stalled)" in text,
    )
