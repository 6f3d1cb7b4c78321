import hashlib
import signal
import threading
import time

from kit import sockets, waiting
from kit.binaries import PATIENCE
from kit.holdings import Holdings, resident_bytes
from kit.pair import Pair
from kit.scope import check

SIZE, BLOCK = 48 << 20, bytes(range(256)) * 256
MOST_BUFFERED = 4 << 20
TIMEOUT_S = 2 * PATIENCE


class Flow:
    """SIZE bytes from the client to the server's echo and back, on one connection."""

    def __init__(self, pair):
        self.sent = self.received = 0
        self.digest, self.errors = hashlib.sha256(), []
        self.connection = pair.connect(timeout_s=120 * PATIENCE)
        self.threads = [threading.Thread(target=self._run, args=(step,)) for step in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _run(self, step):
        try:
            step()
        except (OSError, AssertionError) as error:
            self.errors.append(error)

    def _send(self):
        while self.sent < SIZE:
            self.connection.sendall(BLOCK)
            self.sent += len(BLOCK)

    def _receive(self):
        while self.received < SIZE:
            part = self.connection.recv(1 << 16)
            assert part, f"ended after {self.received} bytes"
            self.digest.update(part)
            self.received += len(part)

    def wait_until_moved(self, size):
        start = self.received
        waiting.until(lambda: self.errors or self.received >= min(SIZE, start + size), "nothing flows")
        check.assertEqual(self.errors, [])

    def wait_until_stalled(self):
        seen = [None, 0]

        def stalled():
            now = (self.sent, self.received)
            seen[1] = seen[1] + 1 if seen[0] == now else 0
            seen[0] = now
            return seen[1] > 25
        waiting.until(stalled, "it goes on although a proxy is stopped")
        check.assertEqual(self.errors, [])
        check.assertLess(self.sent, SIZE, "all was sent before the stop: the test shows nothing")


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
    flow = Flow(pair)
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
        for thread in flow.threads:
            thread.join()
    finally:
        for proxy in pair.proxies:
            proxy.process.signal(signal.SIGCONT)
        flow.connection.close()
    check.assertEqual(flow.errors, [])
    check.assertEqual(flow.digest.hexdigest(), hashlib.sha256(BLOCK * (SIZE // len(BLOCK))).hexdigest())
    pair.exchange()
    holdings.wait_until_given_back()
