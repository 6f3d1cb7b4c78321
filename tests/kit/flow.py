"""One long connection whose every byte is checked."""

import hashlib
import socket
import threading

from kit import waiting
from kit.binaries import PATIENCE
from kit.scope import check

_BLOCK = bytes(range(256)) * 256


class Flow:
    """Bytes from the client of a Pair to the server's echo and back, without end until finish(): however late a test is
    with its next step, it still finds them flowing. Ends with the scope."""

    def __init__(self, scope, pair):
        self.sent, self.received, self.errors = 0, 0, []
        self._stop, self._digests = threading.Event(), (hashlib.sha256(), hashlib.sha256())
        self._connection = scope.enter_context(pair.connect(timeout_s=120 * PATIENCE))
        scope.callback(self._stop.set)
        self._threads = [threading.Thread(target=self._run, args=(step,), daemon=True)
                         for step in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _run(self, step):
        try:
            step()
        except OSError as error:
            self.errors.append(error)

    def _send(self):
        while not self._stop.is_set():
            self._connection.sendall(_BLOCK)
            self._digests[0].update(_BLOCK)
            self.sent += len(_BLOCK)
        self._connection.shutdown(socket.SHUT_WR)

    def _receive(self):
        while part := self._connection.recv(1 << 16):
            self._digests[1].update(part)
            self.received += len(part)

    def wait_until_moved(self, size):
        """That many bytes more are back."""
        wanted = self.received + size
        waiting.until(lambda: self.errors or self.received >= wanted, "nothing flows")
        check.assertEqual(self.errors, [])

    def wait_until_stalled(self):
        seen = [None, 0]

        def stalled():
            now = (self.sent, self.received)
            seen[1] = seen[1] + 1 if seen[0] == now else 0
            seen[0] = now
            return seen[1] > 50
        waiting.until(stalled, "it goes on")
        check.assertEqual(self.errors, [])

    def finish(self):
        """No more is sent, and every byte has come back as it was sent."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._connection.close()
        check.assertEqual(self.errors, [])
        check.assertEqual(self.received, self.sent)
        check.assertEqual(*(digest.hexdigest() for digest in self._digests))
