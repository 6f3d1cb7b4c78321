import json

from kit import waiting
from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)

    def run_check(*words, uid=None):
        done = mesh.run_cli("check", "--socket", f"unix://{mesh.client.socket}", "-o", "json", "--timeout", "2s", *words,
                            namespace=mesh.client.namespace, uid=uid)
        report = json.loads(done.stdout)
        problems = {finding["subject"] for finding in report["findings"] if finding["level"] == "problem"}
        for finding in report["findings"]:
            check.assertTrue(finding["level"] == "ok" or finding["remedy"], finding)
        check.assertEqual(report["ok"], not problems)
        check.assertEqual(done.returncode, 1 if problems else 0, done.stderr)
        return problems, report["findings"]

    problems, findings = run_check()
    check.assertEqual(problems, set(), findings)
    check.assertEqual({finding["subject"] for finding in findings},
                      {"authority", "clock", "signing", "agents", "agent", "node", "identity", "proxy", "view",
                       "configuration", "capture"})
    # As the proxy's own user: its SVID verifies; the operators' socket is not for it.
    problems, findings = run_check(uid=mesh.client.uid)
    check.assertEqual(problems, {"authority"}, findings)
    check.assertIn("ok", [finding["level"] for finding in findings if finding["subject"] == "identity"])

    # A proxy that refused its file would not start again.
    config = mesh.client.proxy.config_path
    text = config.read_text()
    config.write_text(text.replace("mutual_tls", "mutual"))
    waiting.until(lambda: run_check()[0] == {"configuration"}, lambda: f"not found: {run_check()}")
    config.write_text(text)
    waiting.until(lambda: run_check()[0] == set(), lambda: f"still found: {run_check()}")
    # Its rules exempt another user than the proxy's: every connection would be refused as a loop.
    mesh.run_cli("capture", "up", "--proxy-uid", str(mesh.server.uid), "--exclude-outbound-ports", "7443",
                 namespace=mesh.client.namespace)
    check.assertEqual(run_check()[0], {"capture"})
    mesh.client.capture()
    # A banned agent is noted where bans are made, and a problem on its node.
    mesh.cli("ban", "agent:client")
    waiting.until(lambda: "node" in run_check()[0], lambda: f"not found: {run_check()}")
    mesh.cli("unban", "agent:client")
    waiting.until(lambda: run_check()[0] == set(), lambda: f"still found: {run_check()}")

    # The other node's agent has ended.
    mesh.server.agent.kill()
    waiting.until(lambda: run_check()[0] == {"agents"}, lambda: f"not found: {run_check()}")
    mesh.authority.stop()
    waiting.until(lambda: run_check()[0] == {"authority", "node"}, lambda: f"not found: {run_check()}")
    mesh.client.agent.kill()
    mesh.client.proxy.process.stop()
    problems, findings = run_check()
    check.assertEqual(problems, {"authority", "agent", "proxy", "capture"}, findings)
    problems, findings = run_check("--skip", "authority,agent", "--skip", "proxy")
    check.assertEqual({finding["subject"] for finding in findings}, {"capture"})
    check.assertEqual(problems, {"capture"}, findings)  # rules that lead to nobody
