import threading

from kit import sockets
from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    def wait_for_reset(connection):
        sockets.receive_exactly(connection, 5)
        heard.set()
        try:
            sockets.receive_all(connection)
            ends.append("end")
        except ConnectionResetError:
            ends.append("reset")
        told.set()

    ends, heard, told = [], threading.Event(), threading.Event()
    mesh = Mesh(scope)
    server = mesh.serve(wait_for_reset)
    connection = mesh.connect(server.port)
    connection.sendall(b"hello")
    check.assertTrue(heard.wait(sockets.TIMEOUT_S), "the server does not hear its client")
    sockets.reset(connection)
    mesh.client.proxy.wait_for_closed(direction="outbound", close_reason="app_reset")
    check.assertTrue(told.wait(sockets.TIMEOUT_S), "the server never learned that its client is gone")
    check.assertEqual(ends, ["reset"], "a reset must not look like a whole message")

    def reset_at_once(connection):
        sockets.receive_exactly(connection, 5)
        sockets.reset(connection)

    server = mesh.serve(reset_at_once)
    with mesh.connect(server.port) as connection:
        connection.sendall(b"hello")
        with check.assertRaises(ConnectionResetError):
            sockets.receive_all(connection)
    mesh.server.proxy.wait_for_closed(direction="inbound", close_reason="app_reset")
