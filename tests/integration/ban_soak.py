#!/usr/bin/env python3
"""How long a banned identity's connections live on: ban_soak.py [--trials 50] [--connections 9000] [--banned 1000]

Opens `connections` through one inbound proxy, `banned` of them by an identity that each trial bans (or, with
--by policy, takes out of the policy) while its connections send without pause. Prints, from the command's return, when
the application behind the proxy got the last byte of that identity and when the last of its connections had ended, and
what one of the other identity's connections meanwhile waited for an echo. Not part of tests/run.sh.
"""

import contextlib
import json
import os
import pathlib
import resource
import select
import socket
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from kit import soak, waiting  # noqa: E402 (needs the path above)
from kit.binaries import staged  # noqa: E402
from kit.mesh import CLIENT_ID, SERVER_ID, SERVER_V4, Mesh  # noqa: E402
from kit.proxy import Proxy  # noqa: E402
from kit.scope import Scope  # noqa: E402

MALLORY_ID, MALLORY_UID = "spiffe://example.org/mallory", 21003
DESCRIPTORS = 20000
OTHERS_PORT, MALLORY_PORT, MALLORY_ADMIN = 9001, 9002, 15100
BLOCK = b"m" * 64


def raise_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


class Application:
    """The server behind the proxy, in a process of its own: echoes the others, counts what mallory sends. The first
    byte of a connection says whose it is. Told "report", it answers with mallory's open connections, and the times of
    the last byte and the last end."""

    def __init__(self, namespace, scope):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with namespace.entered():
            self._listener = socket.create_server(("0.0.0.0", 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            try:
                self._serve(theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._listener.close()
        self._channel = ours
        scope.callback(self._end)

    def _end(self):
        self._channel.close()
        os.waitpid(self._pid, 0)

    def report(self):
        """(open connections of mallory, last byte, last end), in the monotonic clock's seconds."""
        self._channel.sendall(b"?")
        return struct.unpack("Qdd", self._channel.recv(24, socket.MSG_WAITALL))

    def _serve(self, channel):
        raise_descriptors()
        poll, open_connections, mallorys = select.epoll(), {}, set()
        last_byte = last_end = 0.0
        self._listener.setblocking(False)
        poll.register(self._listener, select.EPOLLIN)
        poll.register(channel, select.EPOLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == channel.fileno():
                    if not channel.recv(1):
                        return
                    channel.sendall(struct.pack("Qdd", len(mallorys), last_byte, last_end))
                elif descriptor == self._listener.fileno():
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            connection = self._listener.accept()[0]
                            connection.setblocking(False)
                            open_connections[connection.fileno()] = connection
                            poll.register(connection, select.EPOLLIN)
                else:
                    connection = open_connections[descriptor]
                    try:
                        data = connection.recv(4096)
                    except BlockingIOError:
                        continue
                    except OSError:
                        data = b""
                    if not data:
                        poll.unregister(connection)
                        del open_connections[descriptor]
                        connection.close()
                        if descriptor in mallorys:
                            mallorys.discard(descriptor)
                            last_end = time.monotonic()
                    elif data[:1] == b"m":
                        mallorys.add(descriptor)
                        last_byte = time.monotonic()
                    else:
                        with contextlib.suppress(OSError):
                            connection.send(data)


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class Callers:
    """The applications of both identities, on the client's node."""

    def __init__(self, namespace):
        self.namespace, self.others, self.mallorys = namespace, [], []
        self.longest_wait, self.echoes, self._stop = 0.0, 0, threading.Event()

    def open_others(self, count):
        with self.namespace.entered():
            for _ in range(count):
                self.others.append(connect(OTHERS_PORT))
                self.others[-1].sendall(b"o")
        for connection in self.others:
            assert connection.recv(1) == b"o"

    def open_mallorys(self, count):
        for connection in self.mallorys:
            connection.close()
        self.mallorys = []
        with self.namespace.entered():
            for _ in range(count):
                self.mallorys.append(connect(MALLORY_PORT))
                self.mallorys[-1].sendall(BLOCK)

    def keep_sending(self, stop):
        while not stop.is_set():
            for connection in self.mallorys:
                with contextlib.suppress(OSError):
                    connection.send(BLOCK, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            stop.wait(0.005)

    def keep_asking(self, stop):
        """One echo after the other on one of the others' connections."""
        connection = self.others[0]
        while not stop.is_set():
            start = time.monotonic()
            connection.sendall(b"o")
            assert connection.recv(1) == b"o", "a connection of the other identity ended"
            self.longest_wait = max(self.longest_wait, time.monotonic() - start)
            self.echoes += 1


def measure(mesh, application, callers, act):
    """Seconds from the command's return to the last byte and the last end."""
    stop = threading.Event()
    threads = [threading.Thread(target=callers.keep_sending, args=(stop,)),
               threading.Thread(target=callers.keep_asking, args=(stop,))]
    for thread in threads:
        thread.start()
    try:
        stop.wait(0.2)
        act()
        returned = time.monotonic()
        waiting.until(lambda: application.report()[0] == 0, "mallory's connections stay open", timeout_s=30)
        _, last_byte, last_end = application.report()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    mesh.server.proxy.process.check_alive()
    return max(0.0, last_byte - returned), max(0.0, last_end - returned)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def start(scope, connections):
    mesh = Mesh(scope, proxies=False, lifetimes={"x509_svid": "1h"})
    mesh.create_entry(MALLORY_ID, mesh.client, [f"unix:uid:{MALLORY_UID}"])
    application = Application(mesh.server.namespace, scope)
    limits = {"max_connections": connections + 500, "max_handshakes": 4096}
    mesh.server.start_proxy({"limits": limits}, wait=False, before=raise_descriptors)
    mesh.server.capture()

    def caller(name, uid, port, admin):
        Proxy(scope, name, {
            "identity": {"workload_api": f"unix://{mesh.client.socket}"}, "mesh": {"disabled": True}, "limits": limits,
            "listeners": [{"name": "out", "outbound": {"address": f"127.0.0.1:{port}", "peers": [SERVER_ID],
                                                       "destination": f"{SERVER_V4}:{application.port}"}}]},
              mesh.client.namespace, uid, admin_port=admin, before=raise_descriptors)
    caller("others-proxy", mesh.client.uid, OTHERS_PORT, 15000)
    caller("mallory-proxy", MALLORY_UID, MALLORY_PORT, MALLORY_ADMIN)
    return mesh, application


def allow(mesh, *peers):
    mesh.apply([{"name": "server", "workloads": [SERVER_ID], "rules": [{"name": "callers", "peers": list(peers)}]}])


def applied(mesh):
    """The server's proxy runs the newest view."""
    def newest():
        view = json.loads(mesh.server.proxy.get("/view")[1])
        return view["acknowledged_version"] == view["version"] and \
            view["mesh"]["applied_version"] == mesh.cli("mesh", "status")["view_version"]
    waiting.until(newest, lambda: mesh.server.proxy.get("/view")[1])


def run(options):
    raise_descriptors()
    with staged(), Scope() as scope:
        mesh, application = start(scope, options.connections)
        allow(mesh, CLIENT_ID, MALLORY_ID)
        mesh.server.proxy.wait_until_ready()
        callers = Callers(mesh.client.namespace)
        callers.open_others(options.connections - options.banned)
        ban = (lambda: mesh.cli("ban", MALLORY_ID)) if options.by == "ban" else (lambda: allow(mesh, CLIENT_ID))
        lift = (lambda: mesh.cli("unban", MALLORY_ID)) if options.by == "ban" else \
            (lambda: allow(mesh, CLIENT_ID, MALLORY_ID))
        bytes_s, ends_s = [], []
        for trial in range(1, options.trials + 1):
            callers.open_mallorys(options.banned)
            waiting.until(lambda: application.report()[0] == options.banned, "mallory's connections do not open", 60)
            last_byte, last_end = measure(mesh, application, callers, ban)
            bytes_s.append(last_byte)
            ends_s.append(last_end)
            print(f"trial {trial}: last byte {last_byte * 1000:.1f} ms, last end {last_end * 1000:.1f} ms", flush=True)
            lift()
            applied(mesh)
        print(f"{options.by}: {options.trials} trials, {options.connections} connections open, {options.banned} of them banned")
        for name, values in (("last byte", bytes_s), ("last end", ends_s)):
            print(f"{name}: p50 {percentile(values, 0.5) * 1000:.1f} ms, p99 {percentile(values, 0.99) * 1000:.1f} ms, "
                  f"worst {max(values) * 1000:.1f} ms")
        print(f"the others meanwhile: {callers.echoes} echoes, the longest took {callers.longest_wait * 1000:.1f} ms")
        good = percentile(bytes_s, 0.99) < 0.1
        return soak.exit_code(scope, good)


if __name__ == "__main__":
    parser = soak.parser(__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--connections", type=int, default=9000)
    parser.add_argument("--banned", type=int, default=1000)
    parser.add_argument("--by", choices=["ban", "policy"], default="ban")
    sys.exit(run(parser.parse_args()))
