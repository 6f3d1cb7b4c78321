import contextlib
import resource

from kit import sockets, waiting
from kit.certificates import Authority
from kit.proxy import Proxy, from_files
from kit.scope import check
from kit.namespaces import Namespace

LIMIT = 64


def test(scope):
    namespace = Namespace(scope, "one")
    authority = Authority(scope.folder)
    server = sockets.Server(scope, sockets.echo, namespace=namespace)
    both = authority.svid("/both")
    proxy = Proxy(scope, "proxy", {
        "identity": from_files(both),
        "workers": 1,
        "listeners": [
            {"name": "out", "outbound": {"address": "127.0.0.1:9001", "destination": "127.0.0.1:9002",
                                         "peers": [both.spiffe_id]}},
            {"name": "in", "inbound": {"address": "127.0.0.1:9002", "destination": f"127.0.0.1:{server.port}",
                                       "peers": [both.spiffe_id]}}]},
        namespace, before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT)))
    sockets.exchange("127.0.0.1", 9001, namespace)
    with contextlib.ExitStack() as held:
        for _ in range(LIMIT * 2):  # each needs several descriptors of the proxy's
            with contextlib.suppress(OSError):
                held.enter_context(sockets.connect("127.0.0.1", 9001, namespace, timeout_s=1))

        def is_met():
            proxy.process.check_alive()
            return "accepting is paused until descriptors are free" in proxy.process.log() or any(
                record["close_reason"].startswith("limit_") for record in proxy.closed())
        waiting.until(is_met, "there is no lack of descriptors: the test shows nothing")

    def works():
        proxy.process.check_alive()
        try:
            sockets.exchange("127.0.0.1", 9001, namespace)
            return True
        except (OSError, AssertionError):
            return False
    waiting.until(works, "the proxy did not recover when descriptors were free again")
    refused = proxy.metric("lanyard_proxy_accept_paused_total") + sum(
        1 for record in proxy.closed() if record["close_reason"].startswith("limit_"))
    check.assertGreater(refused, 0, "the lack was neither met nor counted")
