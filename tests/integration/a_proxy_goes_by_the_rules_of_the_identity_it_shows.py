import json

from kit import sockets
from kit.mesh import CLIENT_ID, SERVER_ID, SERVER_V4, Mesh
from kit.scope import check

METRICS_ID = "spiffe://example.org/metrics"


def test(scope):
    # One process with two identities, of which it shows the one that is not the default.
    mesh = Mesh(scope, entries=False, proxies=False)
    mesh.create_entry(METRICS_ID, mesh.server)
    mesh.create_entry(SERVER_ID, mesh.server)
    mesh.create_entry(CLIENT_ID, mesh.client)
    served, other = mesh.serve(), mesh.serve()
    mesh.apply([{"name": "server", "workloads": [SERVER_ID],
                 "rules": [{"name": "client", "ports": [served.port], "peers": [CLIENT_ID]}]},
                {"name": "metrics", "workloads": [METRICS_ID],
                 "rules": [{"name": "anyone", "peers": ["spiffe://example.org/*"]}]}],
               [{"name": "client", "workloads": [CLIENT_ID], **mesh.client_rules()}])
    mesh.server.start_proxy({"identity": {"workload_api": f"unix://{mesh.server.socket}", "spiffe_id": SERVER_ID}})
    mesh.client.start_proxy({})
    for node in (mesh.server, mesh.client):
        node.capture()
    mesh.wait_until_in_force()

    view = json.loads(mesh.server.proxy.get("/view")[1])
    check.assertEqual([rule["name"] for rule in view["inbound"]], ["server/client"])
    check.assertEqual(view["mesh"]["rules_of"], SERVER_ID)
    check.assertEqual(sorted(view["mesh"]["spiffe_ids"]), sorted([METRICS_ID, SERVER_ID]))
    mesh.exchange(served.port)
    check.assertTrue(sockets.is_refused(SERVER_V4, other.port, mesh.client.namespace))
    mesh.server.proxy.wait_for_closed(direction="inbound", close_reason="denied_by_policy")
