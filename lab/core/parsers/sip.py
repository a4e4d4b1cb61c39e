"""SIP messages (RFC 3261) as far as a status check needs them, and what the tool sipp leaves behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from lab.core.errors import LabError

_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?")
#: How sipp begins each entry of its error log: date, time, and seconds since 1970.
_ENTRY = re.compile(r"\d{4}-\d{2}-\d{2}\t\d{2}:\d{2}:\d{2}\.\d+\t\d+\.\d+: ")
_TIME = re.compile(r"(\d+):(\d\d):(\d\d):(\d{6})")
_UNEXPECTED = re.compile(r"unexpected message for Call-Id.*?received '([^\r\n']*)", re.DOTALL)
#: Entries that tell of something the scenarios provide for.
_EXPECTED_ENTRIES = ("jumping to label", "Automatic response mode")
#: The compact forms of the header names used here (RFC 3261 section 7.3.3).
_COMPACT = {"i": "call-id", "v": "via", "f": "from", "t": "to", "l": "content-length", "m": "contact"}


@dataclass(frozen=True)
class SipResponse:
    """A response's status line and headers.

    Args:
        code: status code, 100 to 699.
        reason: reason phrase, may be empty.
        headers: per lower-case full name, the value of its first occurrence.
    """

    code: int
    reason: str
    headers: dict[str, str]

    @property
    def final(self) -> bool:
        """Whether it ends the transaction; 1xx only announce that an answer will come."""
        return self.code >= 200


def parse_response(payload: bytes) -> SipResponse | None:
    """The response that a datagram holds, or None when it holds anything else.

    Args:
        payload: the datagram as received.
    """
    lines = payload.decode("utf-8", errors="replace").split("\r\n\r\n", 1)[0].split("\r\n")
    status = _STATUS_LINE.fullmatch(lines[0])
    if status is None:
        return None
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers.setdefault(_COMPACT.get(key, key), value.strip())
    return SipResponse(int(status[1]), status[2] or "", headers)


@dataclass(frozen=True)
class SippStatistics:
    """Calls of one run of sipp, counted since its start.

    Args:
        created, successful, failed: number of calls.
        retransmissions: number of messages sent again.
        response_ms: mean time until calls were answered, where the scenario times it; None where it does not.
    """

    created: int
    successful: int
    failed: int
    retransmissions: int
    response_ms: float | None = None


def parse_sipp_statistics(text: str) -> SippStatistics:
    """Read the last row of the file that sipp's ``-trace_stat`` writes (one header row, ``;`` between columns).

    Raises:
        LabError: the file has no data row, or lacks a column.
    """
    rows = [line.split(";") for line in text.splitlines() if line.strip()]
    if len(rows) < 2:
        raise LabError("sipp's statistics cannot be read: no row of data")
    values = dict(zip(rows[0], rows[-1], strict=False))

    def number(column: str) -> int:
        try:
            return int(values[column])
        except (KeyError, ValueError):
            raise LabError(f"sipp's statistics cannot be read: no number in column {column}") from None

    return SippStatistics(
        created=number("TotalCallCreated"),
        successful=number("SuccessfulCall(C)"),
        failed=number("FailedCall(C)"),
        retransmissions=number("Retransmissions(C)"),
        response_ms=_milliseconds(values.get("ResponseTime1(C)", "")),
    )


def _milliseconds(text: str) -> float | None:
    """A time of sipp's statistics, ``hours:minutes:seconds:microseconds``; None when there is none or it is 0."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds, microseconds = (int(part) for part in found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + microseconds / 1000 or None


def parse_sipp_errors(text: str) -> tuple[str, ...]:
    """The entries of sipp's error log that tell of a failure, one line each, in order.

    An unexpected message is reduced to its first line (what sipp says it expected is merely the first of many).
    """
    entries = [entry.strip() for entry in _ENTRY.split(text)[1:]]
    failures = [entry for entry in entries if entry and not any(word in entry for word in _EXPECTED_ENTRIES)]
    return tuple(_shortened(entry) for entry in failures)


def _shortened(entry: str) -> str:
    unexpected = _UNEXPECTED.search(entry)
    if unexpected:
        return f"got {unexpected[1]}"
    return entry.splitlines()[0]


def parse_udp_sockets(text: str) -> frozenset[tuple[IPv4Address, int]]:
    """Local address and port of every UDP socket in ``/proc/net/udp`` (proc(5); addresses in little-endian hex).

    Args:
        text: the file, heading included.

    Raises:
        LabError: a row has no address and port where they belong.
    """
    sockets = set()
    for line in text.splitlines()[1:]:
        try:
            address, port = line.split()[1].split(":")
            sockets.add((IPv4Address(bytes.fromhex(address)[::-1]), int(port, 16)))
        except (IndexError, ValueError):
            raise LabError(f"/proc/net/udp cannot be read: no socket in {line!r}") from None
    return frozenset(sockets)
