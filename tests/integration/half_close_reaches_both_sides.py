import socket

from kit import sockets, waiting
from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    def count_then_answer(connection):
        # Answers only once the client has ended its side.
        connection.sendall(b"%d bytes" % len(sockets.receive_all(connection)))

    mesh = Mesh(scope)
    server = mesh.serve(count_then_answer)
    with mesh.connect(server.port) as connection:
        connection.sendall(b"x" * 1000)
        connection.shutdown(socket.SHUT_WR)
        check.assertEqual(sockets.receive_all(connection), b"1000 bytes")

    def end_first(connection):
        connection.sendall(b"that is all")
        connection.shutdown(socket.SHUT_WR)
        received.append(sockets.receive_all(connection))

    received = []
    server = mesh.serve(end_first)
    with mesh.connect(server.port) as connection:
        check.assertEqual(sockets.receive_all(connection), b"that is all")
        connection.sendall(b"still heard")
        connection.shutdown(socket.SHUT_WR)
        mesh.server.proxy.wait_for_closed(direction="inbound", count=2, close_reason="normal")
    # The proxy is done once the kernel has the bytes, which may be before the server has them.
    waiting.until(lambda: received, "the server heard nothing")
    check.assertEqual(received, [b"still heard"])
