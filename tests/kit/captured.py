"""Two namespaces, `near` and `far`, with somebody who says what he is at every port that matters: "outbound" and
"inbound" where the proxy would listen, "application" elsewhere. Who answers a connection tells whether it was captured."""

import json
import os
import pathlib
import socket

from kit import namespaces, processes, sockets, waiting
from kit.binaries import PATIENCE
from kit.scope import check

PROXY_UID, OTHER_UID = 21001, 21003
NEAR = ("10.78.0.1", "fd78::1")
FAR = ("10.78.0.2", "fd78::2")
# For an answer; and until none is taken for silence.
ANSWER_S, SILENCE_S = 30 * PATIENCE, 2
_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75

_CONNECT = """import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as connection:
        print(connection.recv(100).decode())
except TimeoutError:
    print("silence")
except ConnectionRefusedError:
    print("refused")
"""
_LISTEN = """import socket, sys
listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"application")
    connection.close()
"""


class Captured:
    def __init__(self, scope, ports=(80, 81, 8005)):
        self.scope = scope
        self.near, self.far = namespaces.Namespace(scope, "near"), namespaces.Namespace(scope, "far")
        namespaces.join(self.near, self.far, [f"{NEAR[0]}/24", f"{NEAR[1]}/64"], [f"{FAR[0]}/24", f"{FAR[1]}/64"])
        for port, what in ((15001, b"outbound"), (15006, b"inbound"), *((port, b"application") for port in ports)):
            for namespace in (self.near, self.far):
                server = sockets.Server(scope, lambda connection, what=what: connection.sendall(what), port,
                                        namespace=namespace)
                if port in (15001, 15006):
                    server.listener.setsockopt(socket.SOL_IP, _IP_TRANSPARENT, 1)
                    server.listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)

    def hear(self, address, port, namespace=None, uid=OTHER_UID, cgroup=None, gid=None, wait_s=ANSWER_S):
        """Who answers a connection that `uid` makes, in `cgroup` (a path; then as root)."""
        command = ["/usr/bin/python3", "-c", _CONNECT, address, port, wait_s]
        if cgroup:
            command, uid = in_cgroup(cgroup, command), None
        if gid is not None:
            command, uid = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *command], None
        done = processes.run(command, namespace or self.near, uid)
        return done.stdout.strip() or done.stderr

    def run_capture(self, *words):
        return processes.run(["lanyard", "capture", *words, "-o", "json"], self.near)

    def capture(self, *words):
        done = self.run_capture(*words)
        check.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def expect(self, table, **options):
        for (address, port, namespace, uid), who in table.items():
            wait_s = SILENCE_S if who == "silence" else ANSWER_S
            check.assertEqual(self.hear(address, port, namespace, uid, wait_s=wait_s, **options), who,
                              f"{address}:{port} by {uid}")

    def listen_in(self, cgroup, port):
        """A server of `near` in a cgroup."""
        server = processes.Process(self.scope, f"server-{port}",
                                   in_cgroup(cgroup, ["/usr/bin/python3", "-c", _LISTEN, port]), self.near)
        waiting.until(lambda: "listening" in server.log(), lambda: f"no server in a cgroup: {server.tail()}")
        return server

    def ruleset(self):
        """All that capture could leave behind: packet rules, policy rules, routes."""
        def lines(*command):
            done = processes.run(command, self.near)
            assert done.returncode == 0, f"{command}: {done.stderr}"
            return done.stdout
        return {"nft": lines("nft", "list", "ruleset"),
                **{f"{family} {what}": lines("ip", family, *what.split()) for family in ("-4", "-6")
                   for what in ("rule show", "route show table all type local dev lo")}}


def in_cgroup(cgroup, command):
    """The command, run by a shell that first enters the cgroup."""
    return ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', cgroup, *command]


def cgroup_root():
    """Where the unified hierarchy is mounted."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return pathlib.Path(fields.split()[4])
    raise AssertionError("no unified hierarchy of cgroups is mounted, and capture by cgroup needs one")


def make_cgroup(scope, name):
    """A cgroup of its own; its path. Gone with the scope, once its processes are."""
    path = cgroup_root() / f"lanyard-{os.getpid()}-{name}"
    path.mkdir()

    def remove():
        waiting.until(lambda: not (path / "cgroup.procs").read_text(), f"processes are left in {path}")
        path.rmdir()
    scope.callback(remove)
    return path
