import json
import signal

from kit.mesh import CLIENT_ID, Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    agent = mesh.client.agent
    for process in (mesh.authority, agent):  # as from a terminal that is closed
        process.signal(signal.SIGHUP)
        process.wait_for_record(lambda record: "read at the start only" in record["message"], "word on SIGHUP")
        process.check_alive()
    check.assertEqual(agent.stop(), 0)
    mesh.exchange(server.port)  # the proxy keeps what it has
    agent.start()
    mesh.wait_for_agent(mesh.client)
    done = mesh.fetch(mesh.client, mesh.client.uid)
    check.assertEqual(json.loads(done.stdout)["svids"][0]["spiffe_id"], CLIENT_ID)
    mesh.exchange(server.port)
    agents = [agent for agent in mesh.cli("agent", "list")["agents"] if agent["spiffe_id"].endswith("/client")]
    check.assertEqual(len(agents), 1, agents)
