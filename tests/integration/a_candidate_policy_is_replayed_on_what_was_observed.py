import json

from kit import waiting
from kit.mesh import CLIENT_ID, SERVER_ID, Mesh
from kit.proxy import ADMIN_PORT
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)
    server = mesh.serve()
    for _ in range(3):
        mesh.exchange(server.port)

    def observed():
        return json.loads(mesh.server.proxy.get("/observed")[1])["observed"]
    waiting.until(lambda: sum(call["count"] for call in observed() if call["peer_id"] == CLIENT_ID) == 3,
                  lambda: f"observed: {observed()}")

    def candidate(peer, name="web"):
        path = scope.folder / f"{name}.yaml"
        path.write_text(json.dumps({"policies": [{"name": name, "workloads": [SERVER_ID], "rules": [
            {"name": "callers", "ports": [server.port], "peers": [peer]}]}]}))
        return path

    def replay(path, *words):
        done = mesh.run_cli("policy", "replay", "-f", path, "-o", "json", *words, namespace=mesh.server.namespace)
        return done, json.loads(done.stdout or "{}")

    admin = ["--admin", f"127.0.0.1:{ADMIN_PORT}"]
    done, answer = replay(candidate(CLIENT_ID), *admin, "--fail-on-denied")
    check.assertEqual(done.returncode, 0, done.stderr)
    check.assertEqual(answer["changes"], [])
    check.assertEqual(answer["counts"]["unchanged"]["calls"], 3)

    done, answer = replay(candidate("spiffe://example.org/nobody"), *admin, "--fail-on-denied")
    check.assertEqual(done.returncode, 3)
    check.assertIn("would be denied", done.stderr)
    (change,) = answer["changes"]
    check.assertEqual((change["outcome"], change["peer_id"], change["port"], change["count"]),
                      ("newly_denied", CLIENT_ID, server.port, 3))
    check.assertIn("no rule of web allows", change["reason"])
    done, _ = replay(scope.folder / "web.yaml", "--admin", "127.0.0.1:1", "--fail-on-denied")
    check.assertEqual((done.returncode, done.stdout), (1, ""), "nobody could be asked, and that is no denial")
    # Nothing of it was applied: the calls still work.
    mesh.exchange(server.port)

    # From a file, and over what stands in the registry already.
    saved = scope.folder / "observed.json"
    saved.write_text(mesh.server.proxy.get("/observed")[1])
    mesh.cli("policy", "apply", "-f", str(candidate(CLIENT_ID, name="kept")))
    done, answer = replay(candidate("spiffe://example.org/nobody"), "--observed", saved)
    check.assertEqual((done.returncode, answer["changes"]), (0, []), done.stderr)
    done, answer = replay(candidate("spiffe://example.org/nobody"), "--observed", saved, "--alone", "--fail-on-denied")
    check.assertEqual(done.returncode, 3)
    check.assertEqual(answer["counts"]["newly_denied"]["tuples"], 1)

    # Either may come by a pipe, but not both.
    def replay_by_pipe(text, rules, observed):
        return mesh.run_cli("policy", "replay", "-f", rules, "--observed", observed, "--alone", "-o", "json", stdin=text)
    rules = candidate("spiffe://example.org/nobody")
    for done in (replay_by_pipe(rules.read_text(), "-", saved), replay_by_pipe(saved.read_text(), rules, "-")):
        check.assertEqual(done.returncode, 0, done.stderr)
        check.assertEqual(json.loads(done.stdout)["counts"]["newly_denied"]["tuples"], 1)
    check.assertEqual(replay_by_pipe("", "-", "-").returncode, 2)
