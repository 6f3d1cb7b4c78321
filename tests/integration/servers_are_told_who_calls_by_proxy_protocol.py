import ipaddress
import socket

from kit import balancers, sockets
from kit.mesh import CLIENT_ID, CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, Mesh
from kit.scope import check

RAW, LINE, NGINX, HAPROXY_V1, HAPROXY_V2, UNTOLD = 8081, 8082, 8083, 8084, 8085, 8086
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SPIFFE_ID_TLV, SSL_TLV = 0xE5, 0x20


def read_v2(connection):
    """(source, source port, destination, destination port, TLVs by type)"""
    head = sockets.receive_exactly(connection, 16)
    check.assertEqual(head[:13], SIGNATURE + b"\x21")
    rest = sockets.receive_exactly(connection, int.from_bytes(head[14:16], "big"))
    size = {0x11: 4, 0x21: 16}[head[13]]
    source, destination, ports = rest[:size], rest[size:2 * size], rest[2 * size:2 * size + 4]
    tlvs, rest = {}, rest[2 * size + 4:]
    while rest:
        end = 3 + int.from_bytes(rest[1:3], "big")
        tlvs[rest[0]], rest = rest[3:end], rest[end:]
    return (str(ipaddress.ip_address(source)), int.from_bytes(ports[:2], "big"),
            str(ipaddress.ip_address(destination)), int.from_bytes(ports[2:], "big"), tlvs)


def test(scope):
    heard = []

    def greet(connection):
        # Speaks first, as soon as it knows who calls, and answers once the caller has ended its side.
        heard.append(read_v2(connection))
        connection.sendall(b"220 ready")
        connection.sendall(b"%d bytes" % len(sockets.receive_all(connection)))

    mesh = Mesh(scope, server={"capture": {
        "outbound_address": ":15001", "inbound_address": ":15006",
        "proxy_protocol": [{"ports": [LINE, HAPROXY_V1], "version": "V1"},
                           {"ports": [RAW, NGINX, HAPROXY_V2], "version": "V2"}]}})
    mesh.serve(greet, RAW)
    mesh.serve(sockets.echo, LINE)
    mesh.serve(sockets.echo, UNTOLD)
    balancers.nginx(scope, mesh.server.namespace, f"""http {{
  {balancers.NGINX_PATHS.format(folder=scope.folder)}
  server {{
    listen 0.0.0.0:{NGINX} proxy_protocol; listen [::]:{NGINX} proxy_protocol;
    set $caller "$proxy_protocol_addr $proxy_protocol_port";
    location / {{ return 200 "$caller $proxy_protocol_server_addr $proxy_protocol_server_port"; }}
  }}
}}""", "127.0.0.1", NGINX)
    balancers.haproxy(scope, mesh.server.namespace, f"""
frontend told
    mode http
    bind :::{HAPROXY_V1} v4v6 accept-proxy
    bind :::{HAPROXY_V2} v4v6 accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
""", "127.0.0.1", HAPROXY_V1)

    for v6, client, server in ((False, CLIENT_V4, SERVER_V4), (True, CLIENT_V6, SERVER_V6)):
        with mesh.connect(RAW, v6) as connection:
            check.assertEqual(sockets.receive_exactly(connection, 9), b"220 ready")
            connection.sendall(b"x" * 1000)
            connection.shutdown(socket.SHUT_WR)
            check.assertEqual(sockets.receive_all(connection), b"1000 bytes")
            *ends, tlvs = heard.pop()
            check.assertEqual(ends, [client, connection.getsockname()[1], server, RAW])
            check.assertEqual(tlvs[SPIFFE_ID_TLV], CLIENT_ID.encode())
            check.assertEqual(tlvs[SSL_TLV], b"\x05\0\0\0\0\x21\0\7TLSv1.3")
        with mesh.connect(LINE, v6) as connection:
            connection.shutdown(socket.SHUT_WR)
            check.assertEqual(sockets.receive_all(connection).decode(), f"PROXY TCP{6 if v6 else 4} {client} {server} "
                              f"{connection.getsockname()[1]} {LINE}\r\n")
        for port in (NGINX, HAPROXY_V1, HAPROXY_V2):
            with mesh.connect(port, v6) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                status, _, body = sockets.receive_all(connection).decode().partition("\r\n\r\n")
                check.assertIn(" 200 ", status.splitlines()[0])
                check.assertEqual(body, f"{client} {connection.getsockname()[1]} {server} {port}")
    mesh.exchange(UNTOLD)
