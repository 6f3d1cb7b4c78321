import hashlib
import threading

from kit import sockets
from kit.adversary import seeded_random
from kit.bad_link import BadLink
from kit.binaries import PATIENCE
from kit.holdings import Holdings
from kit.pair import Pair
from kit.scope import check

LOSS, LATE = 0.3, 0.2
SIZE = 1 << 20


def test(scope):
    def serve(connection):
        connection.settimeout(120 * PATIENCE)
        sender = threading.Thread(target=connection.sendall, args=(down,))
        sender.start()
        digests.append(hashlib.sha256(sockets.receive_exactly(connection, SIZE)).hexdigest())
        sender.join()

    random = seeded_random()
    up, down, digests = random.randbytes(SIZE), random.randbytes(SIZE), []
    link = BadLink(scope, random)
    pair = Pair(scope, join=link.join, serve=serve, limits={"handshake_timeout": "60s", "connect_timeout": "60s"})
    holdings = Holdings(*pair.proxies)
    link.loss, link.late = LOSS, LATE
    with pair.connect(timeout_s=120 * PATIENCE) as connection:
        sender = threading.Thread(target=connection.sendall, args=(up,))
        sender.start()
        received = sockets.receive_all(connection)
        sender.join()
    link.loss = link.late = 0
    check.assertEqual(hashlib.sha256(received).hexdigest(), hashlib.sha256(down).hexdigest())
    check.assertEqual(digests, [hashlib.sha256(up).hexdigest()])
    check.assertEqual(pair.application.errors, [])
    for proxy, direction in zip(pair.proxies, ("outbound", "inbound")):
        proxy.wait_for_closed(direction=direction, close_reason="normal")
    total = link.forwarded + link.lost
    print(f"{total} packets, {link.lost} lost, {link.reordered} late")
    check.assertGreater(link.lost, total * LOSS / 2)
    check.assertGreater(link.reordered, total * LATE / 2)
    holdings.wait_until_given_back()
