import json

from kit.mesh import Mesh
from kit.scope import check

WEB, SHOP, EVE = (f"spiffe://example.org/{name}" for name in ("web", "shop", "eve"))
RULES = f"""
policies:
  - name: web
    workloads: [{WEB}]
    rules:
      - {{name: shop, ports: [80], peers: [{SHOP}]}}
      - {{name: probes, ports: [9000], allow_plaintext: true}}
routes:
  - name: shop
    workloads: [{SHOP}]
    routes:
      - {{name: mesh, destinations: [10.0.0.0/8], action: mutual_tls, peers: ["spiffe://example.org/*"]}}
"""


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False, agents=False)
    path = scope.folder / "rules.yaml"
    path.write_text(RULES)

    def outcomes(*words):
        return {record["name"]: record["outcome"] for record in mesh.cli(*words)["records"]}

    def ask(verb, workload, port, *who):
        return mesh.run_cli("policy", verb, "--workload", workload, "--port", str(port), *who)

    # A dry run says what would be, and does nothing.
    check.assertEqual(outcomes("policy", "apply", "-f", str(path), "--dry-run"), {"web": "created", "shop": "created"})
    check.assertEqual(mesh.cli("policy", "list")["policies"], [])
    check.assertEqual(outcomes("policy", "apply", "-f", str(path)), {"web": "created", "shop": "created"})
    check.assertEqual(outcomes("route", "apply", "-f", str(path)), {"web": "unchanged", "shop": "unchanged"})

    # So does a pipe, and every mistake in it is reported as of a file.
    done = mesh.run_cli("policy", "apply", "-f", "-", "-o", "json", stdin=RULES)
    check.assertEqual({record["outcome"] for record in json.loads(done.stdout)["records"]}, {"unchanged"}, done.stderr)
    done = mesh.run_cli("route", "apply", "-f", "-", stdin=RULES.replace("name: web", "name: Web"))
    check.assertEqual(done.returncode, 1, done.stdout)
    check.assertIn("standard input: 1 mistake", done.stderr)

    # What list prints can be changed and applied again.
    listed = mesh.cli("policy", "list", "--workload", WEB)
    check.assertEqual([policy["name"] for policy in listed["policies"]], ["web"])
    listed["policies"][0]["rules"][0]["ports"].append(443)
    path.write_text(json.dumps(listed))
    check.assertEqual(outcomes("policy", "apply", "-f", str(path)), {"web": "changed"})

    # The exit code is the answer, and another where there is none.
    for code, verb, port, who in ((0, "test", 443, ["--peer", SHOP]), (0, "test", 9000, ["--plaintext"]),
                                  (3, "test", 80, ["--peer", EVE]), (3, "test", 80, ["--plaintext"]),
                                  (0, "explain", 80, ["--peer", EVE]), (2, "test", 80, []), (2, "test", 0, ["--plaintext"]),
                                  (2, "test", 80, ["--peer", SHOP, "--plaintext"]), (2, "test", 80, ["--peer", "shop"])):
        done = ask(verb, WEB, port, *who)
        check.assertEqual(done.returncode, code, f"{verb} {port} {who}: {done.stdout}{done.stderr}")
    check.assertIn("allowed: rule web/shop allows", ask("explain", WEB, 80, "--peer", SHOP).stdout)
    denied = ask("explain", WEB, 80, "--peer", EVE).stdout
    check.assertIn("web/shop: it does not name this peer", denied)
    check.assertIn("web/probes: it is for port 9000", denied)
    done = ask("test", EVE, 80, "--peer", SHOP)
    check.assertEqual(done.returncode, 3)
    check.assertIn("no policy of the registry speaks of", done.stdout)
    for verb in ("test", "explain"):
        done = ask(verb, WEB, 80, "--peer", SHOP, "--authority-socket", scope.folder / "nobody.sock")
        check.assertEqual((done.returncode, done.stdout), (1, ""), f"{verb} of nobody: {done.stderr}")

    # A ban is above every rule, and is named.
    mesh.cli("ban", SHOP, "--for", "1h", "--reason", "leaked key")
    done = ask("test", WEB, 80, "--peer", SHOP)
    check.assertEqual(done.returncode, 3)
    check.assertIn("leaked key", done.stdout)
    for subject, code in (("nobody", 2), ("serial:xyz", 2), ("agent:spiffe://example.org/web", 1),
                          ("spiffe://example.org/lanyard/agent/a", 1)):
        check.assertEqual(mesh.run_cli("ban", subject).returncode, code, subject)
    check.assertEqual(mesh.run_cli("unban", EVE).returncode, 1)

    # One of an SVID, or of an agent, counts for who says that the caller has it.
    mesh.cli("unban", SHOP)
    mesh.cli("ban", "serial:0a1b", "--reason", "lost laptop")
    for code, who in ((0, []), (3, ["--serial", "0A1B"]), (0, ["--serial", "0a1c"]), (2, ["--serial", "xyz"]),
                      (0, ["--agent", "web-1"]), (2, ["--agent", "spiffe:/x"])):
        done = ask("test", WEB, 80, "--peer", SHOP, *who)
        check.assertEqual(done.returncode, code, f"{who}: {done.stdout}{done.stderr}")
    check.assertIn("lost laptop", ask("explain", WEB, 80, "--peer", SHOP, "--serial", "0a1b").stdout)
    check.assertEqual(ask("test", WEB, 9000, "--plaintext", "--serial", "0a1b").returncode, 2)

    mesh.cli("policy", "delete", "web")
    check.assertEqual(mesh.run_cli("policy", "delete", "web").returncode, 1)
    check.assertEqual([routes["name"] for routes in mesh.cli("route", "list")["routes"]], ["shop"])
    mesh.cli("route", "delete", "shop")
    check.assertEqual(mesh.cli("mesh", "status")["proxies"], [])
    for words in (["policy"], ["route"], ["mesh"], ["policy", "apply"], ["route", "list"], ["ban"], ["unban"], ["bans"],
                  ["mesh", "status"], ["policy", "explain"]):
        done = mesh.run_cli(*words, "--help")
        check.assertEqual(done.returncode, 0, words)
        check.assertIn("Examples:", done.stdout)
