import signal
import socket

from kit import sockets, waiting
from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, client={"drain_deadline": "60s"}, server={"drain_deadline": "60s"})
    server = mesh.serve()
    with mesh.connect(server.port) as connection:
        connection.sendall(b"before")
        check.assertEqual(sockets.receive_exactly(connection, 6), b"before")
        for node in (mesh.client, mesh.server):
            node.proxy.process.signal(signal.SIGTERM)

        def refused():
            try:
                mesh.exchange(server.port)
                return False
            except (OSError, AssertionError):
                return True
        waiting.until(refused, "a draining proxy still takes connections")
        connection.sendall(b"after")
        check.assertEqual(sockets.receive_exactly(connection, 5), b"after")
        connection.shutdown(socket.SHUT_WR)
        check.assertEqual(sockets.receive_all(connection), b"")
    for node in (mesh.client, mesh.server):
        check.assertEqual(node.proxy.process.wait(), 0)
