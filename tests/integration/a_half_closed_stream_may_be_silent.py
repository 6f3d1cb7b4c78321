"""A caller ends its side and waits for an answer. It comes, though nothing is said for longer than connection tracking
remembers a half-closed connection, and with it where a captured one was led."""

import pathlib
import socket
import threading

from kit import sockets
from kit.mesh import Mesh
from kit.scope import check

_REMEMBERED = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait")
REMEMBERED_S = 40  # 60 by default
SILENT_S = 48


def test(scope):
    mesh = Mesh(scope)
    with mesh.client.namespace.entered():
        _REMEMBERED.write_text(f"{REMEMBERED_S}\n")
    never = threading.Event()

    def answer_late(connection):
        question = sockets.receive_all(connection)
        never.wait(SILENT_S)
        connection.sendall(b"the answer to " + question)

    server = mesh.serve(answer_late)
    with mesh.connect(server.port) as connection:
        connection.settimeout(SILENT_S + 60)
        connection.sendall(b"a question")
        connection.shutdown(socket.SHUT_WR)
        check.assertEqual(sockets.receive_all(connection), b"the answer to a question")
