"""What libvirt says about domains while it happens: their life cycle events, each with the host's time.

libvirt delivers events through an event loop that has to be registered before the connection is opened
(virEventRegisterDefaultImpl), so this driver has a connection and a thread of its own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import libvirt

from lab.core.errors import LabError
from lab.doors.clock import wall_s
from lab.drivers.hypervisor import DEFAULT_URI

#: virDomainEventType, by number (libvirt-domain.h).
_EVENTS = ("defined", "undefined", "started", "suspended", "resumed", "stopped", "shutdown", "pmsuspended", "crashed")
#: How often the loop looks whether it is to end.
_TURN_MS = 100


@dataclass(frozen=True)
class LifecycleEvent:
    """One event.

    Args:
        at_s: when it was received, seconds since 1970 by the host's clock.
        domain: name of the domain.
        event: ``started``, ``stopped``, ``suspended``, ``resumed`` and so on.
        detail: libvirt's number of the circumstances.
    """

    at_s: float
    domain: str
    event: str
    detail: int


class DomainEvents:
    """Collects events from entering to leaving the context.

    Args:
        uri: libvirt URI; empty for the usual one.

    Raises:
        LabError: libvirt cannot be reached.
    """

    def __init__(self, uri: str = "") -> None:
        self._uri = uri or DEFAULT_URI
        self._events: list[LifecycleEvent] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()

    def __enter__(self) -> DomainEvents:
        libvirt.virEventRegisterDefaultImpl()
        self._timer = libvirt.virEventAddTimeout(_TURN_MS, lambda *_: None, None)
        try:
            self._connection = libvirt.open(self._uri)
            self._handle = self._connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._received, None
            )
        except libvirt.libvirtError as error:
            libvirt.virEventRemoveTimeout(self._timer)
            raise LabError(f"no events from libvirt: {error.get_error_message()}") from error
        self._thread = threading.Thread(target=self._loop, name="domain events", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(timeout=10)
        libvirt.virEventRemoveTimeout(self._timer)
        self._connection.domainEventDeregisterAny(self._handle)
        self._connection.close()

    @property
    def events(self) -> tuple[LifecycleEvent, ...]:
        """What has been received so far, in order."""
        with self._lock:
            return tuple(self._events)

    def _loop(self) -> None:
        while not self._ending.is_set():
            libvirt.virEventRunDefaultImpl()

    def _received(self, _connection: Any, domain: Any, event: int, detail: int, _data: Any) -> None:
        name = _EVENTS[event] if 0 <= event < len(_EVENTS) else str(event)
        with self._lock:
            self._events.append(LifecycleEvent(wall_s(), domain.name(), name, detail))
