import json

from kit import processes
from kit.mesh import CLIENT_UID, Mesh
from kit.namespaces import ip
from kit.scope import check

CAPTURE = {"outbound_address": ":15001", "inbound_address": ":15006"}


def test(scope):
    mesh = Mesh(scope, proxies=False)
    node = mesh.client

    def run_check(*words, namespace=node.namespace):
        done = processes.run(["lanyard", "capture", "check", "-o", "json", "--timeout", "8s", *words], namespace)
        report = json.loads(done.stdout)
        problems = {finding["subject"]: finding for finding in report["findings"] if finding["level"] == "problem"}
        for finding in report["findings"]:
            check.assertTrue(finding["level"] == "ok" or finding["remedy"], finding)
        check.assertEqual(report["ok"], not problems)
        check.assertEqual(done.returncode, 1 if problems else 0, done.stderr)
        return problems, report["findings"]

    # `perhaps`: where the proxy may have closed the probe before its owner was seen.
    def expect(subjects, says, perhaps=()):
        problems, findings = run_check()
        check.assertEqual(set(problems) - set(perhaps), subjects, findings)
        check.assertIn(says, " ".join(finding["detail"] for finding in problems.values()))

    def up(*words):
        done = processes.run(["lanyard", "capture", "up", *words], node.namespace)
        check.assertEqual(done.returncode, 0, done.stderr)

    def nft(*words):
        done = processes.run(["nft", *words], node.namespace)
        check.assertEqual(done.returncode, 0, done.stderr)

    expect({"rules"}, "bypass the proxy")
    nft("add", "table", "inet", "lanyard")
    expect({"rules"}, "another version")
    up("--proxy-uid", str(CLIENT_UID))
    expect({"proxy", "probe", "inbound probe"}, "nothing listens at port 15006")
    node.start_proxy({**mesh.client_rules(), "capture": CAPTURE})
    expect(set(), "")
    up("--proxy-uid", str(CLIENT_UID + 7))
    expect({"proxy"}, "refused as loops", perhaps={"probe", "inbound probe"})

    # Somebody else's rules take connections first.
    up("--proxy-uid", str(CLIENT_UID))
    nft("add table ip other; add chain ip other c { type nat hook output priority -101; }; "
        "add rule ip other c tcp dport 9 redirect to :1")
    expect({"other tables", "probe"}, "table ip other")
    nft("delete", "table", "ip", "other")
    # A rule that lets everything pass.
    nft("insert", "rule", "inet", "lanyard", "output", "return")
    expect({"probe"}, "was not captured")

    # The proxy's listeners are none for TPROXY, and then they are, without the route.
    up("--proxy-uid", str(CLIENT_UID), "--mode", "tproxy")
    expect({"probe", "inbound probe"}, "was refused")
    node.proxy.process.stop()
    node.start_proxy({**mesh.client_rules(), "capture": {**CAPTURE, "mode": "tproxy"}}, capabilities=("net_raw",))
    expect(set(), "")
    ip("-n", node.namespace.name, "-6", "rule", "del", "priority", "150")
    expect({"routes", "probe"}, "the IPv6 rule")

    # One family short.
    node.proxy.process.stop()
    up("--proxy-uid", str(CLIENT_UID))
    node.start_proxy({**mesh.client_rules(), "capture": {"outbound_address": "0.0.0.0:15001",
                                                         "inbound_address": "0.0.0.0:15006"}})
    expect({"proxy", "probe", "inbound probe"}, "nothing takes IPv6")
