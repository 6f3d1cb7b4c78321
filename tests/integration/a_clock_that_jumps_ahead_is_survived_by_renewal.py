import json

from kit import sockets, waiting
from kit.holdings import cpu_seconds
from kit.mesh import Mesh
from kit.scope import check
from kit.shifted_clock import ShiftedClock

JUMP_S = 3300
LIFETIMES = {"x509_svid": "600s", "node_svid": "4h"}
# Of one process, while its clock jumps and it renews: far below one that spins.
MOST_CPU_S = 2


def serial(proxy):
    return json.loads(proxy.get("/identity")[1])["serial"]


def test(scope):
    clock = ShiftedClock(scope)
    expiry = {"on_svid_expiry": "CLOSE"}
    mesh = Mesh(scope, lifetimes=LIFETIMES, client=expiry, server=expiry)
    proxies = [mesh.client.proxy, mesh.server.proxy]
    server = mesh.serve()
    mesh.exchange(server.port)
    before = [serial(proxy) for proxy in proxies]
    used = [(process, cpu_seconds(process)) for process in scope.processes]
    with mesh.connect(server.port) as connection:
        connection.sendall(b"ping")
        check.assertEqual(sockets.receive_exactly(connection, 4), b"ping")
        clock.jump(JUMP_S)
        waiting.until(lambda: all(serial(proxy) != old for proxy, old in zip(proxies, before)),
                      "expired SVIDs are not renewed")
        for proxy in proxies:
            proxy.wait_until_in_force()
        # What was open hung on SVIDs that are over; a proxy looks at the clock twice a minute.
        waiting.until(lambda: any(proxy.closed(close_reason="svid_expired_while_open") for proxy in proxies),
                      "a connection outlives its SVIDs", timeout_s=120)
        try:
            check.assertEqual(connection.recv(1), b"")
        except ConnectionResetError:
            pass
    mesh.exchange(server.port)
    for process, cpu in used:
        process.check_alive()
        check.assertLess(cpu_seconds(process) - cpu, MOST_CPU_S, f"{process.name} spins")
