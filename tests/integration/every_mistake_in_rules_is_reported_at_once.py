from kit.mesh import Mesh
from kit.scope import check

WRONG = """
policies:
  - name: Web Shop
    workloads: [web]
    rules:
      - {name: a, ports: [0, 80], peers: ["spiffe://example.org"]}
      - {name: a, peers: ["spiffe://example.org/shop"]}
      - {name: b}
      - {name: c, peer: x, allow_plaintext: true}
  - {name: fine, workloads: ["spiffe://example.org/fine"]}
routes:
  - name: out
    workloads: []
    routes:
      - {name: x, destinations: [10.0.0.1/8], action: refuse, peers: ["spiffe://example.org/db"]}
      - {name: y, action: mutual_tls}
"""
EXPECTED = ["policies[0].name", "policies[0].workloads[0]", "policies[0].rules[0].ports[0]",
            "policies[0].rules[0].peers[0]", "policies[0].rules[1].name", "policies[0].rules[2].peers",
            "policies[0].rules[3].peer", "routes[0].workloads", "routes[0].routes[0].destinations[0]",
            "routes[0].routes[0].peers", "routes[0].routes[1].peers"]


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False, agents=False)
    path = scope.folder / "rules.yaml"
    path.write_text(WRONG)
    for words in (["policy", "apply", "-f", str(path)], ["route", "apply", "-f", str(path), "--dry-run"]):
        done = mesh.run_cli(*words)
        check.assertEqual(done.returncode, 1, done.stdout)
        missing = [name for name in EXPECTED if f"{name}:" not in done.stderr]
        check.assertEqual(missing, [], f"not reported:\n{done.stderr}")
    check.assertEqual(mesh.cli("policy", "list")["policies"], [], "what was right of a wrong file was stored")
    check.assertEqual(mesh.cli("mesh", "status")["view_version"], 1)
