from kit import namespaces, sockets, waiting
from kit.adversary import has_ended
from kit.holdings import Holdings
from kit.pair import Pair
from kit.scope import check

IDLE_S = 6
LOST = ("idle", "connect_timeout", "connect_unreachable", "handshake_timeout")


def test(scope):
    # connect_timeout bounds whoever calls while the link is down.
    pair = Pair(scope, limits={"idle_timeout": f"{IDLE_S}s", "connect_timeout": "4s"})
    pair.exchange()
    holdings = Holdings(*pair.proxies)
    with pair.connect() as quiet, pair.connect() as talking:
        for connection in (quiet, talking):
            connection.sendall(b"ping")
            check.assertEqual(sockets.receive_exactly(connection, 4), b"ping")
        # Neither side hears of it: no FIN, no RST.
        namespaces.ip("-n", pair.server.namespace.name, "link", "set", "eth0", "down")
        talking.sendall(b"into the void")
        for proxy, direction in ((pair.client.proxy, "outbound"), (pair.server.proxy, "inbound")):
            closed = proxy.wait_for_closed(direction=direction, close_reason="idle", count=2)
            check.assertGreaterEqual(closed["duration_ms"], IDLE_S * 900)
        for connection in (quiet, talking):
            waiting.until(lambda: has_ended(connection), "the application's connection stayed open")
        check.assertFalse(pair.works(), "the link is not down: the test shows nothing")
        # Nobody answers for the address, or nobody in time, or on a link that was open already nobody at all.
        waiting.until(lambda: len([record for record in pair.client.proxy.closed()
                                   if record["close_reason"] in LOST]) > 2, "a call into the void does not end")
    namespaces.ip("-n", pair.server.namespace.name, "link", "set", "eth0", "up")
    waiting.until(pair.works, "no new connection after the link came back")
    holdings.wait_until_given_back()
