import resource

from kit import sockets
from kit.crowd import Crowd
from kit.pair import APPLICATION_PORT, OUT_PORT, Pair
from kit.scope import check

# More than the server's proxy would let one address have under way, and more than dial at once, by default.
CALLS, DESCRIPTORS = 3600, 9000


def many_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, max(DESCRIPTORS, hard)))


def test(scope):
    quiet = {"log": {"level": "warning", "format": "json"}}  # not a line for each
    pair = Pair(scope, quiet, quiet, {"connect_timeout": "60s", "handshake_timeout": "60s"}, serve=None,
                before=many_descriptors)
    Crowd(scope, pair.server.namespace, "echo", APPLICATION_PORT).wait()
    many_descriptors()
    with pair.client.namespace.entered():
        calls = [scope.enter_context(sockets.connect("127.0.0.1", OUT_PORT)) for _ in range(CALLS)]
    for number, call in enumerate(calls):
        call.sendall(b"%04d" % number)
    for number, call in enumerate(calls):
        check.assertEqual(sockets.receive_exactly(call, 4), b"%04d" % number)
    for proxy in pair.proxies:
        check.assertEqual(proxy.metric("lanyard_proxy_limit_reached_total", limit="max_connections_per_source"), 0)
        check.assertEqual(proxy.metric("lanyard_proxy_limit_reached_total", limit="max_handshakes"), 0)
