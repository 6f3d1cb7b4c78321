import resource

from kit import waiting
from kit.binaries import PATIENCE
from kit.crowd import Crowd
from kit.holdings import Holdings, descriptors, open_connections, pss_bytes
from kit.pair import APPLICATION_PORT, OUT_PORT, Pair
from kit.scope import check

CONNECTIONS, CALLERS = 9000, 2
# Each proxy has two sockets a connection: 18,000 of its 20,000.
DESCRIPTORS = 20000
# PSS of one proxy over what it holds at rest, for each idle connection.
BYTES_EACH = 12 << 10
# The allocator keeps the memory (where it is locked, it cannot even be offered to the kernel) and uses it again:
# a second crowd of a tenth takes no more than this.
GROWTH_BYTES = 4 << 20


def many_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def come(scope, pair, connections):
    crowds = [Crowd(scope, pair.client.namespace, "call", "127.0.0.1", OUT_PORT, connections // CALLERS)
              for _ in range(CALLERS)]
    for crowd in crowds:
        crowd.wait()
    return crowds


def tell(crowds, word):
    for crowd in crowds:
        crowd.ask(word)
    for crowd in crowds:
        crowd.wait(word)


def test(scope):
    quiet = {"log": {"level": "warning", "format": "json"}}  # not a line for each
    pair = Pair(scope, quiet, quiet, {"max_connections": 9600}, serve=None, before=many_descriptors)
    Crowd(scope, pair.server.namespace, "echo", APPLICATION_PORT).wait()
    for _ in range(20):
        pair.exchange()
    at_rest = Holdings(*pair.proxies)
    before = [pss_bytes(proxy.process) for proxy in pair.proxies]
    crowds = come(scope, pair, CONNECTIONS)
    full = [pss_bytes(proxy.process) for proxy in pair.proxies]
    for proxy, less, more in zip(pair.proxies, before, full):
        print(f"{proxy.process.name}: {(more - less) // CONNECTIONS} bytes of memory a connection")
        # A link that is made ahead of need counts until its handshake is over.
        waiting.until(lambda proxy=proxy: open_connections(proxy) == CONNECTIONS,
                      lambda proxy=proxy: f"{open_connections(proxy)} connections are open")
        check.assertGreaterEqual(descriptors(proxy.process), 2 * CONNECTIONS)
        check.assertLess((more - less) / CONNECTIONS, BYTES_EACH * PATIENCE, proxy.process.name)
    tell(crowds, "again")
    tell(crowds, "close")
    at_rest.wait_until_given_back(max(full) - min(before) + GROWTH_BYTES)
    after = Holdings(*pair.proxies)
    tell(come(scope, pair, CONNECTIONS // 10), "close")
    after.wait_until_given_back(GROWTH_BYTES)
    pair.exchange()
