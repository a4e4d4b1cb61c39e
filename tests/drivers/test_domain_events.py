"""Life cycle events of domains, from libvirt's own test driver."""

from __future__ import annotations

import libvirt

from lab.doors.clock import Deadline, wait_until, wall_s
from lab.drivers.domain_events import DomainEvents

URI = "test:///default"


def test_events_come_in_order_with_the_hosts_time_and_end_with_the_context() -> None:
    began_s = wall_s()
    with DomainEvents(URI) as events:
        # Every connection to this address of the test driver sees the same host, within this process.
        connection = libvirt.open(URI)
        domain = connection.lookupByName("test")
        domain.destroy()
        domain.create()
        wait_until(lambda: len(events.events) >= 2, what="two events", deadline=Deadline.after(20), interval_s=0.05)
    seen = [(event.domain, event.event) for event in events.events]
    assert seen[:2] == [("test", "stopped"), ("test", "started")]
    assert all(began_s <= event.at_s <= wall_s() for event in events.events)
    domain.destroy()
    domain.create()
    connection.close()
    assert [(event.domain, event.event) for event in events.events] == seen


def test_a_second_collection_in_the_same_process_works_as_well() -> None:
    for _ in range(2):
        with DomainEvents(URI) as events:
            connection = libvirt.open(URI)
            domain = connection.lookupByName("test")
            domain.suspend()
            domain.resume()
            wait_until(lambda: len(events.events) >= 2, what="two events", deadline=Deadline.after(20), interval_s=0.05)
            connection.close()
        assert [event.event for event in events.events][:2] == ["suspended", "resumed"]
