import random
import socket
import threading

from kit import sockets
from kit.mesh import Mesh
from kit.scope import check

SIZE = 10 << 20


def test(scope):
    upward, downward = random.Random(1).randbytes(SIZE), random.Random(2).randbytes(SIZE)

    def both_ways(connection):
        sender = threading.Thread(target=lambda: (connection.sendall(downward), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        received.append(sockets.receive_all(connection))
        sender.join()
        done.set()

    received, done = [], threading.Event()
    mesh = Mesh(scope)
    server = mesh.serve(both_ways)
    with mesh.connect(server.port) as connection:
        sender = threading.Thread(target=lambda: (connection.sendall(upward), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        arrived = sockets.receive_all(connection)
        sender.join()
    check.assertTrue(done.wait(sockets.TIMEOUT_S), server.errors)
    check.assertTrue(arrived == downward, f"{len(arrived)} bytes came down, or they differ")
    check.assertTrue(received[0] == upward, f"{len(received[0])} bytes went up, or they differ")
