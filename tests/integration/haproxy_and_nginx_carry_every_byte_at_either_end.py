"""Proxies that others wrote, at the other end of mutual TLS 1.3: HAProxy and nginx dial us, and are dialled by us.
Writes of all sizes around that of a record go there and come back, several connections at a time."""

import hashlib
import random
import threading

from kit import processes, sockets, waiting
from kit.binaries import PATIENCE
from kit.pair import APPLICATION_PORT, IN_PORT, SERVER_V4, Pair
from kit.scope import check

TOTAL_BYTES = 4_000_000
WRITES_BYTES = (1, 17, 1000, 4096, 16384, 16385, 70000)
CONNECTIONS = 3

HAPROXY = """\
global
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-server-options ssl-min-ver TLSv1.3
defaults
    mode tcp
    timeout connect 60s
    timeout client 60s
    timeout server 60s
listen peer
    bind {address}{on_bind}
    server next {destination}{on_server}
"""

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {folder}/{name}.pid;
error_log stderr;
events {{ worker_connections 100; }}
stream {{
    server {{
        listen {address}{on_listen};
        proxy_pass {destination};
{more}
    }}
}}
"""


def haproxy(scope, name, side, address, destination, dials):
    pem = scope.folder / f"{name}.pem"
    pem.write_text(side.svid.certificate.read_text() + side.svid.key.read_text())
    tls = f" ssl crt {pem} ca-file {side.svid.bundle} verify required"
    path = scope.folder / f"{name}.cfg"
    path.write_text(HAPROXY.format(address=address, destination=destination, on_bind="" if dials else tls,
                                   on_server=tls if dials else ""))
    return processes.Process(scope, name, ["haproxy", "-db", "-f", path], side.namespace)


def nginx(scope, name, side, address, destination, dials):
    directives = {"certificate": side.svid.certificate, "certificate_key": side.svid.key, "protocols": "TLSv1.3"}
    if dials:
        # It would look for a DNS name in our certificate, so that it does not verify us; HAProxy does.
        lines = ["proxy_ssl on;", *(f"proxy_ssl_{key} {value};" for key, value in directives.items())]
    else:
        lines = [f"ssl_{key} {value};" for key, value in directives.items()]
        lines += ["ssl_verify_client on;", f"ssl_client_certificate {side.svid.bundle};", "ssl_verify_depth 3;"]
    path = scope.folder / f"{name}.conf"
    path.write_text(NGINX.format(folder=scope.folder, name=name, address=address, destination=destination,
                                 on_listen="" if dials else " ssl", more="\n".join(lines)))
    return processes.Process(scope, name, ["nginx", "-c", path, "-e", "stderr"], side.namespace)


def transfer(pair, port, seed, errors):
    choices, sent, received = random.Random(seed), hashlib.sha256(), hashlib.sha256()
    with sockets.connect("127.0.0.1", port, pair.client.namespace, timeout_s=60 * PATIENCE) as connection:
        def send():
            left = TOTAL_BYTES
            while left > 0:
                block = choices.randbytes(min(left, choices.choice(WRITES_BYTES)))
                sent.update(block)
                connection.sendall(block)
                left -= len(block)
        sender = threading.Thread(target=send)
        sender.start()
        try:
            received.update(sockets.receive_exactly(connection, TOTAL_BYTES))
        except (OSError, AssertionError) as error:
            errors.append(f"port {port}, seed {seed}: {error!r}")
        sender.join()
    if not errors and sent.digest() != received.digest():
        errors.append(f"port {port}, seed {seed}: what came back is not what was sent")


def test(scope):
    outbound = [{"name": name, "outbound": {"address": f"127.0.0.1:{port}", "destination": f"{SERVER_V4}:{port}",
                                            "peers": ["spiffe://example.org/server"]}}
                for name, port in (("to-haproxy", 9201), ("to-nginx", 9202))]
    pair = Pair(scope, client={"listeners": outbound})
    peers = []
    for number, start in ((1, haproxy), (2, nginx)):
        peers.append(start(scope, f"{start.__name__}-server", pair.server, f"{SERVER_V4}:920{number}",
                           f"127.0.0.1:{APPLICATION_PORT}", dials=False))
        peers.append(start(scope, f"{start.__name__}-client", pair.client, f"127.0.0.1:930{number}",
                           f"{SERVER_V4}:{IN_PORT}", dials=True))

    def answers(port):
        try:  # who is asked by half of a connection, as sockets.exchange asks, ends it: both of nginx's ends do
            with sockets.connect("127.0.0.1", port, pair.client.namespace) as connection:
                connection.sendall(b"hello")
                return sockets.receive_exactly(connection, 5) == b"hello"
        except (OSError, AssertionError):
            return False

    for port in (9201, 9202, 9301, 9302):
        waiting.until(lambda port=port: answers(port),
                      lambda port=port: f"nothing comes back from port {port}\n" + "\n".join(p.tail(5) for p in peers))
        errors = []
        transfers = [threading.Thread(target=transfer, args=(pair, port, f"{port}/{number}", errors))
                     for number in range(CONNECTIONS)]
        for one in transfers:
            one.start()
        for one in transfers:
            one.join()
        check.assertEqual(errors, [])
