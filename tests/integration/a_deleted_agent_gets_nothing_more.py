from kit import waiting
from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, proxies=False)
    for node in (mesh.client, mesh.server):
        mesh.wait_for_agent(node)
    agents = {agent["spiffe_id"] for agent in mesh.cli("agent", "list")["agents"]}
    gone = next(agent for agent in agents if agent.endswith("/client"))
    mesh.cli("agent", "delete", gone)
    waiting.until(lambda: "PERMISSION_DENIED" in mesh.client.agent.log() or "not known" in mesh.client.agent.log(),
                  lambda: "the deleted agent is not told so")
    left = {agent["spiffe_id"] for agent in mesh.cli("agent", "list")["agents"]}
    check.assertEqual(left, agents - {gone})
