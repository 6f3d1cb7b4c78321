import time

from kit import sockets, waiting
from kit.adversary import client_hello, has_ended
from kit.binaries import PATIENCE
from kit.holdings import Holdings
from kit.pair import IN_PORT, SERVER_V4, Pair
from kit.scope import check

EACH = 20
TIMEOUT_S = 6 * PATIENCE


def test(scope):
    pair = Pair(scope, limits={"handshake_timeout": f"{TIMEOUT_S:g}s"})
    pair.exchange()
    holdings = Holdings(*pair.proxies)
    hello = client_hello()

    def dial(first=b""):
        connection = scope.enter_context(sockets.connect(SERVER_V4, IN_PORT, pair.client.namespace))
        connection.sendall(first)
        return connection

    began = time.monotonic()
    silent, halfway, trickling = ([dial(first) for _ in range(EACH)] for first in (b"", hello[:len(hello) // 2], b""))
    sent, slowest = [0], [0.0]

    def all_ended():
        # A few bytes a turn: half of it when the time is up, and never all of it.
        due = min(int((time.monotonic() - began) / TIMEOUT_S * len(hello) / 2), len(hello) - 1)
        for connection in list(trickling):
            try:
                connection.sendall(hello[sent[0]:due])
            except ConnectionError:
                trickling.remove(connection)
        sent[0] = due
        started = time.monotonic()
        pair.exchange()
        slowest[0] = max(slowest[0], time.monotonic() - started)
        for kind in (silent, halfway, trickling):
            kind[:] = [connection for connection in kind if not has_ended(connection)]
        return not (silent or halfway or trickling)
    waiting.until(all_ended, "slow handshakes do not end")
    check.assertGreaterEqual(time.monotonic() - began, TIMEOUT_S, "they ended before handshake_timeout")
    check.assertLess(slowest[0], TIMEOUT_S, "others waited for the slow ones")
    pair.server.proxy.wait_for_closed(direction="inbound", close_reason="handshake_timeout", count=3 * EACH)
    ages = [record["duration_ms"] for record in pair.server.proxy.closed(close_reason="handshake_timeout")]
    check.assertGreaterEqual(min(ages), TIMEOUT_S * 900, ages)
    pair.server.proxy.wait_for_metric(3 * EACH, "lanyard_proxy_connections_closed_total", direction="inbound",
                                      reason="handshake_timeout")
    holdings.wait_until_given_back()
