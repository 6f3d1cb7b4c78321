import json

from kit import waiting
from kit.mesh import Mesh
from kit.scope import check


def test(scope):
    mesh = Mesh(scope)

    def run_check(*words, uid=None):
        done = mesh.run_cli("check", "--socket", f"unix://{mesh.client.socket}", "-o", "json", "--timeout", "5s", *words,
                            namespace=mesh.client.namespace, uid=uid)
        report = json.loads(done.stdout)
        problems = {finding["subject"] for finding in report["findings"] if finding["level"] == "problem"}
        for finding in report["findings"]:
            check.assertTrue(finding["level"] == "ok" or finding["remedy"], finding)
        check.assertEqual(report["ok"], not problems)
        check.assertEqual(done.returncode, 1 if problems else 0, done.stderr)
        return problems, report["findings"]

    def expect(expected, *words, **options):
        """Until just these are problems; the findings."""
        def found():
            problems, findings = run_check(*words, **options)
            return findings if problems == expected else None
        return waiting.until(found, lambda: f"not just {expected}: {run_check(*words, **options)}")

    findings = expect(set())
    check.assertEqual({finding["subject"] for finding in findings},
                      {"authority", "clock", "signing", "agents", "agent", "node", "identity", "proxy", "view",
                       "configuration", "capture"})
    # As the proxy's own user: its SVID verifies; the operators' socket is not for it.
    findings = expect({"authority"}, uid=mesh.client.uid)
    check.assertIn("ok", [finding["level"] for finding in findings if finding["subject"] == "identity"])

    # A proxy that refused its file would not start again.
    config = mesh.client.proxy.config_path
    text = config.read_text()
    config.write_text(text.replace("mutual_tls", "mutual"))
    expect({"configuration"})
    config.write_text(text)
    expect(set())
    # Its rules exempt another user than the proxy's: every connection would be refused as a loop.
    mesh.run_cli("capture", "up", "--proxy-uid", str(mesh.server.uid), "--exclude-outbound-ports", "7443",
                 namespace=mesh.client.namespace)
    expect({"capture"})
    mesh.client.capture()
    # A banned agent is noted where bans are made, and a problem on its node.
    mesh.cli("ban", "agent:client")
    waiting.until(lambda: "node" in run_check()[0], lambda: f"not found: {run_check()}")
    mesh.cli("unban", "agent:client")
    expect(set())

    # The other node's agent has ended.
    mesh.server.agent.kill()
    expect({"agents"})
    mesh.authority.stop()
    expect({"authority", "node"})
    mesh.client.agent.kill()
    mesh.client.proxy.process.stop()
    expect({"authority", "agent", "proxy", "capture"})
    findings = expect({"capture"}, "--skip", "authority,agent", "--skip", "proxy")  # rules that lead to nobody
    check.assertEqual({finding["subject"] for finding in findings}, {"capture"})
