import socket
import threading
import time

from kit import sockets
from kit.binaries import PATIENCE
from kit.holdings import Holdings
from kit.pair import Pair
from kit.scope import check

TIMEOUT_S = 5 * PATIENCE


def test(scope):
    def never_end(connection):
        # Answers, and does not end when its caller does.
        while part := connection.recv(1 << 16):
            connection.sendall(part)
        over.wait()

    over = threading.Event()
    scope.callback(over.set)
    limits = {"first_byte_timeout": f"{TIMEOUT_S:g}s", "half_closed_timeout": f"{TIMEOUT_S:g}s"}
    pair = Pair(scope, server={"limits": limits}, serve=never_end)
    proxy = pair.server.proxy
    with pair.connect() as warm:
        warm.sendall(b"x")
        check.assertEqual(warm.recv(1), b"x")
        sockets.reset(warm)
    holdings = Holdings(*pair.proxies)

    def use(message):
        """A connection that has carried it, at once."""
        connection = scope.enter_context(pair.connect())
        connection.sendall(message)
        check.assertEqual(sockets.receive_exactly(connection, len(message)), message)
        return connection
    with use(b"once") as used, use(b"half") as half, pair.connect() as unused:
        began = time.monotonic()
        half.shutdown(socket.SHUT_WR)
        for connection, reason in ((unused, "first_byte_timeout"), (half, "half_closed_timeout")):
            with check.assertRaises(ConnectionError):
                check.assertNotEqual(connection.recv(1), b"", "ended as if all were well")
            record = proxy.wait_for_closed(direction="inbound", close_reason=reason)
            check.assertGreaterEqual(record["duration_ms"], TIMEOUT_S * 900, record)
            proxy.wait_for_metric(1, "lanyard_proxy_limit_reached_total", limit=reason)
        check.assertGreaterEqual(time.monotonic() - began, TIMEOUT_S * 0.9)
        used.sendall(b"again")
        check.assertEqual(sockets.receive_exactly(used, 5), b"again")
        sockets.reset(used)
    holdings.wait_until_given_back()
