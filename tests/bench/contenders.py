"""Who is compared. A contender's function writes configuration and returns the commands of its outbound proxy
(plain TCP in, mutual TLS out) and its inbound proxy (mutual TLS in, plain TCP out).

To add one: write such a function and list it in CONTENDERS. Peers that tests/bench/peers.sh installs are in peers.py.
"""

import dataclasses
import os
import pathlib
import typing

import certificates
import peers
from processes import Failure, program
from setups import Mode


@dataclasses.dataclass
class Contender:
    commands: typing.Callable           # Setup -> the two commands; none: the load goes straight to the server
    lacks: typing.Callable = lambda: None  # () -> None, or why it cannot run here and what to do
    version: tuple = ()                 # a command whose first line says which it is
    encrypts: bool = True               # False: no TLS anywhere, a limit and no competitor
    resumes: bool = True                # its client resumes TLS sessions, if let
    pools: bool = False                 # new connections need no handshake of their own
    optional: bool = False              # left out, with a word, where it is not installed


def lanyard(setup):
    files = "{{certificate: {0}.chain, key: {0}.key, bundle: {1}}}"
    plain = "false" if setup.mode == Mode.DEFAULT else "true"  # the mesh protocol's streams make no handshakes
    root = setup.certificates / "root.crt"
    for side, direction, port, destination, peer in (
            ("client", "outbound", setup.outbound_port, setup.tls_port, certificates.SERVER_ID),
            ("server", "inbound", setup.tls_port, setup.server_port, certificates.CLIENT_ID)):
        (setup.directory / f"{direction}.yaml").write_text(f"""\
identity:
  files: {files.format(setup.certificates / side, root)}
workers: 1
admin: {{disabled: true}}
tls: {{full_handshakes: {"true" if setup.mode == Mode.FULL else "false"}, plain: {plain}}}
listeners:
  - name: bench
    {direction}:
      address: 127.0.0.1:{port}
      destination: 127.0.0.1:{destination}
      peers: ["{peer}"]
""")
    return _lanyard_commands(setup, "outbound", "inbound")


def lanyard_without_tls(setup):
    """Two permissive listeners that nobody speaks TLS to: the same relay, nothing encrypted, nobody verified."""
    files = "{{certificate: {0}.chain, key: {0}.key, bundle: {1}}}"
    for name, port, destination in (("first", setup.outbound_port, setup.tls_port),
                                    ("second", setup.tls_port, setup.server_port)):
        (setup.directory / f"{name}.yaml").write_text(f"""\
identity:
  files: {files.format(setup.certificates / "server", setup.certificates / "root.crt")}
workers: 1
admin: {{disabled: true}}
listeners:
  - name: bench
    inbound:
      address: 127.0.0.1:{port}
      destination: 127.0.0.1:{destination}
      peers: ["{certificates.CLIENT_ID}"]
      allow_plaintext: true
""")
    return _lanyard_commands(setup, "first", "second")


def _lanyard_commands(setup, *names):
    if not setup.lanyard_proxy.exists():
        raise Failure(f"{setup.lanyard_proxy} does not exist: bazel build //proxy:lanyard-proxy")
    return [[setup.lanyard_proxy, "run", "--config", setup.directory / f"{name}.yaml"] for name in names]


_HAPROXY = """\
global
    nbthread 1
    maxconn 9000
    log stdout format raw daemon info
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-server-options ssl-min-ver TLSv1.3
    ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
{more}

defaults
    mode tcp
    log global
    option tcplog
    timeout connect 5s
    timeout client 1h
    timeout server 1h

frontend in
    bind 127.0.0.1:{port}{bind}
    default_backend out

backend out
    server peer 127.0.0.1:{destination}{server}
"""


