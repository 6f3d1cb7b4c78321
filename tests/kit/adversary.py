"""Callers who mean no good, or cannot: what they send, and whether they were sent away."""

import random
import select
import ssl


def client_hello():
    """The first flight of a TLS 1.3 client, one record."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a peer")


def seeded_random():
    """Random numbers of this run, with the seed in the output in case it fails."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    return random.Random(seed)


def has_ended(connection):
    """True when the other side closed or reset it; what it still said is thrown away. Does not wait."""
    while select.select([connection], [], [], 0)[0]:
        try:
            if connection.recv(1 << 16) == b"":
                return True
        except ConnectionError:
            return True
    return False
