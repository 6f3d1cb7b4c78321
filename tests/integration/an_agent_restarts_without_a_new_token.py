import json

from kit.mesh import CLIENT_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    agent = mesh.client.agent
    check.assertEqual(agent.stop(), 0)
    mesh.exchange(server.port)  # the proxy keeps what it has
    agent.start()
    mesh.wait_for_agent(mesh.client)
    done = mesh.fetch(mesh.client, mesh.client.uid)
    check.assertEqual(json.loads(done.stdout)["svids"][0]["spiffe_id"], CLIENT_ID)
    mesh.exchange(server.port)
    agents = [agent for agent in mesh.cli("agent", "list")["agents"] if agent["spiffe_id"].endswith("/client")]
    check.assertEqual(len(agents), 1, agents)
