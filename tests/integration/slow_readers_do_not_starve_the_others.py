import hashlib
import pathlib
import socket

from kit import namespaces, sockets, waiting
from kit.binaries import PATIENCE
from kit.holdings import Holdings, resident_bytes
from kit.pair import Pair
from kit.scope import check

SLOW, SIZE = 40, 2 << 20
CONNECTIONS = 128  # three times the crowd: links that are being made ahead of need count until they are
BUFFERED = 8192 * CONNECTIONS
# Beside what is counted: what TLS holds, a block each way, and what the allocator keeps.
GROWTH = 16 << 20


def join_with_small_sockets(first, second, first_addresses, second_addresses):
    namespaces.join(first, second, first_addresses, second_addresses)
    for namespace in (first, second):
        with namespace.entered():
            for name in ("tcp_rmem", "tcp_wmem"):
                pathlib.Path("/proc/sys/net/ipv4", name).write_text("4096 16384 32768")


def test(scope):
    body = bytes(range(256)) * (SIZE // 256)
    digest = hashlib.sha256(body).digest()
    sent = [0]

    def send_body(connection):
        for begin in range(0, SIZE, 1 << 14):
            connection.sendall(body[begin:begin + (1 << 14)])
            sent[0] += 1
        connection.shutdown(socket.SHUT_WR)

    one = {"workers": 1, "limits": {"max_connections": CONNECTIONS, "max_buffered_bytes": BUFFERED}}
    pair = Pair(scope, one, one, join=join_with_small_sockets, serve=send_body)

    def fetch():
        with pair.connect() as connection:
            return hashlib.sha256(sockets.receive_all(connection)).digest()

    check.assertEqual(fetch(), digest)
    holdings = Holdings(*pair.proxies)
    before = [resident_bytes(proxy.process) for proxy in pair.proxies]
    slow = [scope.enter_context(pair.connect()) for _ in range(SLOW)]
    seen = [-1, 0]

    def times_reached():
        return sum(proxy.metric("lanyard_proxy_limit_reached_total", limit="max_buffered_bytes")
                   for proxy in pair.proxies)

    def stalled():
        seen[1] = seen[1] + 1 if seen[0] == sent[0] else 0
        seen[0] = sent[0]
        return seen[1] > 50
    waiting.until(lambda: times_reached() > 0, "the limit is not reached: the test shows nothing")
    waiting.until(stalled, "the server goes on sending although nobody reads")
    check.assertLess(sent[0], SLOW * (SIZE >> 14), "everything was sent although nobody reads")
    for proxy, resident in zip(pair.proxies, before):
        check.assertLess(resident_bytes(proxy.process) - resident, GROWTH * PATIENCE, proxy.process.name)

    check.assertEqual(fetch(), digest, "whoever reads is not served while others do not")

    for connection in slow:
        check.assertEqual(hashlib.sha256(sockets.receive_all(connection)).digest(), digest)
        connection.close()
    holdings.wait_until_given_back(GROWTH)
