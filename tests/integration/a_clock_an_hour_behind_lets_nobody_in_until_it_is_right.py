from kit import sockets, waiting
from kit.holdings import cpu_seconds
from kit.mesh import SERVER_V4, Mesh
from kit.scope import check
from kit.shifted_clock import ShiftedClock

HOUR_S, TRIES = 3600, 20
# Of one process, while its clock is wrong: far below one that spins.
MOST_CPU_S = 2


def test(scope):
    clock = ShiftedClock(scope)
    mesh = Mesh(scope)
    server = mesh.serve()
    mesh.exchange(server.port)
    used = [(process, cpu_seconds(process)) for process in scope.processes]

    # The SVIDs, and every authority above them, begin in the future now.
    clock.jump(-HOUR_S)

    def is_refused():
        return sockets.is_refused(SERVER_V4, server.port, mesh.client.namespace)
    # A process may notice seconds later, and two workers of each may have a call.
    waiting.until(lambda: all(is_refused() for _ in range(TRIES)), "SVIDs that are not valid yet are taken")
    accepted = server.accepted
    for _ in range(TRIES):
        check.assertTrue(is_refused())
    # Whichever proxy noticed first says so, and the other hears an alert.
    proxies = (mesh.client.proxy, mesh.server.proxy)
    waiting.until(lambda: sum(len(proxy.closed(close_reason="svid_not_yet_valid")) for proxy in proxies) > TRIES,
                  "refusals without their reason")
    check.assertEqual(server.accepted, accepted, "the application saw a caller whose SVID is not valid yet")

    clock.jump(0)

    def works():
        try:
            mesh.exchange(server.port)
            return True
        except (OSError, AssertionError):
            return False
    waiting.until(works, "nothing works although the clock is right again")
    for process, cpu in used:
        process.check_alive()
        check.assertLess(cpu_seconds(process) - cpu, MOST_CPU_S, f"{process.name} spins")
