"""One look at a machine: many small questions in one remote command.

On an emulated node a login costs more than most questions do.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import direct_writes
import testinfra

from lab.core import addressing
from lab.core.model import Guest, Lab, Node
from lab.workflows.observe import MARK, SECTIONS
from lab.workflows.storage import LOCK_MANAGERS

END = "exit "
#: Only what the shell does by itself: a process for each would double the cost of a look.
CLOSE = f"code=$?; read -r up rest < /proc/uptime; printf '\\n{MARK}{END}%s %s\\n' $code $up"
#: What a hypervisor of the study needs, by Debian's names.
PACKAGES = (
    *(
        "drbd-utils",
        "ocfs2-tools",
        "lvm2",
        "e2fsprogs",
        "corosync",
        "pacemaker",
        "crmsh",
        "resource-agents",
        "fence-virt",
    ),
    *("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "qemu-utils"),
    *("ifupdown", "ifenslave", "bridge-utils", "vlan", "cloud-init", "openssh-server", "qemu-guest-agent"),
)
LOADED_MODULES = ("bonding", "bridge", "dm_mod", "drbd", "ocfs2", "ocfs2_stack_o2cb", "ocfs2_nodemanager", "kvm")
UNITS = (
    *("corosync.service", "pacemaker.service", "o2cb.service", "ssh.service", "networking.service", "chrony.service"),
    *("libvirtd.socket", "virtlogd.socket", "qemu-guest-agent.service", "drbd.service", "ocfs2.service"),
)
#: Sysctl documentation of Linux, kernel: 0 for none, 2 for as many as the kernel can.
RANDOM_ADDRESSES = "cat /proc/sys/kernel/randomize_va_space"
KERNEL_SETTINGS = {
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv4.conf.all.arp_announce": "2",
    "kernel.panic_on_oops": "1",
    "kernel.panic": "5",
}
#: A load of the lab that forgets the clocks is off by more, and so are two or three saves that do.
CLOCK_LIMIT_S = 3.0
PART = "PART"
WRONG_KEY = "/run/wrong-fence-key"

RADIUS_DATABASE = "/var/lib/freeradius/radius.db"
ACCOUNTING = "SELECT acctsessionid, username, acctstarttime FROM radacct ORDER BY radacctid DESC LIMIT 500"
#: The third column is the age in seconds.
LOGINS = """SELECT username, reply, CAST((julianday('now') - julianday(authdate)) * 86400 AS INTEGER)
    FROM radpostauth ORDER BY id DESC LIMIT 200"""
ENTRIES = "SELECT number FROM entries ORDER BY id DESC LIMIT 200"
ENGINE = "SELECT engine FROM information_schema.tables WHERE table_schema = 'lab' AND table_name = 'entries'"


@dataclass(frozen=True)
class Answer:
    """What one question brought.

    Args:
        text: standard output and standard error, without the last newline.
        code: exit code.
        at_s: when it was there, in seconds since the machine's boot; tells which question was slow.
    """

    text: str
    code: int
    at_s: float = 0.0


@dataclass(frozen=True)
class Look:
    """What was seen of one machine.

    Args:
        host: name of the machine.
        answers: per question, what it brought.
        whole: the text that :func:`lab.workflows.observe.node_facts` reads.
        failure: why the machine could not be asked; empty when it could.
        between_s: when this host began to ask and when it had the answers, seconds since 1970.
    """

    host: str
    answers: dict[str, Answer] = field(default_factory=dict)
    whole: str = ""
    failure: str = ""
    between_s: tuple[float, float] = (0.0, 0.0)

    def answer(self, name: str) -> Answer:
        """What a question brought, whatever its exit code."""
        assert not self.failure, f"{self.host} cannot be asked: {self.failure}"
        assert name in self.answers, f"{self.host}: the look broke off before {name!r}"
        return self.answers[name]

    def text(self, name: str) -> str:
        """The answer to a question that must have succeeded."""
        answer = self.answer(name)
        assert answer.code == 0, f"{self.host}: {name} ended with exit code {answer.code}: {answer.text}"
        return answer.text

    def lines(self, name: str) -> list[str]:
        """The same by lines, blank ones left out."""
        return [line.strip() for line in self.text(name).splitlines() if line.strip()]

    def json(self, name: str) -> Any:
        """The same, read as JSON."""
        return json.loads(self.text(name))

    def clock_error_s(self) -> float:
        """Seconds by which the machine's clock is surely beyond this host's; negative when it is behind.

        The machine's uptimes tell how long the questions before and after took, so what is left to doubt is the time
        of the login and of the way back.
        """
        began_s, ended_s = self.between_s
        clock_s, asked_at_s = int(self.text("clock")), self.answers["clock"].at_s
        others = [answer.at_s for answer in self.answers.values()]
        earliest_s, latest_s = began_s + asked_at_s - min(others), ended_s - (max(others) - asked_at_s)
        return max(0.0, clock_s - latest_s) + min(0.0, clock_s + 1 - earliest_s)


def script(questions: Mapping[str, str]) -> str:
    """Questions, each a piece of shell text, as one script; every answer ends with its exit code."""
    parts = ["export LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    for name, text in questions.items():
        parts += [f"echo {shlex.quote(MARK + name)}", f"( {text}\n) 2>&1 </dev/null", CLOSE]
    return "\n".join(parts)


def read(host: str, output: str) -> Look:
    """The output of a script, taken apart."""
    answers: dict[str, Answer] = {}
    name, lines = "", []
    for line in output.splitlines():
        if line.startswith(MARK + END) and name:
            code, at_s = line.removeprefix(MARK + END).split()
            answers[name] = Answer("\n".join(lines).removesuffix("\n"), int(code), float(at_s))
            name, lines = "", []
        elif line.startswith(MARK):
            name, lines = line.removeprefix(MARK), []
        elif name:
            lines.append(line)
    return Look(host, answers, output)


def take(machine: testinfra.host.Host, questions: Mapping[str, str], limit_s: float) -> Look:
    """Ask a machine all questions with one remote command; what goes wrong is in the look and not raised."""
    name = machine.backend.get_hostname()
    began_s = time.time()
    try:
        result = machine.run("timeout %s sh -c %s", str(int(limit_s)), script(questions))
    except RuntimeError as error:  # how testinfra tells that ssh itself failed, with the whole result as its argument
        said = getattr(error.args[0], "stderr_bytes", b"").decode(errors="replace").strip()
        return Look(name, failure=said or "ssh failed")
    # Bytes: to decode by itself testinfra would start a Python on the machine, which takes long there.
    seen = read(name, result.stdout_bytes.decode(errors="replace"))
    if not seen.answers:
        return Look(name, failure=f"exit code {result.rc}: {result.stderr_bytes.decode(errors='replace').strip()}")
    return replace(seen, between_s=(began_s, time.time()))


def quoted(words: Iterable[str]) -> str:
    """Words for a shell line."""
    return " ".join(shlex.quote(word) for word in words)


def node_questions(lab: Lab, node: Node, files: list[str]) -> dict[str, str]:
    """Everything that is asked of a node.

    Args:
        lab: the lab.
        node: the node.
        files: absolute paths of the files that rendering gives it.
    """
    storage = lab.storage
    peer = next(other for other in lab.nodes if other.name != node.name)
    mount = shlex.quote(storage.mount_point)
    cluster = f"/sys/kernel/config/cluster/{storage.ocfs2_cluster}"
    program = Path(direct_writes.__file__).read_text(encoding="utf-8")
    names = [*lab.node_names, *(guest.domain for guest in lab.guests if not guest.vlan)]
    # These names are those of lab.workflows.observe, so that its judgement of health can read this look, too.
    questions = {name: text % {"mount_point": storage.mount_point} for name, text in SECTIONS.items()}
    return questions | {
        "clock": "date +%s",
        "kernel": "uname -r",
        "random addresses": RANDOM_ADDRESSES,
        "weight of guests": "systemctl show -p CPUWeight --value machine.slice",
        "hostname": "hostname",
        "packages": f"dpkg-query -W -f '${{Package}} ${{db:Status-Status}}\\n' {quoted(PACKAGES)}",
        "modules": f"for m in {quoted(LOADED_MODULES)}; do [ ! -d /sys/module/$m ] || echo $m; done",
        "vlan module": "modinfo -F filename 8021q",
        "kvm device": "stat -c '%F %t:%T' /dev/kvm",
        "virtualisation": "grep -o -w -m 1 -E 'svm|vmx' /proc/cpuinfo | head -n 1",
        "nested": "cat /sys/module/kvm_*/parameters/nested",
        "digests": f"sha256sum {quoted(files)}",
        "modes": f"stat -c '%a %u:%g %n' {quoted(files)}",
        "units": f"systemctl show -p Id -p ActiveState -p WantedBy {quoted(UNITS)}",
        "failed units": "systemctl list-units --failed --plain --no-legend",
        "system state": "systemctl is-system-running",
        "cloud-init result": "cat /var/lib/cloud/data/result.json",
        "cloud-init at later boots": "stat -c %F /etc/cloud/cloud-init.disabled",
        "cloud-init status": "cat /var/lib/cloud/data/status.json",
        "instance": "cat /var/lib/cloud/data/instance-id",
        "bond": "cat /proc/net/bonding/bond0",
        "addresses": "ip -j address",
        "routes": "ip -j -4 route",
        "stp": "cat /sys/class/net/br0/bridge/stp_state",
        "ports of all bridges": "for b in /sys/class/net/br*; do for p in $b/brif/*; do echo ${b##*/} ${p##*/} "
        "$(cat $p/state); done; done",
        "vlans": "cat /proc/net/vlan/config 2>/dev/null || true",
        "bridge ports": "cd /sys/class/net/br0/brif && for p in *; do echo $p $(cat $p/state); done",
        "names": f"getent hosts {quoted(names)}",
        "sysctl": f"sysctl -n {quoted(KERNEL_SETTINGS)}",
        "volume": "lvs --reportformat json --units m --nosuffix -o vg_name,lv_name,lv_attr,lv_size,devices",
        "storage disk": "readlink -f /dev/disk/by-id/virtio-drbd",
        "drbd link": f"readlink -f /dev/drbd/by-res/{storage.resource}",
        "drbd settings": f"drbdsetup show {storage.resource} | sed '/shared-secret/s/\".*\"/SECRET/'",
        "file system": f"blkid -p -o export /dev/drbd{storage.minor}",
        "ocfs2 layout": f"debugfs.ocfs2 -R stats /dev/drbd{storage.minor} 2>&1 | grep 'Cluster Size Bits'",
        "direct writes": f"python3 -c {quoted([program])} {mount}/.direct-writes-{node.name}",
        "attributes": f"lsattr {mount}/*.qcow2",
        "ocfs2 nodes": f"cd {cluster}/node && grep -H '' */num */ipv4_address */ipv4_port",
        "ocfs2 heartbeat": f"cat {cluster}/heartbeat/dead_threshold",
        "ocfs2 timeout": f"cat {cluster}/idle_timeout_ms",
        "ocfs2 stack": "cat /sys/fs/ocfs2/cluster_stack",
        "ocfs2 lock manager": LOCK_MANAGERS,
        "ocfs2 mount program": "readlink -f /sbin/mount.ocfs2",
        "ocfs2 mounted by": f"mounted.ocfs2 -f /dev/drbd{storage.minor}",
        "quorum": "corosync-quorumtool -s",
        "links": "corosync-cfgtool -s",
        "totem": "corosync-cmapctl",
        "cib": "cibadmin --query",
        "fence list": _fence_list(lab, "/etc/cluster/fence_xvm.key"),
        "fence list with a wrong key": f"head -c 512 /dev/urandom > {WRONG_KEY}; {_fence_list(lab, WRONG_KEY, 3)}; "
        f"code=$?; rm -f {WRONG_KEY}; exit $code",
        "fence devices": f"stonith_admin -l {peer.name}",
        "libvirt": f"virsh -c qemu:///system {shlex.quote(libvirt_commands(lab))}",
        "definitions": f"cat {quoted(f'/etc/libvirt/qemu/{guest.domain}.xml' for guest in lab.guests)}",
        "kept definitions": f"cat {quoted(f'/var/lib/lab/guests/{guest.domain}.xml' for guest in lab.guests)}",
        "emulators": "for p in $(pidof qemu-system-x86_64); do tr '\\0' ' ' < /proc/$p/cmdline; echo; done; true",
        "heartbeats": f"for f in {quoted(addressing.heartbeat_path(lab, guest) for guest in lab.guests)}; do "
        "echo ${f##*/} $(dd if=$f bs=4096 count=1 iflag=direct status=none | head -n 1); done",
        "guest files": f"cd {mount} && stat -f -c %T . && stat -c '%n %a %u %s' *",
        "libvirt of peer": f"virsh -q -c qemu+ssh://{peer.name}/system hostname",
    }  # fmt: skip


def libvirt_commands(lab: Lab) -> str:
    """Everything that is asked of a node's libvirt, for one virsh; lines ``PART name`` begin the parts.

    Virsh goes on after a command that failed and ends as its last one did, so that one is a line that cannot fail: a
    node need not know the last guest.
    """
    parts = {
        "defined": "list --name --all",
        "autostarted": "list --name --all --autostart",
        "pool": f"pool-info {lab.storage.pool}",
        "pool-definition": f"pool-dumpxml {lab.storage.pool}",
    }
    for guest in lab.guests:
        parts[f"live-{guest.domain}"] = f"dumpxml {guest.domain}"
    return "; ".join([*(f"echo {PART} {name}; {command}" for name, command in parts.items()), f"echo {PART} end"])


def _fence_list(lab: Lab, key: str, limit_s: int = 10) -> str:
    gateway = addressing.management_gateway(lab)
    return f"fence_virt -T {gateway} -p {lab.fencing.port} -k {key} -t {limit_s} -o list"


def guest_questions(guest: Guest, files: list[str]) -> dict[str, str]:
    """Everything that is asked of a guest.

    Args:
        guest: the guest.
        files: absolute paths of its personal files.
    """
    own = {
        "dns": {},
        "radius": {
            "accounting": f"sqlite3 {RADIUS_DATABASE} {shlex.quote(ACCOUNTING)}",
            "logins": f"sqlite3 {RADIUS_DATABASE} {shlex.quote(LOGINS)}",
        },
        "web": {
            "entries": f"mariadb -N -B lab -e {shlex.quote(ENTRIES)}",
            "engine": f"mariadb -N -B -e {shlex.quote(ENGINE)}",
        },
        "telephony": {
            "extensions": "asterisk -rx 'sip show peers'",
            # proc(5): also of a thread, by its number; Asterisk's first one is the process.
            "slack": "cat /proc/$(pgrep -o -x asterisk)/timerslack_ns",
        },
    }[guest.service]
    return {
        "clock": "date +%s",
        "hostname": "hostname",
        "boot_id": "cat /proc/sys/kernel/random/boot_id",
        "uptime": "cat /proc/uptime",
        "address": "ip -4 -o address show dev eth0",
        "mac": "cat /sys/class/net/eth0/address",
        "random addresses": RANDOM_ADDRESSES,
        "interrupts for sent packets": "cat /sys/module/virtio_net/parameters/napi_tx",
        "route": "ip -4 route show default",
        "root": "grep ' / ' /proc/mounts",
        "disk size": "cat /sys/class/block/vda/size",
        "memory": "grep MemTotal /proc/meminfo",
        "processors": "grep -c '^processor' /proc/cpuinfo",
        "hypervisor flag": "grep -m 1 -o -w hypervisor /proc/cpuinfo",
        # Not ps: guests have different ones. A process that ends meanwhile is none.
        "processes": "cat /proc/[0-9]*/status 2>/dev/null | grep -E '^(Name|Uid):'",
        "users": "cat /etc/passwd",
        "tcp": "cat /proc/net/tcp",
        "udp": "cat /proc/net/udp",
        "resolver": "cat /etc/resolv.conf",
        "digests": f"sha256sum {quoted(files)}",
        "heartbeat": "head -n 1 /dev/vdc",
        **own,
    }


def libvirt(look: Look, part: str) -> str:
    """One part of what a node's libvirt said."""
    texts = re.split(rf"^{PART} (\S+)(?:\n|\Z)", look.text("libvirt"), flags=re.MULTILINE)
    parts = dict(zip(texts[1::2], texts[2::2], strict=True))
    assert part in parts, f"{look.host}: libvirt said nothing about {part}"
    return parts[part].strip()