def haproxy(setup):
    directory = setup.certificates
    tls = f"crt {directory}/%s.pem ca-file {directory}/root.crt verify required"
    more, on_bind, on_server = "", "", ""
    if setup.mode == Mode.FULL:
        more, on_bind, on_server = "    tune.ssl.cachesize 0", " no-tls-tickets", " no-ssl-reuse no-tls-tickets"
    (setup.directory / "outbound.cfg").write_text(_HAPROXY.format(
        more=more, port=setup.outbound_port, bind="", destination=setup.tls_port,
        server=f" ssl {tls % 'client'} verifyhost {certificates.SERVER_NAME}{on_server}"))
    (setup.directory / "inbound.cfg").write_text(_HAPROXY.format(
        more=more, port=setup.tls_port, bind=f" ssl {tls % 'server'}{on_bind}", destination=setup.server_port,
        server=""))
    return [[program("haproxy"), "-db", "-f", setup.directory / f"{direction}.cfg"]
            for direction in ("outbound", "inbound")]


_NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/{direction}.pid;
{user}
events {{
    worker_connections 9000;
}}
stream {{
    log_format connection '$remote_addr [$time_iso8601] $status $bytes_sent $bytes_received $session_time '
                          '"$ssl_client_s_dn"';
    access_log {directory}/{direction}.access.log connection;
    proxy_timeout 1h;
    proxy_connect_timeout 5s;
    server {{
        listen 127.0.0.1:{port}{listen} backlog=4096;
        proxy_pass 127.0.0.1:{destination};
{tls}
    }}
}}
"""


def nginx(setup):
    user = "user root;" if os.geteuid() == 0 else ""
    directory = setup.certificates
    on_off, cache = ("off", "off") if setup.mode == Mode.FULL else ("on", "none")
    outbound = f"""\
        proxy_ssl on;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        proxy_ssl_session_reuse {on_off};
        proxy_ssl_certificate {directory}/client.chain;
        proxy_ssl_certificate_key {directory}/client.key;
        proxy_ssl_trusted_certificate {directory}/root.crt;
        proxy_ssl_verify on;
        proxy_ssl_verify_depth 2;
        proxy_ssl_name {certificates.SERVER_NAME};"""
    inbound = f"""\
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_session_tickets {on_off};
        ssl_session_cache {cache};
        ssl_certificate {directory}/server.chain;
        ssl_certificate_key {directory}/server.key;
        ssl_client_certificate {directory}/root.crt;
        ssl_verify_client on;
        ssl_verify_depth 2;"""
    commands = []
    for direction, port, listen, destination, tls in (
            ("outbound", setup.outbound_port, "", setup.tls_port, outbound),
            ("inbound", setup.tls_port, " ssl", setup.server_port, inbound)):
        path = setup.directory / f"{direction}.conf"
        path.write_text(_NGINX.format(directory=setup.directory, direction=direction, user=user, port=port,
                                      listen=listen, destination=destination, tls=tls))
        commands.append([program("nginx"), "-p", setup.directory, "-e",
                         setup.directory / f"{direction}.error.log", "-c", path])
    return commands


def _lacks_haproxy():
    return None if program("haproxy") else "haproxy is not installed: apt-get install haproxy"


def _lacks_nginx():
    if program("nginx") is None:
        return "nginx is not installed: apt-get install nginx-light"
    if not pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so").exists():
        return "nginx has no stream module: apt-get install libnginx-mod-stream"
    return None


def _no_commands(_):
    return []


# direct is the load without any proxy, aead what sealing and opening its records costs without anything around it
# (measured apart, see measure.py), relay a Lanyard pair without TLS: what no proxy of this kind can fall below.
CONTENDERS = {
    "direct": Contender(_no_commands, encrypts=False),
    "aead": Contender(_no_commands, encrypts=False),
    "relay": Contender(lanyard_without_tls, encrypts=False),
    "lanyard": Contender(lanyard, pools=True),
    "haproxy": Contender(haproxy, _lacks_haproxy, ("haproxy", "-v")),
    "nginx": Contender(nginx, _lacks_nginx, ("nginx", "-v")),
    "ghostunnel": Contender(peers.ghostunnel, peers.lacks_ghostunnel, ("ghostunnel", "--version"), resumes=False,
                            optional=True),
    "envoy": Contender(peers.envoy, peers.lacks_envoy, ("envoy", "--version"), optional=True),
}
