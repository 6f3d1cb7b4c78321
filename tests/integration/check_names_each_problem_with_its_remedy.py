import json

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
                      {"authority", "clock", "signing", "agent", "identity", "proxy", "view", "capture"})
    # As the proxy's own user: its SVID verifies; the operators' socket is not for it.
    problems, findings = run_check(uid=mesh.client.uid)
    check.assertEqual(problems, {"authority"}, findings)
    check.assertIn("ok", [finding["level"] for finding in findings if finding["subject"] == "identity"])

    mesh.authority.stop()
    mesh.client.agent.kill()
    mesh.client.proxy.process.stop()
    problems, findings = run_check()
    check.assertEqual(problems, {"authority", "agent", "proxy"}, findings)
    problems, findings = run_check("--skip", "authority,agent", "--skip", "proxy")
    check.assertEqual(problems, set(), findings)
    check.assertEqual([finding["subject"] for finding in findings], ["capture"])
