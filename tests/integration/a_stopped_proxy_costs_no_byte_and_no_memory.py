import signal
import time

from kit.binaries import PATIENCE
from kit.flow import Flow
from kit.holdings import Holdings, resident_bytes
from kit.pair import Pair
from kit.scope import check

MOST_BUFFERED = 4 << 20
TIMEOUT_S = 6 * PATIENCE


def refuse_in_time(pair):
    """With the server's proxy stopped the kernel still accepts; the handshake's time runs out."""
    began = time.monotonic()
    with pair.connect() as caller:
        try:
            check.assertEqual(caller.recv(1), b"")
        except ConnectionResetError:
            pass
    check.assertGreaterEqual(time.monotonic() - began, TIMEOUT_S * 0.9)
    pair.client.proxy.wait_for_closed(direction="outbound", close_reason="handshake_timeout")


def test(scope):
    pair = Pair(scope, limits={"handshake_timeout": f"{TIMEOUT_S:g}s"})
    pair.exchange()
    holdings = Holdings(*pair.proxies)
    flow = Flow(scope, pair)
    try:
        for stopped, other in (pair.proxies, reversed(pair.proxies)):
            flow.wait_until_moved(2 << 20)
            resident = resident_bytes(other.process)
            stopped.process.signal(signal.SIGSTOP)
            flow.wait_until_stalled()
            check.assertLess(resident_bytes(other.process) - resident, MOST_BUFFERED,
                             f"{other.process.name} buffers without bound")
            check.assertTrue(other.is_ready())
            if stopped is pair.server.proxy:
                refuse_in_time(pair)
            stopped.process.signal(signal.SIGCONT)
        flow.finish()
    finally:
        for proxy in pair.proxies:
            proxy.process.signal(signal.SIGCONT)
    pair.exchange()
    holdings.wait_until_given_back()
