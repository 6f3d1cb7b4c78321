from kit import sockets, waiting
from kit.adversary import client_hello, has_ended
from kit.holdings import Holdings
from kit.pair import IN_PORT, SERVER_V4, Pair
from kit.scope import check

LIMIT, BEYOND = 16, 60


def test(scope):
    # One worker: the limit is shared out among them. A client that makes no connections ahead of need, which would take
    # places too.
    limits = {"max_handshakes": LIMIT, "max_connections_per_source": LIMIT + BEYOND, "handshake_timeout": "300s"}
    pair = Pair(scope, {"tls": {"plain": True}}, {"workers": 1}, limits)
    proxy = pair.server.proxy
    pair.exchange()
    holdings = Holdings(proxy)

    def flood(count):
        connections = [scope.enter_context(sockets.connect(SERVER_V4, IN_PORT, pair.client.namespace))
                       for _ in range(count)]
        for connection in connections:
            connection.sendall(client_hello())  # and never the rest
        return connections

    with pair.connect() as established:
        def is_served():
            established.sendall(b"ping")
            check.assertEqual(sockets.receive_exactly(established, 4), b"ping")
        is_served()
        held = flood(LIMIT)
        waiting.until(lambda: proxy.metric("lanyard_proxy_handshakes_in_flight") == LIMIT, "the handshakes do not begin")
        refused = flood(BEYOND)

        def all_refused():
            is_served()
            refused[:] = [connection for connection in refused if not has_ended(connection)]
            return not refused
        waiting.until(all_refused, "handshakes beyond the limit are not refused")
        proxy.wait_for_closed(direction="inbound", close_reason="limit_handshakes", count=BEYOND)
        check.assertGreaterEqual(proxy.metric("lanyard_proxy_limit_reached_total", limit="max_handshakes"), BEYOND)
        proxy.wait_for_metric(LIMIT, "lanyard_proxy_handshakes_in_flight")
        check.assertFalse(any(has_ended(connection) for connection in held), "those within the limit were ended too")
        is_served()
        for connection in held:
            sockets.reset(connection)
        waiting.until(pair.works, "no handshake succeeds after the flood")
        is_served()
    holdings.wait_until_given_back()
