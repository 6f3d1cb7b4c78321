from kit import sockets
from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, server={"drain_deadline": "1s"})
    server = mesh.serve()
    with mesh.connect(server.port) as connection:
        connection.sendall(b"before")
        check.assertEqual(sockets.receive_exactly(connection, 6), b"before")
        check.assertEqual(mesh.server.proxy.process.stop(), 0)
        mesh.server.proxy.wait_for_closed(direction="inbound", close_reason="drain_deadline")
        try:
            check.assertEqual(connection.recv(1), b"")
        except ConnectionResetError:
            pass
