from kit import sockets
from kit.mesh import SERVER_ID, SERVER_V4, TRUST_DOMAIN, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False)
    stranger = f"spiffe://{TRUST_DOMAIN}/stranger"
    mesh.create_entry(SERVER_ID, mesh.server)
    mesh.create_entry(stranger, mesh.client)
    mesh.server.start_proxy(mesh.server_rules())
    mesh.client.start_proxy(mesh.client_rules())
    mesh.client.capture()
    mesh.server.capture()
    server = mesh.serve()
    check.assertTrue(sockets.is_refused(SERVER_V4, server.port, mesh.client.namespace))
    mesh.server.proxy.wait_for_closed(direction="inbound", peer_id=stranger, close_reason="denied_by_policy")
    check.assertEqual(server.accepted, 0, "the application saw a connection that the policy denies")
