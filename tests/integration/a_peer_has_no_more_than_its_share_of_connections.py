import time

from kit import sockets, waiting
from kit.holdings import Holdings
from kit.pair import Pair
from kit.scope import check

SHARE, BEYOND = 4, 6


def test(scope):
    # Two workers: the share is of the process, wherever the kernel puts a connection.
    pair = Pair(scope, server={"limits": {"max_connections_per_peer": SHARE}})
    pair.exchange()
    proxy = pair.server.proxy
    waiting.until(lambda: proxy.metric("lanyard_proxy_connections_open", direction="inbound") == 0,
                  "the first connection does not end")
    holdings = Holdings(*pair.proxies)

    def is_served(connection):
        connection.sendall(b"ping")
        return sockets.receive_exactly(connection, 4) == b"ping"

    began = time.monotonic()
    held = [scope.enter_context(pair.connect()) for _ in range(SHARE)]
    check.assertTrue(all(is_served(connection) for connection in held))
    for _ in range(BEYOND):
        check.assertFalse(pair.works(), "a connection beyond the share was served")
    refused = proxy.wait_for_closed(direction="inbound", close_reason="limit_peer_connections", count=BEYOND)
    check.assertEqual(refused["peer_id"], pair.client.svid.spiffe_id)
    pair.client.proxy.wait_for_closed(direction="outbound", close_reason="peer_refused", count=BEYOND)
    proxy.wait_for_metric(BEYOND, "lanyard_proxy_limit_reached_total", limit="max_connections_per_peer")
    lines = [record for record in proxy.process.records() if record.get("limit") == "limits.max_connections_per_peer"]
    check.assertGreaterEqual(len(lines), 1)
    most = 2 * (1 + (time.monotonic() - began) // 10)  # of two workers
    check.assertLessEqual(len(lines), most, "each time it is reached has a line, where one in ten seconds is enough")
    check.assertTrue(all(is_served(connection) for connection in held), "those within the share were touched")
    held.pop().close()
    waiting.until(pair.works, "a place that was given back is not given again")
    for connection in held:
        connection.close()
    holdings.wait_until_given_back()
