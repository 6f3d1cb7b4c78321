from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    mesh.exchange(server.port, v6=True)
    for proxy, fields in ((mesh.server.proxy, {"direction": "inbound", "peer_id": CLIENT_ID}),
                          (mesh.client.proxy, {"direction": "outbound", "peer_id": SERVER_ID})):
        check.assertEqual(proxy.wait_for_closed(**fields)["close_reason"], "normal")
