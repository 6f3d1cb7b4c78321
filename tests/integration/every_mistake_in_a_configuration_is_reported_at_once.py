import json

from kit import processes
from kit.scope import check

# binary -> (configuration, what the report must name)
WRONG = {
    "lanyard-authority": (
        {"trust_domain": "Not A Domain", "data_dri": "/x", "agents": {"address": "nowhere"},
         "lifetimes": {"root": "soon", "x509_svid": "-1s"}},
        ["trust_domain", "data_dri", "data_dir", "agents.address", "lifetimes.root", "lifetimes.x509_svid"]),
    "lanyard-agent": (
        {"trust_domain": "", "data_dir": 7, "authority": {"address": "", "bundle_fiel": "x"},
         "log": {"level": "loud"}},
        ["trust_domain", "authority.address", "authority.bundle_fiel", "bundle_file", "log.level"]),
    "lanyard-proxy": (
        {"identity": {"workload_api": "http://x"}, "workers": "many", "admin": {"address": "15000"},
         "listeners": [{"outbound": {"address": "nowhere", "peers": ["http://not-spiffe"]}}],
         "routes": [{"name": "r", "destinations": ["10.0.0.0/99"], "action": "sometimes"}]},
        ["identity.workload_api", "workers", "admin.address", "listeners[0].name", "listeners[0].outbound.address",
         "listeners[0].outbound.destination", "listeners[0].outbound.peers[0]", "routes[0].destinations[0]",
         "routes[0].action"]),
}


def test(scope):
    for binary, (configuration, expected) in WRONG.items():
        path = scope.folder / f"{binary}.yaml"
        path.write_text(json.dumps(configuration))
        for words in (["run", "--config", path], ["run", "--config", path, "--check-config"]):
            done = processes.run([binary, *words])
            check.assertNotEqual(done.returncode, 0, f"{binary} took {configuration}")
            missing = [name for name in expected if name not in done.stderr]
            check.assertEqual(missing, [], f"{binary} did not report these:\n{done.stderr}")

    path = scope.folder / "broken.yaml"
    path.write_text("a: [1,\n")
    for binary in WRONG:
        done = processes.run([binary, "run", "--config", path, "--check-config"])
        check.assertNotEqual(done.returncode, 0)
        check.assertIn("broken.yaml", done.stderr)
        done = processes.run([binary, "run", "--config", scope.folder / "absent.yaml"])
        check.assertNotEqual(done.returncode, 0)
        check.assertIn("absent.yaml", done.stderr)
