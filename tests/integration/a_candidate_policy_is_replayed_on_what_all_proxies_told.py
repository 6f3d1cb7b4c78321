import json

from kit import waiting
from kit.mesh import CLIENT_ID, SERVER_ID, SERVER_V4, Mesh
from kit.scope import check

# Proxies look every ten seconds at what they observed, and agents gather for two.
TOLD_S = 120


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    for _ in range(3):
        mesh.exchange(server.port)
    agents = {node: f"spiffe://example.org/lanyard/agent/{node}" for node in ("client", "server")}

    def replay(name, *words, **rules):
        path = scope.folder / f"{name}.yaml"
        path.write_text(json.dumps(rules))
        done = mesh.run_cli("policy", "replay", "-f", path, "-o", "json", *words)
        check.assertIn(done.returncode, (0, 3), done.stderr)
        return done, json.loads(done.stdout)

    def policy(peer):
        return [{"name": "web", "workloads": [SERVER_ID],
                 "rules": [{"name": "callers", "ports": [server.port], "peers": [peer]}]}]

    def route(action, **fields):
        return [{"name": "out", "workloads": [CLIENT_ID],
                 "routes": [{"name": "web", "destinations": [f"{SERVER_V4}/32"], "action": action, **fields}]}]

    # As it is now: both ends are heard of, and nothing would change.
    same = {"policies": policy(CLIENT_ID), "routes": route("mutual_tls", peers=[SERVER_ID])}

    def all_told():
        done, answer = replay("same", **same)
        return answer["counts"]["unchanged"]["calls"] == 6 and answer["heard"]["silent"] == []
    waiting.until(all_told, lambda: f"replayed: {replay('same', **same)[0].stdout}", TOLD_S)
    _, answer = replay("same", **same)
    check.assertEqual((answer["changes"], answer["heard"]["proxies"]), ([], 2))

    # Another caller: the server's proxy has seen the one that would be denied.
    done, answer = replay("policy", "--fail-on-denied", policies=policy("spiffe://example.org/nobody"))
    check.assertEqual(done.returncode, 3)
    check.assertIn("would be denied", done.stderr)
    (change,) = answer["changes"]
    check.assertEqual((change["outcome"], change["direction"], change["peer_id"], change["count"], change["seen_by"]),
                      ("newly_denied", "inbound", CLIENT_ID, 3, agents["server"]))
    check.assertIn("no rule of web allows", change["reason"])
    check.assertTrue(change["last_seen"].endswith("Z"), change)

    # Another route: the client's has.
    _, answer = replay("route", routes=route("refuse"))
    (change,) = answer["changes"]
    check.assertEqual((change["outcome"], change["direction"], change["rule"], change["seen_by"]),
                      ("newly_denied", "outbound", "out/web", agents["client"]))
    # Nothing of it was applied.
    mesh.exchange(server.port)

    # Whose agent is away is said, and its calls are not taken for none.
    mesh.client.agent.kill()
    waiting.until(lambda: replay("same", **same)[1]["heard"]["silent"] != [], "the agent's absence is not said")
    _, answer = replay("same", **same)
    check.assertEqual(answer["heard"]["proxies"], 1)
    (silent,) = answer["heard"]["silent"]
    check.assertEqual(silent["agent"], agents["client"])
    check.assertIn("not connected", silent["reason"])
    text = mesh.run_cli("policy", "replay", "-f", scope.folder / "same.yaml").stdout
    check.assertIn(f"not heard  {agents['client']}: this agent is not connected", text)
    check.assertIn("heard from 1 proxy\n", text)
