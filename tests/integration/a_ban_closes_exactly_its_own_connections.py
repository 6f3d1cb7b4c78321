"""A ban closes the banned identity's open connections with its own reason, lets nobody of it in again, and leaves
everybody else's alone; lifted, it lets in."""

from kit import sockets, waiting
from kit.mesh import CLIENT_ID, CLIENT_UID, SERVER_ID, SERVER_UID, SERVER_V4, TRUST_DOMAIN, Mesh
from kit.proxy import Proxy
from kit.scope import check

OTHER_ID, OTHER_UID = f"spiffe://{TRUST_DOMAIN}/other", 21003
STREAMS = 5


def test(scope):
    mesh = Mesh(scope, proxies=False)
    mesh.create_entry(OTHER_ID, mesh.client, [f"unix:uid:{OTHER_UID}"])
    server = mesh.serve()
    configuration = {
        "identity": {"workload_api": f"unix://{mesh.server.socket}"},
        "listeners": [{"name": "in", "inbound": {"address": "0.0.0.0:9443", "destination": f"127.0.0.1:{server.port}",
                                                 "peers": [CLIENT_ID, OTHER_ID]}}]}
    proxy = Proxy(scope, "server", configuration, mesh.server.namespace, SERVER_UID)

    def caller(name, uid, port, admin_port):
        return Proxy(scope, name, {
            "identity": {"workload_api": f"unix://{mesh.client.socket}"},
            "listeners": [{"name": "out", "outbound": {"address": f"127.0.0.1:{port}",
                                                       "destination": f"{SERVER_V4}:9443", "peers": [SERVER_ID]}}]},
            mesh.client.namespace, uid, admin_port=admin_port)
    caller("client", CLIENT_UID, 9001, 15001)
    caller("other", OTHER_UID, 9002, 15002)

    def connect(port):
        connection = sockets.connect("127.0.0.1", port, mesh.client.namespace)
        exchange(connection)
        return connection

    def exchange(connection):
        connection.sendall(b"still here?")
        check.assertEqual(sockets.receive_exactly(connection, 11), b"still here?")

    def is_let_in(port):
        try:
            connect(port).close()
            return True
        except (OSError, AssertionError):
            return False

    banned = [connect(9001) for _ in range(STREAMS)]
    spared = [connect(9002) for _ in range(STREAMS)]
    proxy.change_configuration(bans=[{"spiffe_id": CLIENT_ID, "reason": "a test"}])
    record = proxy.wait_for_closed(count=STREAMS, peer_id=CLIENT_ID, close_reason="banned")
    check.assertIn("a test", record["detail"])
    for connection in banned:
        with check.assertRaises(OSError):
            sockets.receive_all(connection)
        connection.close()
    check.assertFalse(is_let_in(9001))
    for connection in spared:
        exchange(connection)
    check.assertTrue(is_let_in(9002))
    check.assertEqual(proxy.closed(peer_id=OTHER_ID, close_reason="banned"), [])
    proxy.change_configuration(bans=[])
    waiting.until(lambda: is_let_in(9001), "a lifted ban goes on")
    for connection in spared:
        exchange(connection)
        connection.close()
