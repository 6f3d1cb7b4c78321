import json

from kit import sockets, waiting
from kit.mesh import CLIENT_ID, SERVER_ID, SERVER_V4, Mesh
from kit.scope import check


def has_ended(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test(scope):
    mesh = Mesh(scope, proxies=False)
    for node in (mesh.server, mesh.client):
        node.start_proxy({}, wait=False)  # no rule of its own: those of the registry count
        node.capture()
    opened, shut = mesh.serve(), mesh.serve()

    # Nobody has spoken of these workloads yet: nothing passes, and /ready says why.
    def waits():
        status, body = mesh.server.proxy.answer("/ready")
        return status == 503 and "captured connections are refused" in body
    waiting.until(waits, lambda: f"/ready says {mesh.server.proxy.answer('/ready')}")
    waiting.until(lambda: mesh.client.proxy.answer("/view")[0] == 200, "the client's proxy shows no view")
    check.assertTrue(sockets.is_refused(SERVER_V4, opened.port, mesh.client.namespace))

    pids = [node.proxy.process.pid for node in (mesh.server, mesh.client)]
    mesh.apply([{"name": "server", "workloads": [SERVER_ID],
                 "rules": [{"name": "client", "ports": [opened.port], "peers": [CLIENT_ID]}]}],
               [{"name": "client", "workloads": [CLIENT_ID], **mesh.client_rules()}])
    for node in (mesh.server, mesh.client):
        node.proxy.wait_until_ready()
    mesh.wait_until_in_force()
    mesh.exchange(opened.port)
    check.assertTrue(sockets.is_refused(SERVER_V4, shut.port, mesh.client.namespace))
    line = mesh.server.proxy.wait_for_closed(direction="inbound", peer_id=CLIENT_ID, rule="server/client")
    check.assertEqual(line["close_reason"], "normal")

    view = json.loads(mesh.server.proxy.get("/view")[1])
    check.assertEqual(view["rules_from"], "mesh")
    check.assertEqual([rule["name"] for rule in view["inbound"]], ["server/client"])

    # Taken away again: the open connection ends, and no new one is let in.
    with mesh.connect(opened.port) as connection:
        connection.sendall(b"x")
        check.assertEqual(connection.recv(1), b"x")
        mesh.apply([{"name": "server", "workloads": [SERVER_ID], "rules": []}])
        check.assertTrue(has_ended(connection))
    mesh.wait_until_in_force()
    check.assertTrue(sockets.is_refused(SERVER_V4, opened.port, mesh.client.namespace))
    check.assertEqual(pids, [node.proxy.process.pid for node in (mesh.server, mesh.client)])
    for node in (mesh.server, mesh.client):
        node.proxy.process.check_alive()
