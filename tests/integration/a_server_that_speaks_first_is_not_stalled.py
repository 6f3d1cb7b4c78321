import socket

from kit import processes, sockets
from kit.mesh import CLIENT_ID, Mesh
from kit.scope import check

BANNER = b"220 ready\r\n"


def test(scope):
    def greet(connection):
        connection.sendall(BANNER)
        sockets.echo(connection)

    mesh = Mesh(scope, server={"inbound": {"rules": [
        {"name": "anyone", "peers": [CLIENT_ID], "allow_plaintext": True}]}})
    server = mesh.serve(greet)

    def hear_banner():
        with mesh.connect(server.port) as connection:
            check.assertEqual(sockets.receive_exactly(connection, len(BANNER)), BANNER)
            connection.sendall(b"EHLO")
            check.assertEqual(sockets.receive_exactly(connection, 4), b"EHLO")
            connection.shutdown(socket.SHUT_WR)
            check.assertEqual(sockets.receive_all(connection), b"")

    hear_banner()  # by mutual TLS
    assert processes.run(["lanyard", "capture", "down"], mesh.client.namespace).returncode == 0
    hear_banner()  # as plaintext, where the proxy sees no first bytes to decide by
