import concurrent.futures
import struct

from kit import sockets
from kit.adversary import seeded_random
from kit.holdings import Holdings
from kit.pair import Pair
from kit.scope import check

CONNECTIONS, CALLERS, MOST_BYTES = 2000, 8, 40000


def echo_until_told(connection):
    """The first four bytes say after how many more this side resets the connection; with 0 it does not."""
    most, = struct.unpack("!I", sockets.receive_exactly(connection, 4))
    echoed = 0
    while True:
        part = connection.recv(min(1 << 14, most - echoed) if most else 1 << 14)
        if not part:
            return connection.close()
        echoed += len(part)
        if most and echoed >= most:
            return sockets.reset(connection)
        connection.sendall(part)


def call(pair, plan):
    """Follows the plan up to its reset. The other side's resets are no surprise here."""
    who, most, sent, received = plan
    connection = pair.connect()
    try:
        if who == "client":  # at any moment: nothing sent, half of it, some of the echo read
            connection.sendall((struct.pack("!I", 0) + bytes(sent))[:sent])
            if sent > 4 and received:
                connection.recv(received)
            return sockets.reset(connection)
        connection.sendall(struct.pack("!I", most) + bytes(most))
        while connection.recv(1 << 16):
            pass
        return connection.close()
    except ConnectionError:
        return connection.close()


def plan(random):
    return (random.choice(["client", "server"]), random.choice([1, random.randrange(1, MOST_BYTES)]),
            random.choice([0, 3, 5, random.randrange(MOST_BYTES)]), random.choice([0, 1, random.randrange(MOST_BYTES)]))


def test(scope):
    pair = Pair(scope, serve=echo_until_told, limits={"max_connections": 4096})
    message = struct.pack("!I", 0) + b"hello"

    def works():
        with pair.connect() as connection:
            connection.sendall(message)
            check.assertEqual(sockets.receive_exactly(connection, 5), b"hello")
    for _ in range(20):
        works()
    random = seeded_random()
    plans = [plan(random) for _ in range(CONNECTIONS)]
    holdings = Holdings(*pair.proxies)
    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda each: call(pair, each), plans))
    holdings.wait_until_given_back()
    works()
    for proxy in pair.proxies:
        resets = sum(proxy.metric("lanyard_proxy_connections_closed_total", reason=reason)
                     for reason in ("app_reset", "peer_reset"))
        check.assertGreater(resets, CONNECTIONS // 4, f"{proxy.process.name} met few resets: the test shows nothing")
