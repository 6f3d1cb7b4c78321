import json
import pathlib
import re

from kit import metrics, processes, waiting
from kit.mesh import Mesh
from kit.scope import check

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
AGENT_ADMIN, AUTHORITY_ADMIN = 15010, 15020


def test(scope):
    mesh = Mesh(scope, admin_ports={"agent": AGENT_ADMIN, "authority": AUTHORITY_ADMIN})
    server = mesh.serve()
    mesh.exchange(server.port)
    waiting.until(lambda: mesh.client.proxy.metric("lanyard_proxy_connection_duration_seconds_count") > 0,
                  "a connection that has ended is not counted")
    texts = {
        "proxy": mesh.client.proxy.get("/metrics")[1],
        "agent": metrics.read(AGENT_ADMIN, mesh.client.namespace),
        "authority": metrics.read(AUTHORITY_ADMIN, mesh.server.namespace),
    }
    # Written by others: the format, the names, the units, the help.
    for name, text in texts.items():
        done = processes.run(["promtool", "check", "metrics"], stdin=text)
        check.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""), f"of {name}")

    existing = set().union(*(metrics.names(text) for text in texts.values()))
    dashboard = json.loads((DEPLOY / "grafana" / "lanyard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    check.assertGreater(len(queries), 40)
    alerts = re.findall(r"^\s+expr: (.*)$", ALERTS.read_text(), re.MULTILINE)
    check.assertGreater(len(alerts), 10)
    for query in queries + alerts:
        asked = metrics.asked_for(query)
        check.assertTrue(asked, query)
        check.assertEqual(asked - existing, set(), f"not served by any process: {query}")
    done = processes.run(["promtool", "check", "rules", ALERTS])
    check.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    # What they say is true.
    check.assertEqual(metrics.value(texts["agent"], "lanyard_agent_svids"), 1)
    check.assertEqual(metrics.value(texts["agent"], "lanyard_agent_authority_connected"), 1)
    check.assertGreater(metrics.value(texts["agent"], "lanyard_agent_svid_expires_in_seconds"), 1800)
    check.assertEqual(metrics.value(texts["authority"], "lanyard_authority_agents_connected"), 2)
    check.assertEqual(metrics.value(texts["authority"], "lanyard_authority_svids_signed_total", kind="node"), 2)
    check.assertGreater(metrics.value(texts["proxy"], "lanyard_proxy_identity_expires_in_seconds"), 1800)
    check.assertGreater(metrics.value(texts["proxy"], "lanyard_proxy_connection_duration_seconds_count"), 0)

    # An agent that loses its authority says so.
    mesh.authority.stop()
    waiting.until(lambda: metrics.value(metrics.read(AGENT_ADMIN, mesh.client.namespace),
                                        "lanyard_agent_authority_connected") == 0,
                  "the agent still calls itself connected")
