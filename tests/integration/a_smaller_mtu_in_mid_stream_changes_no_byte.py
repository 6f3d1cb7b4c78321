from kit import namespaces
from kit.flow import Flow
from kit.holdings import Holdings
from kit.pair import Pair


def set_mtu(pair, mtu):
    for side in (pair.client, pair.server):
        namespaces.ip("-n", side.namespace.name, "link", "set", "eth0", "mtu", str(mtu))


def test(scope):
    pair = Pair(scope)
    pair.exchange()
    holdings = Holdings(*pair.proxies)
    flow = Flow(scope, pair)
    flow.wait_until_moved(1 << 20)
    set_mtu(pair, 576)
    flow.wait_until_moved(2 << 20)
    pair.exchange()  # a handshake in small pieces
    pair.exchange(bytes(1 << 18))
    set_mtu(pair, 1500)
    flow.finish()
    for proxy, direction in zip(pair.proxies, ("outbound", "inbound")):
        proxy.wait_for_closed(direction=direction, bytes_sent=flow.sent, bytes_received=flow.sent)
    holdings.wait_until_given_back()
