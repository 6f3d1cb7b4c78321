import collections
import socket
import struct

from kit import sockets, waiting
from kit.adversary import client_hello, has_ended, seeded_random
from kit.holdings import Holdings
from kit.pair import CLIENT_V4, IN_PORT, SERVER_V4, Pair
from kit.scope import check

NOT_TLS, FAILED = "plaintext_refused", "handshake_failed"
# What begins like TLS is TLS to the proxy, and fails as such.
GARBAGE = {NOT_TLS, FAILED}
FIRST_PORT = 20000


def record(kind, body, length=None):
    return struct.pack("!BHH", kind, 0x0301, len(body) if length is None else length) + body


def callers(random):
    """(what is sent, whether the caller then ends its side, the reasons it may be closed for)"""
    hello = client_hello()
    yield b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", False, {NOT_TLS}
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", False, {NOT_TLS}
    yield b"\x80\x2e\x01\x00\x02" + bytes(64), False, {NOT_TLS}  # SSL 2
    yield b"", True, {FAILED}
    yield b"\x16", True, GARBAGE
    yield record(22, random.randbytes(100), length=0xffff), False, GARBAGE  # a huge record
    yield record(22, b"\x01\xff\xff\xff" + random.randbytes(16000)), False, {FAILED}  # a huge message
    yield record(22, b""), True, GARBAGE
    yield record(21, b"\x02\x28"), False, GARBAGE  # an alert
    yield record(23, random.randbytes(64)), False, GARBAGE  # data before any handshake
    yield hello + record(23, random.randbytes(64)), False, {FAILED}
    yield hello * 2, False, {FAILED}
    for _ in range(20):
        yield hello[:random.randrange(1, len(hello))], True, GARBAGE  # truncated
        yield random.randbytes(random.randrange(16, 5000)), True, GARBAGE
        # A handshake's beginning, then anything. What claims to be longer is incomplete when the caller ends.
        yield record(22, b"\x01\x00\x02\x00\x03\x03" + random.randbytes(506)), True, {FAILED}
        damaged = bytearray(hello)
        damaged[random.randrange(9, len(hello))] ^= 1 << random.randrange(8)
        yield bytes(damaged), True, {FAILED, "peer_reset"}  # may be whole and answered; then the caller is gone


def test(scope):
    pair = Pair(scope, limits={"handshake_timeout": "60s"})
    proxy = pair.server.proxy
    pair.exchange()
    holdings = Holdings(proxy)
    allowed, unanswered = {}, []
    # Each from a port of its own: the kernel would give that of one which was reset to another.
    for port, (sent, ends, reasons) in enumerate(callers(seeded_random()), FIRST_PORT):
        connection = scope.enter_context(sockets.connect(SERVER_V4, IN_PORT, pair.client.namespace, source_port=port))
        allowed[f"{CLIENT_V4}:{port}"] = (sent[:32], reasons)
        unanswered.append((sent[:32], connection))
        try:
            connection.sendall(sent)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was sent away already

    def all_sent_away():
        unanswered[:] = [(sent, connection) for sent, connection in unanswered if not has_ended(connection)]
        return not unanswered
    waiting.until(all_sent_away, lambda: f"not sent away: {[sent for sent, _ in unanswered]}")
    closed = {}

    def all_logged():
        proxy.process.check_alive()
        closed.update((record["source"], record["close_reason"]) for record in proxy.closed(direction="inbound"))
        return allowed.keys() <= closed.keys()
    waiting.until(all_logged, lambda: f"never logged as closed: {[allowed[s] for s in allowed.keys() - closed.keys()]}")
    for source, (sent, reasons) in allowed.items():
        check.assertIn(closed[source], reasons, f"for {sent!r}...")
    for reason, count in collections.Counter(closed[source] for source in allowed).items():
        proxy.wait_for_metric(count, "lanyard_proxy_connections_closed_total", direction="inbound", reason=reason)
    check.assertEqual(pair.application.accepted, 1, "the application saw one of them")
    pair.exchange()
    holdings.wait_until_given_back()
