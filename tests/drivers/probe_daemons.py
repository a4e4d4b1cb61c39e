"""Real daemons on loopback addresses for the tests of probes, and the small lab that they play.

Needs the Debian packages dnsmasq-base, unbound, freeradius, kamailio, sip-tester and iputils-ping; no privileges,
except for the raw socket of an ICMP echo. Nothing leaves the loopback interface: every daemon answers on addresses of
127.0.0.0/8 alone, and the name server that asks another one knows no other server than that.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from urllib.parse import parse_qs

from lab.core.addressing import guest_ip
from lab.core.model import Cluster, Fencing, Guest, ImageSource, Lab, Network, Secrets, ServiceKind, Storage
from lab.doors.clock import Deadline, WaitError, wait_until
from lab.drivers.probes import CUSTOMER_ADDRESS, WWW_ADDRESS, ServicePorts

ZONE = "provider.example"
PORTS = ServicePorts(dns=5300, radius_authentication=18120, radius_accounting=18130, http=8080, sip=5060)
#: Not the same for two runs at once: to be authoritative on such an address, dnsmasq has to bind to all addresses.
AUTHORITY_PORT = 20000 + os.getpid() % 10000
#: A /24 of this process's own in 127.64.0.0/10, so that two runs of the tests do not meet.
SUBNET = IPv4Network((int(IPv4Address("127.64.0.0")) + os.getpid() % 2**14 * 256, 24))
#: For documentation only (RFC 5737): no interface has it, so binding to it fails before anything is sent.
NOWHERE = IPv4Address("192.0.2.1")


def address(number: int) -> IPv4Address:
    return SUBNET.network_address + number


GATEWAY = address(1)


def make_lab() -> Lab:
    services: list[tuple[str, ServiceKind]] = [
        ("Passata", "dns"),
        ("Speedauth", "radius"),
        ("Masterauth", "radius"),
        ("Soldi", "web"),
        ("SimplesIP", "telephony"),
    ]
    guests = tuple(
        Guest(name, index, "brina", service, 1, 128, 512, ImageSource())
        for index, (name, service) in enumerate(services, start=1)
    )
    network = Network(SUBNET, IPv4Network("127.0.2.0/24"), zone=ZONE)
    return Lab("probed", (), guests, network, Storage(), Cluster(), Fencing())


def make_secrets() -> Secrets:
    return Secrets(
        login_private_key="",
        login_public_key="",
        cluster_private_key="",
        cluster_public_key="",
        host_private_keys={},
        host_public_keys={},
        corosync_authkey=b"",
        fence_key=b"",
        drbd_shared_secret="",
        radius_secret="shared-with-access-servers",
        radius_password="password-of-subscriber",
        database_password="",
        sip_passwords={"101": "password-of-101", "102": "password-of-102"},
        console_password="",
    )


LAB = make_lab()
SECRETS = make_secrets()


def server_of(name: str) -> IPv4Address:
    return next(guest_ip(LAB, guest) for guest in LAB.guests if guest.name == name)


@contextmanager
def running(argv: list[str], work: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """A daemon in the foreground, from when it is ready until the end of the block."""
    log = work / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=work)
    try:
        wait_until(
            ready,
            what=f"waiting for {argv[0]}",
            deadline=Deadline.after(15),
            interval_s=0.05,
            hopeless=lambda: "" if process.poll() is None else f"it ended with {process.returncode}",
            details=lambda: log.read_text(errors="replace").splitlines()[-20:],
        )
        yield
    except WaitError as error:
        error.add_note("\n".join(error.details))
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


def listens(place: IPv4Address, port: int) -> bool:
    """Whether a UDP datagram to the place is taken by a socket, seen by the refusal of an empty one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((str(GATEWAY), 0))
        client.connect((str(place), port))
        client.settimeout(0.05)
        try:
            client.send(b"")
            client.recv(1)
        except ConnectionRefusedError:
            return False
        except TimeoutError:
            return True
        return True


def _make(work: Path, name: str, files: dict[str, str]) -> Path:
    place = work / name
    place.mkdir()
    for path, text in files.items():
        (place / path).write_text(text)
    return place


@contextmanager
def name_servers(work: Path) -> Iterator[None]:
    """Dnsmasq as authority for the zone at the gateway (as in a lab), Unbound as Passata, which asks that one alone."""
    recursor = server_of("Passata")
    authority = [
        "dnsmasq",
        "--conf-file=/dev/null",
        "--keep-in-foreground",
        "--log-facility=-",
        "--pid-file=",
        "--no-resolv",
        "--no-hosts",
        f"--port={AUTHORITY_PORT}",
        f"--listen-address={GATEWAY}",
        f"--auth-server=ns.{ZONE},{GATEWAY}",
        f"--auth-zone={ZONE}",
        f"--host-record=www.{ZONE},{WWW_ADDRESS}",
        f"--host-record=customers.{ZONE},{CUSTOMER_ADDRESS}",
        f"--cname=*.customers.{ZONE},customers.{ZONE}",
        f"--host-record=two.{ZONE},{WWW_ADDRESS}",
        f"--host-record=two.{ZONE},{CUSTOMER_ADDRESS}",
        f"--txt-record=text.{ZONE},no address",
    ]
    configuration = f"""
        server:
            interface: {recursor}@{PORTS.dns}
            outgoing-interface: {recursor}
            access-control: 127.0.0.0/8 refuse
            access-control: {GATEWAY}/32 allow
            do-daemonize: no
            chroot: ""
            directory: ""
            username: ""
            pidfile: ""
            use-syslog: no
            num-threads: 1
            module-config: "iterator"
            do-not-query-localhost: no
            local-zone: "." refuse
            local-zone: "{ZONE}." transparent
        remote-control:
            control-enable: no
        stub-zone:
            name: "{ZONE}"
            stub-addr: {GATEWAY}@{AUTHORITY_PORT}
    """
    place = _make(work, "recursor", {"unbound.conf": configuration})
    with (
        running(authority, _make(work, "authority", {}), lambda: listens(GATEWAY, AUTHORITY_PORT)),
        running(["unbound", "-d", "-p", "-c", "unbound.conf"], place, lambda: listens(recursor, PORTS.dns)),
    ):
        yield


