import json

from kit import namespaces, processes, sockets
from kit.scope import check

PROXY_UID, OTHER_UID = 21001, 21003
NEAR = ("10.78.0.1", "fd78::1")
FAR = ("10.78.0.2", "fd78::2")

_CONNECT = """import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as connection:
        print(connection.recv(100).decode())
except TimeoutError:
    print("silence")
except ConnectionRefusedError:
    print("refused")
"""


def test(scope):
    near, far = namespaces.Namespace(scope, "near"), namespaces.Namespace(scope, "far")
    namespaces.join(near, far, [f"{NEAR[0]}/24", f"{NEAR[1]}/64"], [f"{FAR[0]}/24", f"{FAR[1]}/64"])
    for port, what in ((15001, b"outbound"), (15006, b"inbound"), (80, b"application"), (81, b"application"),
                       (8005, b"application")):
        for namespace in (near, far):
            sockets.Server(scope, lambda connection, what=what: connection.sendall(what), port, namespace=namespace)

    def hear(address, port, namespace=near, uid=OTHER_UID):
        """Who answers a connection that `uid` makes."""
        done = processes.run(["/usr/bin/python3", "-c", _CONNECT, address, port], namespace, uid)
        return done.stdout.strip() or done.stderr

    def capture(*words):
        done = processes.run(["lanyard", "capture", *words, "-o", "json"], near)
        check.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def expect(table):
        for (address, port, namespace, uid), who in table.items():
            check.assertEqual(hear(address, port, namespace, uid), who, f"{address}:{port} by {uid}")

    older = sockets.connect(FAR[0], 80, near)
    check.assertEqual(older.recv(100), b"application")
    held = sockets.Server(scope, sockets.echo, namespace=far)
    older = sockets.connect(FAR[0], held.port, near)

    capture("up", "--proxy-uid", str(PROXY_UID))
    rules = capture("show")
    capture("up", "--proxy-uid", str(PROXY_UID))
    check.assertEqual(len(capture("show")["nftables"]), len(rules["nftables"]), "up twice is up once")
    older.sendall(b"still here")
    check.assertEqual(sockets.receive_exactly(older, 10), b"still here", "a connection older than the rules was cut")
    for v in (0, 1):
        loopback = ("127.0.0.1", "::1")[v]
        expect({
            (FAR[v], 80, near, OTHER_UID): "outbound",
            (FAR[v], 80, near, PROXY_UID): "application",
            (loopback, 80, near, OTHER_UID): "application",
            (NEAR[v], 80, near, OTHER_UID): "application",  # its own address
            (NEAR[v], 80, far, OTHER_UID): "inbound",
            # The capture ports take redirected connections only.
            (NEAR[v], 15001, far, OTHER_UID): "silence",
            (NEAR[v], 15006, far, OTHER_UID): "silence",
        })

    # New rules replace the old ones.
    capture("up", "--proxy-uid", str(PROXY_UID), "--exclude-uids", str(OTHER_UID), "--exclude-inbound-ports", "80")
    expect({(FAR[0], 80, near, OTHER_UID): "application", (FAR[0], 80, near, 0): "outbound",
            (NEAR[0], 80, far, OTHER_UID): "application", (NEAR[1], 81, far, OTHER_UID): "inbound"})
    capture("up", "--proxy-uid", str(PROXY_UID), "--include-outbound-ports", "81,8000-8010",
            "--exclude-outbound-ports", "8005", "--include-inbound-ports", "81")
    expect({(FAR[0], 80, near, OTHER_UID): "application", (FAR[0], 81, near, OTHER_UID): "outbound",
            (FAR[1], 8005, near, OTHER_UID): "application", (FAR[1], 81, near, OTHER_UID): "outbound",
            (NEAR[0], 80, far, OTHER_UID): "application", (NEAR[0], 81, far, OTHER_UID): "inbound"})
    capture("up", "--proxy-uid", str(PROXY_UID), "--include-cidrs", "10.78.0.0/24,10.78.0.0/16")
    expect({(FAR[0], 80, near, OTHER_UID): "outbound", (FAR[1], 80, near, OTHER_UID): "application"})
    capture("up", "--proxy-uid", str(PROXY_UID), "--exclude-cidrs", f"{FAR[0]},fd78::/16")
    expect({(FAR[0], 80, near, OTHER_UID): "application", (FAR[1], 80, near, OTHER_UID): "application"})

    # A mistake changes nothing.
    before = capture("show")["nftables"]
    done = processes.run(["lanyard", "capture", "up", "--proxy-uid", "no-such-user"], near)
    check.assertEqual(done.returncode, 2)
    check.assertIn("no such user", done.stderr)
    check.assertEqual(len(capture("show")["nftables"]), len(before))

    for _ in range(2):
        check.assertEqual(capture("down"), {"captured": False})
    check.assertEqual(capture("show")["captured"], False)
    expect({(FAR[0], 80, near, OTHER_UID): "application", (NEAR[1], 80, far, OTHER_UID): "application"})
