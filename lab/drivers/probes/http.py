"""A client of the management system's page: a row written by POST must stand on the page that GET brings."""

from __future__ import annotations

import json
import re
import ssl
from functools import cache
from ipaddress import IPv4Address

import httpx

from lab.core.errors import LabError
from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline
from lab.drivers.probes.exchange import NotServed, Route, measure

HTTP_PORT = 80
ENTRIES = "/entries.php"

#: Numbers are kept in a signed 32-bit column.
NUMBERS = 2**31

#: More than any page of the lab; a server that sends without end is not read without end.
LARGEST_PAGE_BYTES = 4 * 2**20


def probe_http_entry(
    server: IPv4Address,
    source: IPv4Address,
    number: int,
    timeout_s: float,
    *,
    guest: str = "",
    port: int = HTTP_PORT,
) -> ProbeResult:
    """Write a row through the web page and read it back, so that web server, PHP and database all had to work.

    Args:
        server: address of the web server.
        source: address of this machine to ask from.
        number: what to store; fresh for each probe, from 0 up to and without :data:`NUMBERS`.
        timeout_s: seconds for both requests together.
        guest: name of the guest for the result.
        port: TCP port of the server.

    Raises:
        LabError: the number does not fit, or the source or the timeout cannot work.
    """
    _require_storable(number)
    route = Route(source, server, port)

    def request(deadline: Deadline) -> str:
        with _client(route) as client:
            fault = fault_of_stored(_body(client, "POST", deadline, {"number": str(number)}), number)
            if fault:
                raise NotServed(fault)
            if not lists(_body(client, "GET", deadline), number):
                raise NotServed(f"the row {number} was stored but is not on the page")
        return f"row {number} written and read back"

    return measure("http", guest, route, timeout_s, request)


def probe_http_write(
    server: IPv4Address,
    source: IPv4Address,
    number: int,
    timeout_s: float,
    *,
    guest: str = "",
    port: int = HTTP_PORT,
) -> ProbeResult:
    """Write a row through the web page and believe the answer that it was stored; nothing is read back.

    Args:
        server: address of the web server.
        source: address of this machine to ask from.
        number: what to store, from 0 up to and without :data:`NUMBERS`.
        timeout_s: seconds to wait.
        guest: name of the guest for the result.
        port: TCP port of the server.

    Raises:
        LabError: the number does not fit, or the source or the timeout cannot work.
    """
    _require_storable(number)
    route = Route(source, server, port)

    def request(deadline: Deadline) -> str:
        with _client(route) as client:
            fault = fault_of_stored(_body(client, "POST", deadline, {"number": str(number)}), number)
        if fault:
            raise NotServed(fault)
        return f"row {number} stored"

    return measure("http-write", guest, route, timeout_s, request)


def probe_http_page(
    server: IPv4Address, source: IPv4Address, timeout_s: float, *, guest: str = "", port: int = HTTP_PORT
) -> ProbeResult:
    """Fetch the page of rows, which the database has to answer for; nothing is written.

    Args:
        server: address of the web server.
        source: address of this machine to ask from.
        timeout_s: seconds to wait.
        guest: name of the guest for the result.
        port: TCP port of the server.

    Raises:
        LabError: the source or the timeout cannot work.
    """
    route = Route(source, server, port)

    def request(deadline: Deadline) -> str:
        with _client(route) as client:
            return f"{ENTRIES} answered with {len(_body(client, 'GET', deadline))} characters"

    return measure("http", guest, route, timeout_s, request)


def fault_of_stored(body: str, number: int) -> str:
    """Why the answer to a POST does not say that the number was stored; empty when it does.

    Args:
        body: the answer, which should be a JSON object with the number as ``stored``.
        number: what should have been stored.
    """
    try:
        document = json.loads(body)
    except ValueError:
        return f"the answer is not JSON: {body.strip()[:80]!r}"
    if not isinstance(document, dict) or "stored" not in document:
        return f"the answer does not say what was stored: {body.strip()[:80]!r}"
    stored = document["stored"]
    if isinstance(stored, bool) or str(stored) != str(number):
        return f"the answer says that {stored!r} was stored instead of {number}"
    return ""


def lists(page: str, number: int) -> bool:
    """Whether a page, HTML or JSON, has the number on it as a number of its own and not as part of a longer one."""
    return re.search(rf"(?<![\w.-]){number}(?![\w.])", page) is not None


def _require_storable(number: int) -> None:
    if not 0 <= number < NUMBERS:
        raise LabError(f"{number} cannot be stored", remedy=f"Give a number from 0 to {NUMBERS - 1}")


@cache
def _no_certificates() -> ssl.SSLContext:
    """A TLS context that trusts nobody.

    The lab speaks plain HTTP; without this, httpx reads the certificates of all authorities for each client, which
    takes longer than the request.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _client(route: Route) -> httpx.Client:
    transport = httpx.HTTPTransport(
        verify=_no_certificates(), local_address=str(route.source), retries=0, trust_env=False
    )
    # A proxy from the environment would carry the request off this machine.
    return httpx.Client(base_url=f"http://{route.target}:{route.port}", transport=transport, trust_env=False)


def _body(client: httpx.Client, method: str, deadline: Deadline, form: dict[str, str] | None = None) -> str:
    """The text of one answer, within the deadline as a whole and not only between two packets.

    Raises:
        NotServed: another status than 200, or too long a page.
        OSError: no connection, or (TimeoutError) not all of it in time.
    """
    content = bytearray()
    # httpx takes 0 for "fail at once", and None for "no limit".
    limit_s = max(0.001, deadline.remaining_s())
    try:
        with client.stream(method, ENTRIES, data=form, timeout=limit_s) as answer:
            if answer.status_code != httpx.codes.OK:
                raise NotServed(f"{method} {ENTRIES}: status {answer.status_code}")
            for chunk in answer.iter_bytes():
                content += chunk
                if deadline.passed():
                    raise TimeoutError
                if len(content) > LARGEST_PAGE_BYTES:
                    raise NotServed(f"{method} {ENTRIES}: more than {LARGEST_PAGE_BYTES} bytes")
            return content.decode(answer.encoding or "utf-8", errors="replace")
    except httpx.TimeoutException as error:
        raise TimeoutError from error
    except httpx.RemoteProtocolError as error:
        # A server that is stopped closes the connection it has just taken: that is no answer, not a wrong one.
        if "disconnected" in str(error) or "closed" in str(error):
            raise ConnectionError("the server closed the connection before it had answered") from error
        raise NotServed(f"{method} {ENTRIES}: {error}") from error
    except httpx.HTTPError as error:
        raise _system_error(error) or NotServed(f"{method} {ENTRIES}: {error}") from error


def _system_error(error: BaseException) -> OSError | None:
    """The operating system's error that a library's error stands for, or None."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None