def _one_a_line(text: str) -> str:
    """FreeRADIUS wants each setting and each brace on a line of its own."""
    return text.replace("{ ", "{\n").replace(" }", "\n}").replace(" ; ", "\n")


@contextmanager
def radius_servers(work: Path) -> Iterator[Path]:
    """FreeRADIUS at both servers' addresses; yields the file in which accounting records are kept."""
    listeners = "".join(
        f"listen {{ type = {kind} ; ipaddr = {server_of(name)} ; port = {port} }} ; "
        for name in ("Speedauth", "Masterauth")
        for kind, port in (("auth", PORTS.radius_authentication), ("acct", PORTS.radius_accounting))
    )
    place = _make(
        work,
        "radius",
        {
            "users": f'subscriber Cleartext-Password := "{SECRETS.radius_password}"\nanyone Auth-Type := Accept\n',
            "radiusd.conf": _one_a_line(f"""
                prefix = /usr
                name = radius
                libdir = /usr/lib/freeradius
                logdir = {work}/radius
                run_dir = {work}/radius
                raddbdir = {work}/radius
                pidfile = {work}/radius/pid
                max_request_time = 5
                cleanup_delay = 0
                log {{ destination = stdout }}
                security {{ max_attributes = 200 ; reject_delay = 0 ; status_server = no }}
                thread pool {{ start_servers = 1 ; max_servers = 2 ; min_spare_servers = 1 ; max_spare_servers = 2 }}
                client lab {{ ipaddr = {GATEWAY} ; secret = {SECRETS.radius_secret}
                    require_message_authenticator = yes }}
                modules {{
                    pap {{ }}
                    files {{ usersfile = {work}/radius/users }}
                    detail {{ filename = {work}/radius/accounting ; permissions = 0600 }}
                }}
                server default {{
                    {listeners}
                    authorize {{ files ; pap }}
                    authenticate {{ Auth-Type PAP {{ pap }} }}
                    accounting {{ detail }}
                }}
            """),
        },
    )
    with running(
        ["freeradius", "-f", "-d", str(place), "-l", "stdout"],
        place,
        lambda: listens(server_of("Masterauth"), PORTS.radius_accounting),
    ):
        yield place / "accounting"


@contextmanager
def exchange(work: Path) -> Iterator[None]:
    """Kamailio as registrar and proxy; it takes 486 (busy) for the extension 104, and tells by OPTIONS who is there."""
    modules = ("tm", "sl", "rr", "pv", "textops", "siputils", "auth", "usrloc", "registrar")
    place = _make(
        work,
        "exchange",
        {
            "kamailio.cfg": f"""#!KAMAILIO
                debug=1
                log_stderror=yes
                children=1
                disable_tcp=yes
                auto_aliases=no
                dns=no
                rev_dns=no
                listen=udp:{server_of("SimplesIP")}:{PORTS.sip}
                {"".join(f'loadmodule "{name}.so"{chr(10)}' for name in modules)}
                modparam("usrloc", "db_mode", 0)
                request_route {{
                    if (has_totag()) {{
                        if (loose_route()) {{ t_relay(); exit; }}
                        if (is_method("ACK") && t_check_trans()) {{ t_relay(); }}
                        exit;
                    }}
                    if (is_method("ACK")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
                    if (is_method("OPTIONS")) {{
                        if ($rU == $null || lookup("location")) {{ sl_send_reply("200", "OK"); exit; }}
                        sl_send_reply("404", "Not here"); exit;
                    }}
                    $var(password) = "password-of-" + $fU;
                    if (is_method("REGISTER")) {{
                        if (!pv_www_authenticate("$td", "$var(password)", "0")) {{ www_challenge("$td", "1"); exit; }}
                        save("location"); exit;
                    }}
                    if (!pv_proxy_authenticate("$fd", "$var(password)", "0")) {{ proxy_challenge("$fd", "1"); exit; }}
                    consume_credentials();
                    record_route();
                    if ($rU == "104") {{ sl_send_reply("486", "Busy here"); exit; }}
                    if (!lookup("location")) {{ sl_send_reply("404", "Not here"); exit; }}
                    t_relay();
                }}
            """,
        },
    )
    command = ["kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-m", "16", "-M", "4", "-Y", str(place)]
    with running(command, place, lambda: listens(server_of("SimplesIP"), PORTS.sip)):
        yield


class Page(BaseHTTPRequestHandler):
    """The page of rows as the management system offers it; subclasses misbehave."""

    rows: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        number = parse_qs(body)["number"][0]
        self.rows.append(number)
        self.answer(json.dumps({"stored": int(number), "rows": len(self.rows)}))

    def do_GET(self) -> None:
        self.answer("<ul>" + "".join(f"<li>{row}</li>" for row in self.rows) + "</ul>")

    def answer(self, text: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def web_server(place: IPv4Address, handler: type[Page] = Page) -> Iterator[list[str]]:
    """A web server of its own rows, which it yields."""
    rows: list[str] = []
    with ThreadingHTTPServer((str(place), PORTS.http), type("Rows", (handler,), {"rows": rows})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield rows
        finally:
            server.shutdown()
            thread.join()
