"""Where a bridge of this host hears guests from, noticed while it happens.

A bridge learns from each frame at which of its ports its sender is. sysfs shows that to every user, without a program
that would have to be started each time (Documentation/ABI/testing/sysfs-class-net, ``brforward`` and ``brif``).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lab.core.drills.heard import Sighting, addresses, moved
from lab.doors.clock import wall_s

#: Between two looks, seconds. A frame is noticed unless another one of the same guest comes from elsewhere before.
INTERVAL_S = 0.25
SYSFS = Path("/sys/class/net")


class BridgeTable:
    """Collects sightings from entering to leaving the context; none where there is no such bridge.

    Args:
        bridge: its name.
        taps: node by the name of a port.
        guests: domain by MAC address.
        root: another folder in tests.
    """

    def __init__(self, bridge: str, taps: Mapping[str, str], guests: Mapping[str, str], root: Path = SYSFS) -> None:
        self._folder = root / bridge
        self._taps = taps
        self._guests = guests
        self._last: dict[str, str] = {}
        self._sightings: list[Sighting] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="bridge table", daemon=True)

    def __enter__(self) -> BridgeTable:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(timeout=10)

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """What has been noticed so far, in order."""
        with self._lock:
            return tuple(self._sightings)

    def _loop(self) -> None:
        while not self._ending.wait(INTERVAL_S):
            self._look()

    def _look(self) -> None:
        seen = moved(self._last, self._table(), self._ports(), self._guests)
        self._last |= seen
        with self._lock:
            self._sightings += [Sighting(wall_s(), guest, node) for guest, node in seen.items()]

    def _table(self) -> dict[str, int]:
        with suppress(OSError):
            return addresses((self._folder / "brforward").read_bytes())
        return {}

    def _ports(self) -> dict[int, str]:
        """Node by port, looked up each time: a node that is switched off and on gets other numbers."""
        found: dict[int, str] = {}
        for tap, node in self._taps.items():
            # The port goes with its node.
            with suppress(OSError, ValueError):
                found[int((self._folder / "brif" / tap / "port_no").read_text(), 16)] = node
        return found
