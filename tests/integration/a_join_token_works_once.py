import json

from kit import processes, waiting
from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False)
    configuration = json.loads((scope.folder / "client-agent.yaml").read_text())
    configuration["data_dir"] = str(scope.folder / "thief")
    configuration["workload_api"]["socket"] = str(scope.folder / "thief.sock")
    path = scope.folder / "thief.yaml"
    path.write_text(json.dumps(configuration))
    thief = processes.Process(scope, "thief", ["lanyard-agent", "run", "--config", path], mesh.client.namespace)
    waiting.until(lambda: not thief.alive() or "token" in thief.log(), lambda: "the second agent says nothing of its token")
    agents = mesh.cli("agent", "list")["agents"]
    check.assertEqual(len(agents), 2, agents)
    done = processes.run(["lanyard", "svid", "fetch", "--socket", f"unix://{scope.folder}/thief.sock", "--timeout", "2s"])
    check.assertEqual(done.returncode, 1)
    check.assertNotIn(configuration["attestation"]["join_token"], thief.log(), "a token in a log")
