"""The values that templates may use, computed from the model; every template sees the same names.

Times of the cluster are stretched here and nowhere else: limits of operations by :attr:`Lab.time_scale`, times after
which a silent node counts as dead by :attr:`Lab.detection_scale`.
"""

from __future__ import annotations

import math
from typing import Any

from lab.core import addressing, vagrant_plan
from lab.core.health import MOUNT_CLONE, STORAGE_CLONE
from lab.core.model import Guest, Lab, LabImages, Node, Secrets
from lab.core.render.cluster_words import software_values
from lab.core.render.command_lines import guest_command_line, node_command_line

Values = dict[str, Any]

POOLS_ROOT = "/var/lib/libvirt/images"
CONSOLE_LOGS = "/var/log/libvirt/qemu"

#: O2CB's own defaults in milliseconds (ocfs2-tools, o2cb.sysconfig(5)); stretched with everything else.
O2CB_IDLE_TIMEOUT_MS = 30000
O2CB_KEEPALIVE_DELAY_MS = 2000
O2CB_RECONNECT_DELAY_MS = 2000
O2CB_LEAST_THRESHOLD = 7

#: How DRBD finds out that its peer is gone (drbd.conf(5)): after ``ping-int`` without a word it asks, and waits
#: ``ping-timeout`` for the answer; ``timeout`` has to stay below both intervals. Its own defaults, 6 s, 0.5 s and 10 s,
#: would find out later than Corosync, and everything stands still until then.
DRBD_TIMEOUT_DS = 18
DRBD_PING_TIMEOUT_DS = 10
DRBD_PING_INTERVAL_S = 2
#: The default.
DRBD_CONNECT_INTERVAL_S = 10
#: crm-fence-peer.sh's own default for how long it waits for a verdict on the peer.
FENCE_PEER_TIMEOUT_S = 90

#: A node's answer for www.<zone>, and for every name below customers.<zone> (addresses of RFC 5737, never contacted).
ZONE_WWW_ADDRESS = "192.0.2.80"
ZONE_CUSTOMERS_ADDRESS = "192.0.2.81"

#: The longest that the other guests wait for one that starts first to answer.
GUEST_ANSWERS_S = 20

#: Pauses between monitor operations of the storage: the study's for DRBD promoted and not (they have to differ).
STORAGE_MONITOR_S = 20
UNPROMOTED_MONITOR_S = 30

#: How much longer the second node's shot at the first one takes: longer than a shot of the first one.
FENCE_DELAY_S = 2

#: Days of planned maintenance by a node's place: never two nodes on the same day, as in the study.
MAINTENANCE_DAYS = ("Tue", "Thu")

NIC_SLOTS = {"leg1": "0x02", "leg2": "0x03", "management": "0x04"}


def scaled(value: float, scale: float) -> int:
    """A time stretched by the lab's factor, rounded up to whole units."""
    return math.ceil(round(value * scale, 6))


def heartbeat_threshold(lab: Lab) -> int:
    """O2CB's threshold so that its time, (threshold - 1) * 2 s, is stretched; never below what o2cb accepts."""
    return max(O2CB_LEAST_THRESHOLD, scaled(lab.storage.ocfs2_heartbeat_threshold - 1, lab.detection_scale) + 1)


def node_values(lab: Lab, node: Node, images: LabImages, secrets: Secrets) -> Values:
    """Everything that templates say about one node."""
    cache = images.cache_pool_path
    image = images.node_volume[node.name]
    return {
        "name": node.name,
        "index": node.index,
        "vcpus": node.vcpus,
        "memory_mib": node.memory_mib,
        "system_disk_mib": node.system_disk_mib,
        "system_disk_gib": math.ceil(node.system_disk_mib / 1024),
        "storage_disk_mib": node.storage_disk_mib,
        "translation_cache_mib": node.translation_cache_mib,
        "domain_name": addressing.domain_name(lab.name, node.name),
        "domain_uuid": str(addressing.domain_uuid(lab.name, node.name)),
        "service_ip": str(addressing.node_service_ip(lab, node)),
        "management_ip": str(addressing.node_management_ip(lab, node)),
        "host_public_key": secrets.host_public_keys[node.name].strip(),
        "image_path": f"{cache}/{image}",
        "image_format": "qcow2" if image.endswith(".qcow2") else "raw",
        "box": vagrant_plan.box_name(lab.name, image),
        "box_catalog": vagrant_plan.catalogue_path(image),
        # Empty for an image that was not baked here: it brings its own boot loader.
        "kernel_path": _below(cache, images.kernel_volume[node.name]),
        "initrd_path": _below(cache, images.initrd_volume[node.name]),
        "command_line": node_command_line(lab),
        "maintenance_day": MAINTENANCE_DAYS[lab.nodes.index(node)],
        "console_log": f"{CONSOLE_LOGS}/{addressing.domain_name(lab.name, node.name)}-console.log",
        "nics": [
            {
                "name": nic,
                "mac": addressing.node_mac(lab, node, nic),
                "network": addressing.network_name(lab.name, "management" if nic == "management" else "service"),
                "tap": addressing.tap_name(lab.name, node.index, nic),
                "slot": NIC_SLOTS[nic],
                # Whether a port of Open vSwitch is at the other end, which the tool has made.
                "switched": lab.network.switch == "openvswitch" and nic != "management",
            }
            for nic in addressing.NICS
        ],
    }


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if name else ""


