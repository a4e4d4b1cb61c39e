"""The figures that the 2016 study published, as data; times in seconds, availabilities as shares from 0 to 1.

Numbers of tables are those of the study. Its unavailabilities were measured with ping, in whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Nodes of the study in its order; ours are compared with them by their place in the topology.
NODES = ("brina", "piova")
#: How long a service was away after a failure before there was a cluster: host and guest had to boot.
WITHOUT_CLUSTER_S = 250.0
#: Share that was set as a target for every service.
TARGET = 0.9999
#: The trial of planned maintenance: days, and drills of each node in them.
MAINTENANCE_DAYS = 13
MAINTENANCES_PER_NODE = 2


@dataclass(frozen=True)
class Published:
    """A published mean.

    Args:
        mean_s: mean unavailability, seconds.
        deviation_s: standard deviation, seconds; None where none was published.
    """

    mean_s: float
    deviation_s: float | None = None


@dataclass(frozen=True)
class Test:
    """One of the study's tests.

    Args:
        table: number of its table.
        title: what was done.
        drill: our drill of that kind.
        nodes: unavailability of node 1 and node 2.
        guest: unavailability of the guest.
    """

    table: str
    title: str
    drill: str
    nodes: tuple[Published, Published]
    guest: Published


TESTS = (
    Test("7.1", "hard power-off", "power-off", (Published(124), Published(170.5)), Published(81)),
    Test("7.2", "reboot", "reboot", (Published(138.5), Published(167)), Published(10)),
    Test(
        "7.3",
        "planned maintenance",
        "maintenance",
        (Published(145.5, 0.70), Published(173, 1.41)),
        Published(0, 0),
    ),
)

#: Table 7.4: availability of node 1, node 2 and the guest over the days of maintenance.
MAINTENANCE_AVAILABILITY = (0.99976, 0.99975, 1.0)


@dataclass(frozen=True)
class Service:
    """A critical service of the study.

    Args:
        guest: its name there.
        year: availability in 2015, before the cluster (table 5.1).
        month_before, month_after: availability in one month on the old and on the new machines (table 7.5).
        downtime_before_s, downtime_after_s: the same as downtime, seconds (table 7.6).
    """

    guest: str
    year: float
    month_before: float
    month_after: float
    downtime_before_s: float
    downtime_after_s: float


SERVICES = (
    Service("Passata", 0.99913, 0.99978, 0.99996, 9 * 60 + 40, 100),
    Service("Speedauth", 0.99755, 0.99936, 1.0, 27 * 60 + 40, 0),
    Service("Masterauth", 0.99475, 0.99930, 1.0, 30 * 60 + 20, 0),
    Service("Soldi", 0.99989, 0.99913, 1.0, 37 * 60 + 20, 0),
    Service("SimplesIP", 0.99997, 0.99866, 1.0, 58 * 60, 0),
)


def service(guest: str) -> Service | None:
    """What was published of a guest of this name; None when the study has none."""
    return next((one for one in SERVICES if one.guest == guest), None)
