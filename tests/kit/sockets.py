"""TCP servers and clients of tests. Every socket has a timeout: nothing hangs."""

import contextlib
import http.client
import socket
import struct
import threading

from kit.binaries import PATIENCE

TIMEOUT_S = 45 * PATIENCE
_SERVED_S = 400 * PATIENCE  # longer than a test: a connection may be idle for most of it


def connect(address, port, namespace=None, timeout_s=TIMEOUT_S, receive_buffer=None, source=None, source_port=0):
    """A connected socket, made in `namespace`; `source` and `source_port` are its own address, if it matters which."""
    with namespace.entered() if namespace else contextlib.nullcontext():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(timeout_s)
    try:
        if source or source_port:
            connection.bind((source or "", source_port))
        connection.connect((address, port))
    except OSError:
        connection.close()
        raise
    return connection


def receive_exactly(connection, size):
    received = bytearray()
    while len(received) < size:
        part = connection.recv(min(size - len(received), 1 << 16))
        if not part:
            raise AssertionError(f"the connection ended after {len(received)} of {size} bytes")
        received += part
    return bytes(received)


def receive_all(connection):
    """Up to the end of the stream; a reset is an error."""
    received = bytearray()
    while True:
        part = connection.recv(1 << 16)
        if not part:
            return bytes(received)
        received += part


def reset(connection):
    """Closes with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Server:
    """Accepts in `namespace` and runs `serve(connection)` in a thread for each. Failures are kept in `errors`."""

    def __init__(self, scope, serve, port=0, address="::", namespace=None):
        self.serve, self.errors, self.accepted = serve, [], 0
        with namespace.entered() if namespace else contextlib.nullcontext():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self.listener = socket.create_server((address, port), family=family, backlog=256,
                                                  dualstack_ipv6=address == "::")
        self.port = self.listener.getsockname()[1]
        scope.callback(self.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        connection.settimeout(_SERVED_S)
        with connection:
            try:
                self.serve(connection)
            except (OSError, AssertionError) as error:
                self.errors.append(error)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self.listener.close()


def echo(connection):
    """Sends back what comes, and ends when the other side does."""
    while True:
        part = connection.recv(1 << 16)
        if not part:
            connection.shutdown(socket.SHUT_WR)
            return
        connection.sendall(part)


def exchange(address, port, namespace, message=b"hello over the mesh"):
    """One connection: sends, reads the echo, ends. Raises OSError or AssertionError where that fails."""
    with connect(address, port, namespace) as connection:
        connection.sendall(message)
        received = receive_exactly(connection, len(message))
        connection.shutdown(socket.SHUT_WR)
        rest = receive_all(connection)
    assert received + rest == message, f"sent {message!r}, got {received + rest!r}"


def is_refused(address, port, namespace, message=b"hello"):
    """True when the connection ends (closed or reset) without a byte for us."""
    try:
        with connect(address, port, namespace) as connection:
            connection.sendall(message)
            return connection.recv(1) == b""
    except (ConnectionError, BrokenPipeError):
        return True


def get(port, path, namespace, address="127.0.0.1"):
    """(status, body) of an HTTP GET."""
    with namespace.entered() if namespace else contextlib.nullcontext():
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()
