import contextlib

from kit import namespaces, sockets, waiting
from kit.adversary import client_hello, has_ended
from kit.holdings import Holdings
from kit.pair import CLIENT_V4, IN_PORT, SERVER_V4, Pair
from kit.scope import check

HANDSHAKES, SHARE, BEYOND = 32, 12, 40
OTHER_V4 = "10.78.0.77"


def join_with_another_host(first, second, first_addresses, second_addresses):
    namespaces.join(first, second, [*first_addresses, f"{OTHER_V4}/24"], second_addresses)


def test(scope):
    limits = {"max_handshakes": HANDSHAKES, "max_connections_per_source": SHARE, "handshake_timeout": "300s"}
    # A client that makes no connections ahead of need, which would take places too.
    pair = Pair(scope, {"tls": {"plain": True}}, {"limits": limits}, join=join_with_another_host)
    proxy = pair.server.proxy
    pair.exchange()
    holdings = Holdings(proxy)

    def dial(source):
        return scope.enter_context(sockets.connect(SERVER_V4, IN_PORT, pair.client.namespace, source=source))

    def is_answered(connection):
        connection.sendall(client_hello())
        return len(connection.recv(1)) == 1  # of the ServerHello

    with pair.connect() as established:
        def is_served():
            established.sendall(b"ping")
            check.assertEqual(sockets.receive_exactly(established, 4), b"ping")
        is_served()
        # Silent, or in the middle of a handshake: a place is a place.
        held = [dial(CLIENT_V4) for _ in range(SHARE)]
        for connection in held[::2]:
            connection.sendall(client_hello())
        waiting.until(lambda: proxy.metric("lanyard_proxy_handshakes_in_flight") == SHARE / 2, "no handshake begins")
        waiting.until(lambda: proxy.metric("lanyard_proxy_connections_open", direction="inbound") == SHARE + 1,
                      "the silent ones are not accepted")
        refused = []
        for _ in range(BEYOND):
            with contextlib.suppress(ConnectionResetError):  # refused before connect() had returned
                refused.append(dial(CLIENT_V4))

        def all_refused():
            is_served()
            refused[:] = [connection for connection in refused if not has_ended(connection)]
            return not refused
        waiting.until(all_refused, "a host has more than its share")
        proxy.wait_for_closed(direction="inbound", close_reason="limit_source_connections", count=BEYOND)
        check.assertGreaterEqual(proxy.metric("lanyard_proxy_limit_reached_total", limit="max_connections_per_source"),
                                 BEYOND)
        check.assertFalse(any(has_ended(connection) for connection in held[1::2]), "those within it were ended too")
        other = dial(OTHER_V4)
        check.assertTrue(is_answered(other), "another host is not served")
        is_served()
        for connection in [*held, other]:
            sockets.reset(connection)
        waiting.until(pair.works, "the host stays shut out")
    holdings.wait_until_given_back()
