import hashlib
import pathlib
import socket

from kit import sockets, waiting
from kit.mesh import Mesh
from kit.scope import check

SIZE = 64 << 20


def resident_bytes(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def test(scope):
    def send_much(connection):
        block = bytes(range(256)) * 256
        for _ in range(SIZE // len(block)):
            connection.sendall(block)
            sent[0] += len(block)
        connection.shutdown(socket.SHUT_WR)

    sent = [0]
    mesh = Mesh(scope)
    proxies = [mesh.client.proxy.process, mesh.server.proxy.process]
    server = mesh.serve(send_much)
    with mesh.connect(server.port, receive_buffer=4096) as connection:
        first = sockets.receive_exactly(connection, 1 << 16)
        before = [resident_bytes(process) for process in proxies]

        # Nobody reads: what was sent stops growing, far from the end.
        seen = [-1, 0]

        def stalled():
            seen[1] = seen[1] + 1 if seen[0] == sent[0] else 0
            seen[0] = sent[0]
            return seen[1] > 50
        waiting.until(stalled, "the server goes on sending although nobody reads")
        check.assertLess(sent[0], SIZE // 2)
        for process, resident in zip(proxies, before):
            check.assertLess(resident_bytes(process) - resident, 4 << 20, f"{process.name} buffers without bound")

        digest = hashlib.sha256(first)
        digest.update(sockets.receive_exactly(connection, SIZE - len(first)))
        check.assertEqual(connection.recv(1), b"")
    check.assertEqual(digest.hexdigest(), hashlib.sha256(bytes(range(256)) * (SIZE // 256)).hexdigest())
