"""One long connection whose every byte is checked."""

import hashlib
import threading

from kit import waiting
from kit.binaries import PATIENCE
from kit.scope import check

_BLOCK = bytes(range(256)) * 256


class Flow:
    """`size` bytes (whole blocks of 64 KiB) from the client of a Pair to the server's echo and back. Ends with the
    scope."""

    def __init__(self, scope, pair, size):
        self.size, self.sent, self.received = size, 0, 0
        self._digest, self.errors = hashlib.sha256(), []
        self._connection = scope.enter_context(pair.connect(timeout_s=120 * PATIENCE))
        self._threads = [threading.Thread(target=self._run, args=(step,), daemon=True)
                         for step in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _run(self, step):
        try:
            step()
        except (OSError, AssertionError) as error:
            self.errors.append(error)

    def _send(self):
        while self.sent < self.size:
            self._connection.sendall(_BLOCK)
            self.sent += len(_BLOCK)

    def _receive(self):
        while self.received < self.size:
            part = self._connection.recv(1 << 16)
            assert part, f"ended after {self.received} bytes"
            self._digest.update(part)
            self.received += len(part)

    def wait_until_moved(self, size):
        """That many bytes more are back."""
        wanted = self.received + size
        check.assertLess(wanted, self.size, "it is over too soon: the test shows nothing")
        waiting.until(lambda: self.errors or self.received >= wanted, "nothing flows")
        check.assertEqual(self.errors, [])

    def wait_until_stalled(self):
        seen = [None, 0]

        def stalled():
            now = (self.sent, self.received)
            seen[1] = seen[1] + 1 if seen[0] == now else 0
            seen[0] = now
            return seen[1] > 25
        waiting.until(stalled, "it goes on")
        check.assertEqual(self.errors, [])
        check.assertLess(self.sent, self.size, "all was sent before: the test shows nothing")

    def finish(self):
        """Every byte came back as it was sent."""
        for thread in self._threads:
            thread.join()
        self._connection.close()
        check.assertEqual(self.errors, [])
        check.assertEqual(self._digest.hexdigest(), hashlib.sha256(_BLOCK * (self.size // len(_BLOCK))).hexdigest())