def guest_values(lab: Lab, guest: Guest) -> Values:
    """Everything that templates say about one guest."""
    mount = lab.storage.mount_point
    suite = guest.image.suite
    return {
        "name": guest.name,
        "domain": guest.domain,
        "index": guest.index,
        "resource": guest.resource,
        "home": guest.home,
        "service": guest.service,
        "vcpus": guest.vcpus,
        "cpu_weight": guest.cpu_weight,
        # It is asked in the untagged network: a node has no address in the guests' VLANs.
        "is_waited_for": guest.starts_first and not guest.vlan,
        "starts_after": [other.resource for other in lab.start_predecessors(guest)],
        "memory_mib": guest.memory_mib,
        "disk_mib": guest.disk_mib,
        "uuid": str(addressing.guest_uuid(lab.name, guest.domain)),
        "mac": addressing.guest_mac(lab, guest),
        "ip": str(addressing.guest_ip(lab, guest)),
        "gateway": str(addressing.guest_gateway(lab, guest)),
        "vlan": guest.vlan,
        "bridge": addressing.guest_bridge(guest),
        "disk_path": f"{mount}/{guest.domain}.qcow2",
        "seed_path": f"{mount}/{guest.domain}-seed.tar",
        "heartbeat_path": addressing.heartbeat_path(lab, guest),
        "kernel_path": f"{mount}/guest-{suite}-vmlinuz",
        "initrd_path": f"{mount}/guest-{suite}-initrd",
        "command_line": guest_command_line(lab),
        # A 64-bit baseline that KVM offers in full on Intel, on AMD and inside QEMU's emulated EPYC (kvm64 wants "vme",
        # which the emulator lacks), so a guest can move between any two hosts.
        "cpu_model": "qemu64",
        "cpu_features_off": ["vmx", "svm"],
    }


def network_values(lab: Lab) -> Values:
    """Names and addresses of the lab's networks."""
    network = lab.network
    values: Values = {
        "zone": network.zone,
        "bond_mode": network.bond_mode,
        "miimon_ms": network.miimon_ms,
        "xmit_hash_policy": network.xmit_hash_policy,
        "lacp_rate": network.lacp_rate,
        "dnsmasq_options": dnsmasq_options(lab),
        "vlans": [vlan.number for vlan in network.vlans],
    }
    for role, subnet, gateway in (
        ("service", network.service_subnet, addressing.service_gateway(lab)),
        ("management", network.management_subnet, addressing.management_gateway(lab)),
    ):
        values |= {
            f"{role}_name": addressing.network_name(lab.name, role),
            f"{role}_uuid": str(addressing.network_uuid(lab.name, role)),
            f"{role}_bridge": addressing.bridge_name(lab.name, role),
            f"{role}_mac": addressing.network_mac(lab, role),
            f"{role}_subnet": str(subnet),
            f"{role}_prefix": subnet.prefixlen,
            f"{role}_gateway": str(gateway),
        }
    return values


def dnsmasq_options(lab: Lab) -> list[str]:
    """Options that make the service network's dnsmasq the authoritative server of the lab's zone (dnsmasq(8))."""
    zone = lab.network.zone
    gateway = addressing.service_gateway(lab)
    return [
        "no-resolv",
        "no-hosts",
        f"auth-server=ns.{zone},{gateway}",
        f"auth-zone={zone}",
        f"host-record=ns.{zone},{gateway}",
        f"host-record=www.{zone},{ZONE_WWW_ADDRESS}",
        f"host-record=customers.{zone},{ZONE_CUSTOMERS_ADDRESS}",
        f"cname=*.customers.{zone},customers.{zone}",
    ]


def name_servers(lab: Lab) -> list[str]:
    """Two name servers, as in the study: the recursive guest, and the host's authoritative server as the second."""
    recursive = [str(addressing.guest_ip(lab, guest)) for guest in lab.guests if guest.service == "dns"]
    return [*recursive, str(addressing.service_gateway(lab))]


