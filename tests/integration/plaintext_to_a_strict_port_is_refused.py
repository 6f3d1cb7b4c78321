from kit import processes, sockets
from kit.mesh import SERVER_V4, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    assert processes.run(["lanyard", "capture", "down"], mesh.client.namespace).returncode == 0
    check.assertTrue(sockets.is_refused(SERVER_V4, server.port, mesh.client.namespace))
    mesh.server.proxy.wait_for_closed(direction="inbound", close_reason="plaintext_refused")
    check.assertEqual(server.accepted, 0, "the application saw a connection that no rule allows")
