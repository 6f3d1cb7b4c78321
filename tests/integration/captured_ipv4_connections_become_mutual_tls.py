from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    mesh.exchange(server.port)
    inbound = mesh.server.proxy.wait_for_closed(direction="inbound", peer_id=CLIENT_ID)
    outbound = mesh.client.proxy.wait_for_closed(direction="outbound", peer_id=SERVER_ID)
    for record in (inbound, outbound):
        check.assertEqual(record["close_reason"], "normal", record)
    # Each side names the other's certificate as the other does.
    check.assertEqual(inbound["peer_serial"], outbound["local_serial"])
    check.assertEqual(outbound["peer_serial"], inbound["local_serial"])