def cluster_values(lab: Lab) -> Values:
    """Times of Corosync and Pacemaker, stretched."""
    cluster, scale, detection = lab.cluster, lab.time_scale, lab.detection_scale
    return {
        "name": cluster.name,
        "token_ms": scaled(cluster.token_ms, detection),
        "join_ms": scaled(cluster.join_ms, detection),
        "consensus_ms": scaled(cluster.consensus_ms, detection),
        "monitor_interval_s": scaled(cluster.monitor_interval_s, scale),
        "storage_monitor_interval_s": scaled(STORAGE_MONITOR_S, scale),
        "unpromoted_monitor_interval_s": scaled(UNPROMOTED_MONITOR_S, scale),
        "deep_monitor_interval_s": scaled(cluster.deep_monitor_interval_s, scale),
        "monitor_timeout_s": scaled(cluster.monitor_timeout_s, scale),
        "start_timeout_s": scaled(cluster.start_timeout_s, scale),
        "stop_timeout_s": scaled(cluster.stop_timeout_s, scale),
        "migrate_timeout_s": scaled(cluster.migrate_timeout_s, scale),
        "storage_timeout_s": scaled(cluster.storage_timeout_s, scale),
        "migration_threshold": cluster.migration_threshold,
        "other_node_score": cluster.other_node_score,
        "mount_timeout_s": scaled(60, scale),
        "fence_timeout_s": scaled(60, scale),
        "fence_delay_s": scaled(FENCE_DELAY_S, detection),
    }


def drbd_values(lab: Lab) -> Values:
    """Times of DRBD, stretched; ``timeout`` has to stay below both intervals (drbd.conf(5))."""
    scale = lab.time_scale
    return {
        "timeout_ds": scaled(DRBD_TIMEOUT_DS, lab.detection_scale),
        "ping_timeout_ds": scaled(DRBD_PING_TIMEOUT_DS, scale),
        "connect_interval_s": scaled(DRBD_CONNECT_INTERVAL_S, scale),
        "ping_interval_s": scaled(DRBD_PING_INTERVAL_S, lab.detection_scale),
        "fence_peer_timeout_s": scaled(FENCE_PEER_TIMEOUT_S, scale),
    }


def ocfs2_values(lab: Lab) -> Values:
    """Times of O2CB, stretched."""
    scale = lab.time_scale
    return {
        "heartbeat_threshold": heartbeat_threshold(lab),
        "idle_timeout_ms": scaled(O2CB_IDLE_TIMEOUT_MS, scale),
        "keepalive_delay_ms": scaled(O2CB_KEEPALIVE_DELAY_MS, scale),
        "reconnect_delay_ms": scaled(O2CB_RECONNECT_DELAY_MS, scale),
    }


def lab_values(lab: Lab, secrets: Secrets, images: LabImages) -> Values:
    """The names that every template sees."""
    return {
        "lab": lab,
        "secrets": secrets,
        "images": images,
        "nodes": [node_values(lab, node, images, secrets) for node in lab.nodes],
        "guests": [guest_values(lab, guest) for guest in lab.guests],
        "network": network_values(lab),
        "storage": lab.storage,
        "cluster": cluster_values(lab),
        "drbd": drbd_values(lab),
        "ocfs2": ocfs2_values(lab),
        **software_values(lab),
        "fencing": lab.fencing.method == "fence_virt",
        "time_scale": f"{lab.time_scale:g}",
        "detection_scale": f"{lab.detection_scale:g}",
        "ssh_connect_timeout_s": scaled(10, lab.time_scale),
        "pool_uuid": str(addressing.pool_uuid(lab.name, "ocfs")),
        "vagrant": {"boot_timeout_s": vagrant_plan.boot_timeout_s(lab)},
        "host": {
            "pool_uuid": str(addressing.pool_uuid(lab.name, "host")),
            "pool_path": f"{POOLS_ROOT}/{lab.name}",
        },
    }


def answer_limit_s(lab: Lab) -> int:
    """How long the start of a guest that starts first waits for its service; well within a monitor's own time-out."""
    return scaled(min(GUEST_ANSWERS_S, lab.cluster.monitor_timeout_s / 2), lab.time_scale)


def lab_facts(lab: Lab, node: Node) -> Values:
    """What scripts on a node may want to know, for ``/etc/lab/lab.json``; no secrets."""
    return {
        "lab": lab.name,
        "node": node.name,
        "accelerator": lab.accelerator,
        "time_scale": lab.time_scale,
        "detection_scale": lab.detection_scale,
        "answer_limit_s": answer_limit_s(lab),
        "fencing": lab.fencing.method,
        "nodes": {
            peer.name: {
                "service_ip": str(addressing.node_service_ip(lab, peer)),
                "management_ip": str(addressing.node_management_ip(lab, peer)),
            }
            for peer in lab.nodes
        },
        "guests": {
            guest.domain: {
                "name": guest.name,
                "resource": guest.resource,
                "home": guest.home,
                "service": guest.service,
                "ip": str(addressing.guest_ip(lab, guest)),
            }
            for guest in lab.guests
        },
        "service_gateway": str(addressing.service_gateway(lab)),
        "management_gateway": str(addressing.management_gateway(lab)),
        "storage": {
            "volume_group": lab.storage.volume_group,
            "logical_volume": lab.storage.logical_volume,
            "resource": lab.storage.resource,
            "device": f"/dev/drbd/by-res/{lab.storage.resource}",
            "ocfs2_cluster": lab.storage.ocfs2_cluster,
            "mount_point": lab.storage.mount_point,
            "pool": lab.storage.pool,
            "minor": lab.storage.minor,
            "clone": STORAGE_CLONE,
            "mount_clone": MOUNT_CLONE,
        },
    }
