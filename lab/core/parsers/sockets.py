"""The kernel's tables of sockets, ``/proc/net/tcp`` and its like (proc_net(5)): who listens where."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

#: State of a TCP socket that listens, and of a UDP socket that is not connected (TCP_LISTEN, TCP_CLOSE in the kernel).
_WAITING = {"0A", "07"}


def listening_addresses(table: str, *, port: int) -> list[str]:
    """Addresses at which something listens on a port, such as ``0.0.0.0`` and ``::``.

    Args:
        table: text of one of the tables; addresses are hexadecimal, in words of the machine's byte order (little).
        port: the port.
    """
    found = []
    for line in table.splitlines()[1:]:
        words = line.split()
        address, _, number = words[1].partition(":")
        if int(number, 16) == port and words[3] in _WAITING:
            found.append(_address(address))
    return found


def _address(digits: str) -> str:
    words = [bytes.fromhex(digits[place : place + 8])[::-1] for place in range(0, len(digits), 8)]
    packed = b"".join(words)
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))
