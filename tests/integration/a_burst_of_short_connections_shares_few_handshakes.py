"""Between two Lanyard proxies a connection that ends leaves its TLS connection to the next one."""

from kit.mesh import Mesh
from kit.scope import check

CALLS = 200


def test(scope):
    mesh = Mesh(scope, client={"workers": 1}, server={"workers": 1})
    server = mesh.serve()
    for _ in range(CALLS):
        mesh.exchange(server.port)
    client, peer = mesh.client.proxy, mesh.server.proxy
    handshakes = sum(client.metric("lanyard_proxy_handshakes_total", kind=kind) for kind in ("full", "resumed"))
    check.assertLess(handshakes, CALLS / 10)
    check.assertGreater(client.metric("lanyard_proxy_link_takes_total", result="hit"), CALLS * 0.9)
    # Each of them is a connection of its own all the same: decided, counted, logged.
    peer.wait_for_closed(count=CALLS, direction="inbound", close_reason="normal")
    check.assertEqual(peer.metric("lanyard_proxy_connections_accepted_total", direction="inbound"), CALLS)
    record = peer.closed(direction="inbound")[-1]
    check.assertEqual(record["protocol"], "lanyard/1")
    check.assertEqual(record["application_target"], f"10.77.0.2:{server.port}")
