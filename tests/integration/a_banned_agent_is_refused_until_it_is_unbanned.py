from kit import waiting
from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, proxies=False)
    for node in (mesh.client, mesh.server):
        mesh.wait_for_agent(node)

    def connected():
        return {agent["spiffe_id"].rpartition("/")[2] for agent in mesh.cli("agent", "list")["agents"]
                if agent["connected"]}

    waiting.until(lambda: connected() == {"client", "server"}, lambda: f"connected: {connected()}")
    banned = mesh.cli("ban", "agent:client", "--reason", "stolen machine")
    check.assertEqual(banned["subject"], "agent:spiffe://example.org/lanyard/agent/client")
    waiting.until(lambda: connected() == {"server"}, lambda: f"connected: {connected()}")
    waiting.until(lambda: "stolen machine" in mesh.client.agent.log(), lambda: "the banned agent is not told why")
    banned = [agent["spiffe_id"].rpartition("/")[2] for agent in mesh.cli("agent", "list")["agents"] if agent["banned"]]
    check.assertEqual(banned, ["client"])

    # Nothing new reaches it, and the other node does not notice.
    mesh.create_entry("spiffe://example.org/new", mesh.client, ["unix:uid:3001"])
    mesh.create_entry("spiffe://example.org/new", mesh.server, ["unix:uid:3001"])
    waiting.until(lambda: mesh.fetch(mesh.server, 3001).returncode == 0, lambda: "the other node has no new SVID")
    check.assertNotEqual(mesh.fetch(mesh.client, 3001).returncode, 0, "a banned node got a new SVID")

    mesh.cli("unban", "agent:client")
    waiting.until(lambda: connected() == {"client", "server"}, lambda: f"connected: {connected()}")
    waiting.until(lambda: mesh.fetch(mesh.client, 3001).returncode == 0,
                  lambda: f"unbanned, and no new SVID:\n{mesh.client.agent.tail()}")
