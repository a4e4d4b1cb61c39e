"""The sections of the topology document about measuring: how clients ask, and which outages they may see."""

from __future__ import annotations

from typing import Annotated, Any

from lab.core import model
from lab.core.topology_section import Section, setting
from lab.core.topology_values import RequestRate, milliseconds

#: Of requests to one machine, as many as an emulated guest can be asked beside its other work.
PerSecond = Annotated[int, RequestRate(100)]
LongestOutages = dict[model.DrillName, Annotated[int, milliseconds(0, 86_400_000)]]


def _rate_setting(description: str, default_per_s: float) -> Any:
    return setting(f"{description} 0/s for none.", round(default_per_s * 3600), written=f"{default_per_s:g}/s")


class ProbesDocument(Section):
    """How often a client asks each machine while the lab is measured; not stretched by the section timing."""

    icmp: PerSecond = _rate_setting("ICMP echoes to each guest and each node.", model.Probes.icmp_per_s)
    dns: PerSecond = _rate_setting("Queries for a fresh name to each name server.", model.Probes.dns_per_s)
    radius_authentication: PerSecond = _rate_setting(
        "Access-Requests to each RADIUS server.", model.Probes.radius_authentication_per_s
    )
    radius_accounting: PerSecond = _rate_setting(
        "Accounting-Requests to each RADIUS server; each leaves a row behind.", model.Probes.radius_accounting_per_s
    )
    http_read: PerSecond = _rate_setting("Page reads from each web server.", model.Probes.http_read_per_s)
    http_write: PerSecond = _rate_setting(
        "Rows written through the page of each web server.", model.Probes.http_write_per_s
    )
    sip_options: PerSecond = _rate_setting("SIP OPTIONS to each telephone exchange.", model.Probes.sip_options_per_s)
    timeout: Annotated[int, milliseconds(50, 60_000)] = setting(
        "How long a client waits for an answer.", model.Probes.timeout_ms, "ms"
    )
    share_under_tcg: float = setting(
        "What all rates are multiplied by where processors are emulated.", model.Probes.share_under_tcg, ge=0.01, le=1
    )


class ObjectivesDocument(Section):
    """The longest outage that each kind of service may have in each drill; none is set by default."""

    dns: LongestOutages = setting("Drill and longest outage of recursive DNS, such as 'power-off: 60 s'.", {})
    radius: LongestOutages = setting("Drill and longest outage of RADIUS.", {})
    web: LongestOutages = setting("Drill and longest outage of the web system.", {})
    telephony: LongestOutages = setting("Drill and longest outage of telephony.", {})
