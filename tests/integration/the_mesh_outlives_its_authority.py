from kit.mesh import CLIENT_ID, Mesh
from kit.scope import check
from kit import waiting


def test(scope):
    mesh = Mesh(scope, lifetimes={"x509_svid": "60s", "node_svid": "120s", "backdate": "5s"})
    server = mesh.serve()
    mesh.exchange(server.port)
    first = mesh.server.proxy.wait_for_closed(direction="inbound", peer_id=CLIENT_ID)

    check.assertEqual(mesh.authority.stop(), 0)
    mesh.exchange(server.port)
    # An agent that starts now knows what it knew; a proxy that starts now lives on that.
    check.assertEqual(mesh.client.agent.stop(), 0)
    mesh.client.agent.start()
    mesh.wait_for_agent(mesh.client)
    check.assertEqual(mesh.client.proxy.process.stop(), 0)
    mesh.client.proxy.process.start()
    mesh.client.proxy.wait_until_ready()
    mesh.exchange(server.port)

    mesh.authority.start()
    mesh.wait_for_authority()

    def renewed():
        mesh.exchange(server.port)
        ended = mesh.server.proxy.closed(direction="inbound", peer_id=CLIENT_ID)
        return ended[-1]["peer_serial"] != first["peer_serial"]
    waiting.until(renewed, "no new SVID came after the authority was back", timeout_s=150)
