import os
import shutil

from kit import sockets, waiting
from kit.certificates import Authority, Svid
from kit.namespaces import Namespace
from kit.proxy import Proxy, from_files
from kit.scope import check


def test(scope):
    namespace = Namespace(scope, "one")
    authority = Authority(scope.folder)
    first, second = authority.svid("/both"), authority.svid("/both")
    names = ("svid.pem", "key.pem", "bundle.pem")
    live = Svid(*(scope.folder / name for name in names), first.spiffe_id)

    def install(svid):
        for source, target in ((svid.key, live.key), (svid.certificate, live.certificate),
                               (svid.bundle, live.bundle)):
            shutil.copyfile(source, f"{target}.new")
            os.rename(f"{target}.new", target)

    install(first)
    server = sockets.Server(scope, sockets.echo, namespace=namespace)
    proxy = Proxy(scope, "proxy", {
        "identity": from_files(live),
        "listeners": [
            {"name": "out", "outbound": {"address": "127.0.0.1:9001", "destination": "127.0.0.1:9002",
                                         "peers": [live.spiffe_id]}},
            {"name": "in", "inbound": {"address": "127.0.0.1:9002", "destination": f"127.0.0.1:{server.port}",
                                       "peers": [live.spiffe_id]}}]}, namespace)

    def serial_in_use():
        ended = dict(direction="inbound", close_reason="normal")
        before = len(proxy.closed(**ended))
        sockets.exchange("127.0.0.1", 9001, namespace)
        return proxy.wait_for_closed(count=before + 1, **ended)["local_serial"]

    check.assertEqual(serial_in_use(), first.serial())
    # A key that does not belong to the certificate changes nothing.
    shutil.copyfile(second.key, f"{live.key}.new")
    os.rename(f"{live.key}.new", live.key)
    waiting.until(lambda: proxy.metric("lanyard_proxy_identity_failures_total") > 0, "the wrong key is not noticed")
    check.assertEqual(serial_in_use(), first.serial())
    install(second)
    waiting.until(lambda: serial_in_use() == second.serial(), "the new SVID is not taken up")
    check.assertEqual(proxy.get("/ready")[0], 200)
