"""Both proxies are replaced in turn, again and again, while streams are open: two that carry bytes both ways all the
time, one that each application has half-closed, and one on which nobody says a word. No stream is closed, no byte is
wrong, and each old process is gone long before its drain_deadline, as nothing is left there."""

import hashlib
import json
import socket
import threading

from kit import sockets, upgrade, waiting
from kit.binaries import PATIENCE
from kit.pair import Pair
from kit.scope import check

UPGRADES = 3
TIMEOUT_S = 120 * PATIENCE


def serve(connection):
    """What the first byte says: E echoes, C counts until the end and then answers, S ends first and then counts."""
    connection.settimeout(TIMEOUT_S)
    kind = sockets.receive_exactly(connection, 1)
    if kind == b"E":
        return sockets.echo(connection)
    if kind == b"S":
        connection.sendall(b"that is all")
        connection.shutdown(socket.SHUT_WR)
    received = sockets.receive_all(connection)
    COUNTED[kind] = hashlib.sha256(received).hexdigest()
    WORD.wait(TIMEOUT_S)
    if kind == b"C":
        connection.sendall(b"%d bytes" % len(received))
    return None


COUNTED, WORD = {}, threading.Event()


class Transfer:
    """Blocks that carry their number go out and come back, until told to stop."""

    def __init__(self, scope, pair):
        self._connection = scope.enter_context(pair.connect(timeout_s=TIMEOUT_S))
        self._stop, self.blocks, self.errors = threading.Event(), 0, []
        self._sent = self._received = 0
        self._connection.sendall(b"E")
        self._threads = [threading.Thread(target=self._run, args=(step,), daemon=True)
                         for step in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _run(self, step):
        try:
            step()
        except (OSError, AssertionError) as error:
            self.errors.append(repr(error))

    @staticmethod
    def _block(number):
        return number.to_bytes(8, "big") * 4096

    def _send(self):
        while not self._stop.is_set():
            self._connection.sendall(self._block(self._sent))
            self._sent += 1
        self._connection.shutdown(socket.SHUT_WR)

    def _receive(self):
        size = len(self._block(0))
        while first := self._connection.recv(1):
            block = first + sockets.receive_exactly(self._connection, size - 1)
            assert block == self._block(self._received), f"block {self._received} is not what was sent"
            self._received += 1
            self.blocks = self._received

    def wait_for_more(self, count=50):
        wanted = self.blocks + count
        waiting.until(lambda: self.errors or self.blocks >= wanted, "nothing flows")
        check.assertEqual(self.errors, [])

    def finish(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        check.assertEqual(self.errors, [])
        check.assertEqual(self._received, self._sent)


def test(scope):
    def upgradable(name):
        return {"upgrade": {"socket": str(scope.folder / f"{name}.sock")}, "drain_deadline": "300s"}
    pair = Pair(scope, client=upgradable("client"), server=upgradable("server"), serve=serve)
    transfers = [Transfer(scope, pair) for _ in range(2)]
    idle = scope.enter_context(pair.connect(timeout_s=TIMEOUT_S))
    idle.sendall(b"E")
    client_ended = scope.enter_context(pair.connect(timeout_s=TIMEOUT_S))
    client_ended.sendall(b"C" + b"x" * 100000)
    client_ended.shutdown(socket.SHUT_WR)
    server_ended = scope.enter_context(pair.connect(timeout_s=TIMEOUT_S))
    server_ended.sendall(b"S")
    check.assertEqual(sockets.receive_all(server_ended), b"that is all")
    waiting.until(lambda: b"C" in COUNTED, "the server does not see the end of a stream")
    streams = 5

    pids = {proxy: proxy.process.pid for proxy in pair.proxies}
    for workers in (3, 1, 2)[:UPGRADES]:
        for proxy in pair.proxies:
            configuration = json.loads(proxy.config_path.read_text())
            proxy.config_path.write_text(json.dumps({**configuration, "workers": workers}))
            before, pids[proxy] = pids[proxy], upgrade.upgrade(scope, proxy)
            upgrade.wait_until_gone(before, timeout_s=60)
            for transfer in transfers:
                transfer.wait_for_more()
            def open_here(proxy=proxy):
                return [record for record in proxy.connections() if record.get("protocol")]
            waiting.until(lambda: len(open_here()) == streams, lambda: f"open: {open_here()}")

    for transfer in transfers:
        transfer.finish()
    idle.sendall(b"still here")
    check.assertEqual(sockets.receive_exactly(idle, 10), b"still here")
    idle.shutdown(socket.SHUT_WR)
    check.assertEqual(sockets.receive_all(idle), b"")
    WORD.set()
    check.assertEqual(sockets.receive_all(client_ended), b"100000 bytes")
    server_ended.sendall(b"y" * 200000)
    server_ended.shutdown(socket.SHUT_WR)
    waiting.until(lambda: b"S" in COUNTED, "what was sent to who has ended does not arrive")
    check.assertEqual(COUNTED[b"S"], hashlib.sha256(b"y" * 200000).hexdigest())
    check.assertEqual(pair.application.errors, [])
    for proxy in pair.proxies:
        check.assertEqual(proxy.process.wait(), 0)

        def settled(proxy=proxy):
            reasons = [record["close_reason"] for record in proxy.closed() if record.get("protocol")]
            return reasons if reasons.count("normal") >= streams else None
        reasons = waiting.until(settled, "the log is incomplete")
        check.assertEqual(sorted(set(reasons)), ["moved_to_new_process", "normal"])
        check.assertEqual(reasons.count("normal"), streams, "each ended once, and well")
        check.assertEqual(reasons.count("moved_to_new_process"), streams * UPGRADES, "each moved each time")
