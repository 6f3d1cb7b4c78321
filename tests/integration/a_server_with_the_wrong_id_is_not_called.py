from kit import sockets
from kit.mesh import SERVER_V4, TRUST_DOMAIN, Mesh
from kit.scope import check


def test(scope):
    expected = f"spiffe://{TRUST_DOMAIN}/another"
    mesh = Mesh(scope, client={"routes": [{"name": "server", "ports": [9000], "action": "mutual_tls",
                                           "peers": [expected]}]})
    server = mesh.serve(port=9000)
    check.assertTrue(sockets.is_refused(SERVER_V4, 9000, mesh.client.namespace))
    mesh.client.proxy.wait_for_closed(direction="outbound", close_reason="peer_not_expected")
    check.assertEqual(server.accepted, 0)
