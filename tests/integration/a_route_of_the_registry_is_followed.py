from kit import sockets, waiting
from kit.mesh import CLIENT_ID, SERVER_ID, SERVER_V4, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, proxies=False)
    mesh.server.start_proxy(mesh.server_rules())
    mesh.client.start_proxy({}, wait=False)
    for node in (mesh.server, mesh.client):
        node.capture()
    server = mesh.serve()
    destination = f"{SERVER_V4}/32"

    def route(**route):
        mesh.apply(routes=[{"name": "client", "workloads": [CLIENT_ID],
                            "routes": [{"name": "server", "destinations": [destination], **route}]}])

    route(action="mutual_tls", peers=[SERVER_ID])
    mesh.client.proxy.wait_until_ready()
    mesh.wait_until_in_force()
    mesh.exchange(server.port)
    mesh.client.proxy.wait_for_closed(direction="outbound", rule="client/server", peer_id=SERVER_ID)

    route(action="refuse")
    waiting.until(lambda: sockets.is_refused(SERVER_V4, server.port, mesh.client.namespace), "the route is not refused")

    # What answers must be whom the route names.
    route(action="mutual_tls", peers=[CLIENT_ID])
    mesh.wait_until_in_force()
    check.assertTrue(sockets.is_refused(SERVER_V4, server.port, mesh.client.namespace))
    route(action="mutual_tls", peers=[SERVER_ID])

    def passes():
        try:
            mesh.exchange(server.port)
            return True
        except (OSError, AssertionError):
            return False
    waiting.until(passes, "the route is not open again")
