import socket

from kit import balancers, namespaces, sockets, waiting
from kit.certificates import Authority
from kit.proxy import Proxy, from_files
from kit.scope import check

NEAR, FAR = "10.78.0.1", "10.78.0.2"
BY_HAPROXY, BY_NGINX, HAPROXY, NGINX, IN, FRONT, OUT, APPLICATION = 9001, 9002, 7001, 7002, 9003, 7003, 9004, 9100
HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n"


def test(scope):
    near, far = namespaces.Namespace(scope, "near"), namespaces.Namespace(scope, "far")
    namespaces.join(near, far, [f"{NEAR}/24"], [f"{FAR}/24"])
    authority = Authority(scope.folder)
    client, server = authority.svid("/client"), authority.svid("/server")
    sockets.Server(scope, sockets.echo, APPLICATION, namespace=far)

    # Before the server's proxy: HAProxy by version 2, nginx by version 1. The header precedes the ClientHello.
    serving = Proxy(scope, "server-proxy", {"identity": from_files(server), "listeners": [{"name": "in", "inbound": {
        "address": f"{FAR}:{IN}", "destination": f"127.0.0.1:{APPLICATION}", "peers": [client.spiffe_id],
        "proxy_protocol": "V1",
        "accept_proxy_protocol": {"from": [f"{FAR}/32"], "timeout": "5s"}}}]}, far)
    # Before the client's: HAProxy.
    calling = Proxy(scope, "client-proxy", {"identity": from_files(client), "listeners": [
        *({"name": f"by-{port}", "outbound": {"address": f"127.0.0.1:{port}", "destination": f"{FAR}:{balancer}",
                                              "peers": [server.spiffe_id]}}
          for port, balancer in ((BY_HAPROXY, HAPROXY), (BY_NGINX, NGINX))),
        {"name": "out", "outbound": {"address": f"127.0.0.1:{OUT}", "destination": f"{FAR}:{HAPROXY}",
                                     "peers": [server.spiffe_id],
                                     "accept_proxy_protocol": {"from": ["127.0.0.0/8"]}}}]}, near)
    sections = """
listen {name}
    mode tcp
    bind {address}
    server proxy {to} send-proxy-v2
"""
    balancers.haproxy(scope, far, sections.format(name="in", address=f"{FAR}:{HAPROXY}", to=f"{FAR}:{IN}"), FAR,
                      HAPROXY)
    balancers.nginx(scope, far, f"stream {{ server {{ listen {FAR}:{NGINX}; proxy_pass {FAR}:{IN}; "
                    "proxy_protocol on; } }", FAR, NGINX)
    balancers.haproxy(scope, near, sections.format(name="out", address=f"{NEAR}:{FRONT}", to=f"127.0.0.1:{OUT}"),
                      NEAR, FRONT, name="front")

    def told(address, port, namespace):
        """What the application is told of a connection there: the echo has its proxy's header before it."""
        with sockets.connect(address, port, namespace) as connection:
            connection.sendall(b"hello")
            connection.shutdown(socket.SHUT_WR)
            line, _, rest = sockets.receive_all(connection).decode().partition("\r\n")
            check.assertEqual(rest, "hello")
            return line.split()[:4], connection.getsockname()
    for port in (BY_HAPROXY, BY_NGINX):
        # The caller is near's own application: its address there, a loopback one, is nothing to tell another machine,
        # so it is the client's proxy's that the balancer saw.
        check.assertEqual(told("127.0.0.1", port, near)[0], ["PROXY", "TCP4", NEAR, FAR])
    check.assertEqual(serving.wait_for_closed(count=2, close_reason="normal")["source"].rpartition(":")[0], NEAR)
    # A caller that the client's balancer saw is told through both proxies.
    words, own = told(NEAR, FRONT, far)
    check.assertEqual(words, ["PROXY", "TCP4", FAR, FAR])
    calling.wait_for_closed(listener="out", source=f"{own[0]}:{own[1]}")

    def refused(address, port, namespace, message, proxy, reason):
        try:  # whom it does not trust it may reset before connect(2) has returned
            with sockets.connect(address, port, namespace) as connection:
                connection.sendall(message)
                check.assertEqual(connection.recv(100), b"")
        except ConnectionError:
            pass
        proxy.wait_for_closed(close_reason=reason)
    refused(FAR, IN, near, HEADER, serving, "proxy_header_untrusted")
    refused(FAR, IN, far, b"\x16\x03\x01\0\xc8\1", serving, "proxy_header_invalid")
    refused(FAR, IN, far, HEADER[:10], serving, "proxy_header_timeout")
    refused("127.0.0.1", OUT, near, b"GET / HTTP/1.1\r\n", calling, "proxy_header_invalid")
    waiting.until(lambda: serving.connections() == [], "a refused connection is still open")
