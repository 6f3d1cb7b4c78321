from kit import processes
from kit.mesh import CLIENT_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, server={"inbound": {"rules": [
        {"name": "anyone", "peers": [CLIENT_ID], "allow_plaintext": True}]}})
    server = mesh.serve()
    mesh.exchange(server.port)
    mesh.server.proxy.wait_for_closed(direction="inbound", peer_id=CLIENT_ID, close_reason="normal")
    assert processes.run(["lanyard", "capture", "down"], mesh.client.namespace).returncode == 0
    mesh.exchange(server.port)
    plain = mesh.server.proxy.wait_for_closed(direction="inbound", peer_id="", close_reason="normal")
    check.assertEqual(plain["peer_serial"], "")
